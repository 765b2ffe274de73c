"""VMs that move between two hosts: whatever is cut, one has the VM, and asking again ends it."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pytest
from returns.result import Success

from geats_core.declared.policy import Claims
from geats_core.planning.action_words import describe
from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.calls.guests import keeping_up
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.moves import sending, sending_live
from geats_host.moves.fetch import apply_fetch, fetch
from geats_host.observing import offers
from geats_host.peers import peer
from geats_host.registry import kept_up
from geats_host.storage import VolumeId
from tests.host.templates.disks import MIB, qcow2_disk
from tests.memory_host import memory_config

URL = "memory://a/web01"
DISKS: dict[str, object] = {
    "profile": "small",
    "template": "image",
    "volumes": [{"name": "root", "size": "24MiB"}, {"name": "data", "size": "6MiB"}],
}
TREES: dict[str, object] = {
    "profile": "small",
    "volumes": [{"name": "root"}, {"name": "data", "mount": "/data"}],
}
MEMORY = {"firmware.fd": "boot entries", "tpm2": "sealed keys"}


@dataclass
class TwoHosts:
    """``a``, which runs web01, and ``b``; one answer of ``a`` is cut, after it was done or not."""

    a: Host
    b: Host
    wrong: int = -1
    is_done: bool = True
    sent: list[int] = field(default_factory=list)

    def serve(self, stdin: BinaryIO, stdout: BinaryIO) -> None:
        number = len(self.sent)
        if number != self.wrong or self.is_done:
            sending.serve(self.a, stdin, stdout)
        if number == self.wrong:
            stdout.truncate(stdout.tell() * 2 // 3)
        self.sent.append(stdout.tell())

    def move(self, *, live: bool = False) -> None:
        found = fetch(self.b, URL, shutdown=not live, live=live)
        applied, left = apply_fetch(self.b, found)
        if not isinstance(applied, Success):
            raise HostError(str(applied.failure()))
        if left:
            raise HostError(left)

    def who_can_run_it(self) -> str:
        return "".join(name for name, each in (("a", self.a), ("b", self.b)) if can_run(each))


def can_run(host: Host) -> bool:
    if host.observe("web01").power is Power.RUNNING:
        return True
    try:
        return bool(lifecycle.plan_verb(host, "start", "web01").plan.steps)
    except Refused:
        return False


def host_at(
    directory: Path, vm: dict[str, object], pools: Mapping[str, object] | None = None
) -> Host:
    is_disk = vm.get("template") == "image"
    kind = "sparsefile" if is_disk else "directory"
    return Host.from_config(
        {
            **memory_config(directory),
            "pools": pools or {"default": {"type": kind, "path": f"{directory}/volumes"}},
            "drivers": {"memory": {"roots": "disk"} if is_disk else {}},
            "templates": {
                "image": {"disk": {"path": f"{directory.parent}/image", "format": "qcow2"}},
                "debian": {"path": f"{directory.parent}/tree"},
            },
            "vms": {"web01": vm},
        }
    )


def undeclared(host: Host) -> Host:
    """The same host, whose configuration does not have the VM."""
    return replace(host, config=replace(host.config, vms={}))


@pytest.fixture(params=[DISKS, TREES], ids=["disks", "trees"])
def hosts(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TwoHosts]:
    """Two hosts, and something that the guest wrote on web01."""
    qcow2_disk(tmp_path / "image")
    (tmp_path / "tree/etc").mkdir(parents=True)
    a, b = (host_at(tmp_path / name, request.param) for name in "ab")
    apply_plan(a, lifecycle.plan_to(a, "web01")).unwrap()
    for volume in ("root", "data"):
        write(path_of(a, volume), b"by the guest, on " + volume.encode())
    two = TwoHosts(undeclared(a), undeclared(b))
    driver_of(a).memories["web01"] = MEMORY
    peer.IN_MEMORY["a"] = two.serve
    yield two
    del peer.IN_MEMORY["a"]


def path_of(host: Host, volume: str) -> Path:
    return host.pools["default"].path(VolumeId("web01", volume))


def write(volume: Path, words: bytes) -> None:
    if volume.is_dir():
        (volume / "words").write_bytes(words)
        return
    with volume.open("r+b") as disk:
        disk.seek(5 * MIB)
        disk.write(words)


def content(volume: Path) -> object:
    if volume.is_dir():
        return {f"{each.relative_to(volume)}": each.read_bytes() for each in volume.rglob("words")}
    return volume.read_bytes()


def everything(host: Host) -> object:
    return [content(path_of(host, volume)) for volume in ("root", "data")]


def test_a_vm_moves_with_all_that_it_holds_and_leaves_nothing(hosts: TwoHosts) -> None:
    before = everything(hosts.a)
    hosts.move()
    assert everything(hosts.b) == before
    assert not hosts.a.observe("web01").exists
    assert hosts.b.observe("web01").power is Power.RUNNING
    assert offers.noted(hosts.a.registry, "web01") is None
    assert hosts.who_can_run_it() == "b"
    assert driver_of(hosts.b).memories == {"web01": MEMORY}
    again = fetch(hosts.b, URL)
    assert again.planned.plan.is_empty


def test_what_would_be_done_is_told_and_not_done(hosts: TwoHosts) -> None:
    found = fetch(hosts.b, URL, shutdown=True, test=True)
    steps = [describe(step.action, "web01") for step in found.planned.of_vm.steps]
    assert f"copy volume web01/data from {URL}" in steps
    assert f"copy volume web01/root from {URL}, then take web01 over" in steps
    assert steps[-1] == "start web01"
    assert found.bytes == sum(
        hosts.a.pools["default"].used_bytes(VolumeId("web01", volume))
        for volume in ("root", "data")
    )
    assert hosts.a.observe("web01").power is Power.RUNNING
    assert offers.noted(hosts.a.registry, "web01") is None
    assert not hosts.b.observe("web01").exists


REQUESTS = 6  # offer twice, a volume, a volume, give, forget


CUTS = [
    *((DISKS, wrong, is_done) for wrong in range(REQUESTS) for is_done in (True, False)),
    *((TREES, wrong, True) for wrong in (2, 3)),
]


@pytest.mark.parametrize(("hosts", "wrong", "is_done"), CUTS, indirect=["hosts"])
def test_whatever_is_cut_one_host_has_it_and_asking_again_ends_it(
    hosts: TwoHosts, wrong: int, is_done: bool
) -> None:
    before = everything(hosts.a)
    hosts.wrong, hosts.is_done = wrong, is_done
    with pytest.raises(HostError):
        hosts.move()
    given = wrong == 4 and is_done  # and nobody has been told
    assert hosts.who_can_run_it() == ("" if given else "b" if wrong > 4 else "a")
    hosts.move()
    assert len(hosts.sent) > REQUESTS
    assert everything(hosts.b) == before
    assert hosts.who_can_run_it() == "b"
    assert hosts.b.observe("web01").power is Power.RUNNING
    assert not hosts.a.observe("web01").exists
    assert (driver_of(hosts.a).memories, driver_of(hosts.b).memories) == ({}, {"web01": MEMORY})


def test_a_vm_that_was_started_meanwhile_is_not_given_away(hosts: TwoHosts) -> None:
    """What was copied is what it was: so it is copied again."""
    found = fetch(hosts.b, URL, shutdown=True)
    apply_plan(hosts.a, lifecycle.plan_verb(hosts.a, "start", "web01")).unwrap()
    write(path_of(hosts.a, "data"), b"written meanwhile")
    apply_plan(hosts.a, lifecycle.plan_shutdown(hosts.a, "web01")).unwrap()
    applied, _ = apply_fetch(hosts.b, found)
    assert "something was done to it" in str(applied.failure())
    assert hosts.who_can_run_it() == "a"
    before = everything(hosts.a)
    hosts.move()
    assert everything(hosts.b) == before
    assert hosts.b.observe("web01").power is Power.STOPPED


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_was_offered_before_is_not_given_for_what_is_offered_now(hosts: TwoHosts) -> None:
    found = fetch(hosts.b, URL, shutdown=True)
    apply_plan(hosts.a, lifecycle.plan_verb(hosts.a, "start", "web01")).unwrap()
    fetch(hosts.b, URL, shutdown=True)
    applied, _ = apply_fetch(hosts.b, found)
    assert "something was done to it" in str(applied.failure())
    assert hosts.who_can_run_it() == "a"


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_of_a_disk_only_what_differs_is_sent_again(hosts: TwoHosts) -> None:
    hosts.wrong = 4
    with pytest.raises(HostError):
        hosts.move()
    before = sum(hosts.sent[2:4])
    sent = len(hosts.sent)
    hosts.move()
    assert sum(hosts.sent[sent + 2 : sent + 4]) < before / 100


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_holes_stay_holes(hosts: TwoHosts) -> None:
    hosts.move()
    root = path_of(hosts.b, "root").stat()
    assert root.st_size == 24 * MIB
    assert root.st_blocks * 512 < 12 * MIB


def test_what_cannot_leave_is_refused_and_runs_on(hosts: TwoHosts) -> None:
    apply_plan(hosts.a, lifecycle.plan_verb(hosts.a, "lock", "web01")).unwrap()
    with pytest.raises(Refused, match="is locked, and so stays where it is"):
        hosts.move()
    assert hosts.a.observe("web01").power is Power.RUNNING


def test_a_vm_that_runs_is_only_shut_down_if_that_is_asked_for(hosts: TwoHosts) -> None:
    with pytest.raises(Refused, match="memory://a/web01: web01: is running: shut it down first"):
        fetch(hosts.b, URL)


ONE_POOL = [(DISKS, False), (DISKS, True), (TREES, False)]


@pytest.mark.parametrize(("hosts", "live"), ONE_POOL, indirect=["hosts"])
def test_what_both_hosts_have_in_one_pool_is_not_copied_over_itself(
    hosts: TwoHosts, live: bool
) -> None:
    """Each sees the volumes of the other there; nothing is done to them."""
    shared = {**hosts.b.config.pools, "default": hosts.a.config.pools["default"]}
    b = replace(hosts.b, config=replace(hosts.b.config, pools=shared), pools=hosts.a.pools)
    before = everything(hosts.a)
    identity = hosts.a.pools["default"].facts.identity
    with pytest.raises(Refused, match=f"'default' is the pool {identity} on both hosts"):
        fetch(b, URL, shutdown=not live, live=live)
    assert everything(hosts.a) == before
    assert hosts.a.observe("web01").power is Power.RUNNING


def test_a_host_that_cannot_take_it_says_so_before_anything_is_done(hosts: TwoHosts) -> None:
    other = {"name": "web01", "pools": "nowhere"}
    with pytest.raises(Refused, match="nowhere"):
        fetch(hosts.b, URL, {"pools": other["pools"]}, shutdown=True)
    assert hosts.a.observe("web01").power is Power.RUNNING


def test_no_address_arrives_that_nobody_holds_for_it(hosts: TwoHosts) -> None:
    config = hosts.b.config
    strict = replace(config, policy=replace(config.policy, claims=Claims.REQUIRED))
    b = replace(hosts.b, config=strict)
    nics = [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.9/24"]}]
    with pytest.raises(Refused, match=r"does not hold mac-\S+, address-10\.0\.0\.9 for it"):
        fetch(b, URL, {"nics": nics}, shutdown=True)
    assert hosts.a.observe("web01").power is Power.RUNNING
    assert fetch(b, URL, shutdown=True).planned.plan.steps


@pytest.mark.parametrize(
    "url",
    [
        "host-a",
        "ssh://-oProxyCommand=x/web01",
        "ssh:///web01",
        "http://a/web01",
        "ssh://[/x",
    ],
)
def test_a_source_is_a_url(hosts: TwoHosts, url: str) -> None:
    with pytest.raises(Refused, match=r"^source: "):
        fetch(hosts.b, url)


def test_what_is_nowhere_is_refused(hosts: TwoHosts) -> None:
    with pytest.raises(Refused, match="web09: is not on memory://a/web09"):
        fetch(hosts.b, "memory://a/web09")


LIVE_REQUESTS = 5  # offer twice, meet, move, forget


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_a_vm_that_runs_goes_on_elsewhere_and_leaves_nothing(hosts: TwoHosts) -> None:
    found = fetch(hosts.b, URL, live=True, test=True)
    assert describe(found.planned.of_vm.steps[-1].action, "web01") == (
        f"take web01 over from {URL} as it runs"
    )
    assert (offers.noted(hosts.a.registry, "web01"), hosts.who_can_run_it()) == (None, "a")
    hosts.move(live=True)
    assert len(hosts.sent) == LIVE_REQUESTS + 1  # and once only to see
    assert hosts.b.observe("web01").power is Power.RUNNING
    assert not hosts.a.observe("web01").exists
    assert driver_of(hosts.a).sent == {}
    seen = hosts.b.observe("web01")
    assert (seen.recorded, seen.copy_of, seen.to_run) == (seen.in_effect, "", False)
    assert fetch(hosts.b, URL, live=True).planned.plan.is_empty


LIVE_CUTS = [(DISKS, wrong, is_done) for wrong in range(LIVE_REQUESTS) for is_done in (True, False)]


@pytest.mark.parametrize(("hosts", "wrong", "is_done"), LIVE_CUTS, indirect=["hosts"])
def test_whatever_of_a_live_move_is_cut_one_host_has_it_and_asking_again_ends_it(
    hosts: TwoHosts, wrong: int, is_done: bool
) -> None:
    hosts.wrong, hosts.is_done = wrong, is_done
    with pytest.raises(HostError):
        hosts.move(live=True)
    given = wrong == 3 and is_done  # and nobody has been told
    assert hosts.who_can_run_it() == ("" if given else "b" if wrong > 3 else "a")
    assert not given or hosts.b.observe("web01").power is Power.FROZEN
    hosts.move(live=True)
    assert hosts.who_can_run_it() == "b"
    assert hosts.b.observe("web01").power is Power.RUNNING
    assert not hosts.a.observe("web01").exists
    assert driver_of(hosts.b).memories == {"web01": MEMORY}


def driver_of(host: Host) -> MemoryDriver:
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    return driver


def half_moved(hosts: TwoHosts) -> None:
    """It was sent, and the source was cut before it forgot it."""
    with pytest.MonkeyPatch.context() as patch:

        def cut(*_: object) -> None:
            raise HostError("cut")

        patch.setattr(sending_live, "let_go", cut)
        with pytest.raises(HostError, match="cut"):
            hosts.move(live=True)


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_was_sent_to_its_end_goes_on_there_and_is_not_sent_again(hosts: TwoHosts) -> None:
    half_moved(hosts)
    assert hosts.b.observe("web01").power is Power.FROZEN
    with pytest.raises(Refused, match="is an unfinished copy"):
        lifecycle.plan_verb(hosts.b, "unfreeze", "web01")
    sent = len(hosts.sent)
    hosts.move(live=True)
    assert len(hosts.sent) == sent + 4  # offer twice, let go, forget
    assert hosts.who_can_run_it() == "b"


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("hosts", [{**DISKS, "restart": "always"}], indirect=True)
def test_what_was_sent_did_not_end_by_itself_and_is_kept_up_where_it_came(
    hosts: TwoHosts, knows: bool
) -> None:
    half_moved(hosts)
    if not knows:
        driver_of(hosts.a).sent.clear()
    assert keeping_up.keep_up(hosts.a) == []
    hosts.move(live=True)
    assert hosts.who_can_run_it() == "b"
    assert kept_up.noted(hosts.a.registry) == {}
    driver_of(hosts.b).end_by_itself("web01", 3, int(time.time()))
    there = keeping_up.fallen(hosts.b, hosts.b.observe_all())["web01"]
    assert there.due is not None


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_came_and_runs_on_at_its_source_is_stale_and_dropped(hosts: TwoHosts) -> None:
    half_moved(hosts)
    driver_of(hosts.a).start("web01")  # behind geats' back, as a hypervisor that was cut does
    assert hosts.who_can_run_it() == "a"
    with pytest.raises(Refused, match="not whole: move it with `live`, or stop what came here"):
        fetch(hosts.b, URL, shutdown=True)
    hosts.move(live=True)
    assert hosts.who_can_run_it() == "b"
    assert not hosts.a.observe("web01").exists


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_a_restart_of_the_source_does_not_let_it_forget_what_it_sent(hosts: TwoHosts) -> None:
    half_moved(hosts)
    driver_of(hosts.a).sent.clear()  # the driver knew, until its daemon was restarted
    sent = len(hosts.sent)
    hosts.move(live=True)
    assert len(hosts.sent) == sent + 4  # offer twice, let go, forget
    assert (hosts.who_can_run_it(), driver_of(hosts.a).sent) == ("b", {})


@pytest.mark.parametrize("power", [Power.FROZEN, Power.STOPPED])
@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_a_vm_whose_hypervisor_was_cut_goes_on_at_its_source_and_moves_with_the_same_command(
    hosts: TwoHosts, power: Power
) -> None:
    """It stands still there, or is off, and what came is not whole."""
    cut_amid_sending(hosts, power)
    assert hosts.b.observe("web01").power is Power.STOPPED
    told = fetch(hosts.b, URL, live=True, test=True)
    assert "take web01 over" in describe(told.planned.of_vm.steps[-1].action, "web01")
    assert hosts.a.observe("web01").power is power
    hosts.move(live=True)
    assert (hosts.b.observe("web01").power, hosts.who_can_run_it()) == (Power.RUNNING, "b")
    assert not hosts.a.observe("web01").exists


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_a_vm_that_is_off_and_not_because_of_a_move_is_not_started_for_one(
    hosts: TwoHosts,
) -> None:
    cut_amid_sending(hosts, Power.STOPPED)
    driver_of(hosts.a).cut.clear()
    with pytest.raises(Refused, match="is off: leave out `live`"):
        hosts.move(live=True)
    assert hosts.a.observe("web01").power is Power.STOPPED


def cut_amid_sending(hosts: TwoHosts, power: Power) -> None:
    def cut(driver: MemoryDriver, name: str, *_: object) -> None:
        on = power is not Power.STOPPED
        seen = driver.vms[name]
        driver.vms[name] = replace(seen, power=power, in_effect=seen.in_effect if on else None)
        driver.cut.add(name)
        raise HostError("its daemon was killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryDriver, "send", cut)
        with pytest.raises(HostError, match="its daemon was killed"):
            hosts.move(live=True)


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_the_other_host_has_to_its_end_goes_on_there_if_nobody_here_knows(
    hosts: TwoHosts,
) -> None:
    half_moved(hosts)
    driver_of(hosts.a).sent.clear()
    hosts.a.registry.forget_note(offers.SENT, "web01")
    driver_of(hosts.a).cut.add("web01")
    sent = len(hosts.sent)
    hosts.move(live=True)
    assert len(hosts.sent) == sent + 4  # offer twice, let go, forget
    assert (hosts.b.observe("web01").power, hosts.who_can_run_it()) == (Power.RUNNING, "b")


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_nothing_is_dropped_as_long_as_nobody_knows_whether_it_was_sent(hosts: TwoHosts) -> None:
    half_moved(hosts)
    driver_of(hosts.a).sent.clear()
    hosts.a.registry.forget_note(offers.SENT, "web01")
    noted = offers.noted(hosts.a.registry, "web01")
    assert noted is not None
    for ask in (sending_live.let_go, sending_live.meet):
        with pytest.raises(
            Refused, match="nobody knows whether all of it was sent: start it there"
        ):
            ask(hosts.a, {"vm": "web01", "mark": noted.mark})
    assert hosts.a.observe("web01").is_recorded


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_ran_on_at_its_source_and_is_off_now_is_not_given_for_what_was_sent(
    hosts: TwoHosts,
) -> None:
    half_moved(hosts)
    driver_of(hosts.a).start("web01")  # behind geats' back
    driver_of(hosts.a).stop("web01")
    with pytest.raises(Refused, match="web01: is off: leave out `live`"):
        hosts.move(live=True)
    noted = offers.noted(hosts.a.registry, "web01")
    assert noted is not None
    with pytest.raises(Refused, match="nobody knows whether all of it was sent"):
        sending_live.let_go(hosts.a, {"vm": "web01", "mark": noted.mark})
    assert hosts.who_can_run_it() == "a"


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_runs_on_at_its_source_after_it_was_sent_does_not_go_on_here(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = MemoryDriver.send

    def sent_in_vain(driver: MemoryDriver, name: str, domain: str, _: object) -> None:
        send(driver, name, domain)
        driver.start(name)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryDriver, "send", sent_in_vain)
        with pytest.raises(HostError, match="it runs on at its source, though it was sent"):
            hosts.move(live=True)
    assert (hosts.who_can_run_it(), hosts.b.observe("web01").power) == ("a", Power.FROZEN)
    hosts.move(live=True)
    assert hosts.who_can_run_it() == "b"


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_was_left_suspended_here_is_no_copy_any_more_and_the_same_command_lets_it_go_on(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise HostError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryDriver, "unfreeze", cut)
        with pytest.raises(HostError, match="cut"):
            hosts.move(live=True)
    seen = hosts.b.observe("web01")
    assert (seen.power, seen.copy_of, seen.to_run) == (Power.FROZEN, "", False)
    assert all(not each.is_reserved and not each.is_copy for each in seen.volumes)
    found = fetch(hosts.b, URL, live=True)
    assert [describe(step.action, "web01") for step in found.planned.of_vm.steps] == [
        "unfreeze web01"
    ]
    hosts.move(live=True)
    assert (hosts.who_can_run_it(), hosts.a.observe("web01").exists) == ("b", False)


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_came_in_one_move_is_not_taken_for_what_another_host_was_given(
    hosts: TwoHosts, tmp_path: Path
) -> None:
    half_moved(hosts)
    driver_of(hosts.a).start("web01")
    other = replace(hosts, b=undeclared(host_at(tmp_path / "c", DISKS)))
    hosts.wrong, hosts.is_done = len(hosts.sent) + 4, False  # what is left stays there
    with pytest.raises(HostError, match="what is left of web01 stays there"):
        other.move(live=True)
    with pytest.raises(HostError, match="is not here any more, but its volumes are"):
        hosts.move(live=True)
    assert (other.who_can_run_it(), hosts.b.observe("web01").power) == ("b", Power.FROZEN)


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_each_offer_of_what_runs_has_a_mark_of_its_own(hosts: TwoHosts) -> None:
    first, second = (fetch(hosts.b, URL, live=True).offer for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.mark != second.mark


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_is_declared_or_suspended_meanwhile_is_not_sent_and_no_sockets_are_left(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted: list[str] = []
    monkeypatch.setattr(MemoryDriver, "part", lambda _, name: parted.append(name))
    offer = fetch(hosts.b, URL, live=True).offer
    assert offer is not None
    request = {"vm": "web01", "mark": offer.mark}
    declared = replace(hosts.a, config=host_at(tmp_of(hosts), DISKS).config)
    with pytest.raises(Refused, match="is declared here, which would recreate it"):
        sending_live.move(declared, request)
    driver_of(hosts.a).freeze("web01")
    with pytest.raises(Refused, match="is frozen: let it run there"):
        sending_live.move(hosts.a, request)
    assert (parted, driver_of(hosts.a).sent) == (["web01", "web01"], {"web01": False})


def tmp_of(hosts: TwoHosts) -> Path:
    return Path(hosts.a.config.state_dir).parent


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_was_started_again_is_not_given_for_what_was_sent(hosts: TwoHosts) -> None:
    half_moved(hosts)
    apply_plan(hosts.a, lifecycle.plan_verb(hosts.a, "start", "web01")).unwrap()
    apply_plan(hosts.a, lifecycle.plan_shutdown(hosts.a, "web01")).unwrap()
    with pytest.raises(Refused, match="web01: is off: leave out `live`"):
        hosts.move(live=True)
    assert hosts.who_can_run_it() == "a"
    apply_plan(hosts.b, lifecycle.plan_verb(hosts.b, "stop", "web01")).unwrap()
    hosts.move()
    assert hosts.who_can_run_it() == "b"


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_if_what_came_is_lost_after_it_was_given_its_volumes_are_copied_again(
    hosts: TwoHosts,
) -> None:
    before = everything(hosts.a)
    hosts.wrong = 3
    with pytest.raises(HostError):
        hosts.move(live=True)
    driver_of(hosts.b).stop("web01")
    with pytest.raises(HostError, match="is not here any more, but its volumes are"):
        hosts.move(live=True)
    hosts.move()
    assert everything(hosts.b) == before
    assert (hosts.who_can_run_it(), hosts.a.observe("web01").exists) == ("b", False)


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_cannot_move_as_it_runs_is_refused_and_runs_on(hosts: TwoHosts) -> None:
    with pytest.raises(Refused, match="say one of both"):
        fetch(hosts.b, URL, live=True, shutdown=True)
    apply_plan(hosts.a, lifecycle.plan_verb(hosts.a, "freeze", "web01")).unwrap()
    with pytest.raises(Refused, match="web01: is frozen: let it run"):
        fetch(hosts.b, URL, live=True)
    apply_plan(hosts.a, lifecycle.plan_verb(hosts.a, "unfreeze", "web01")).unwrap()
    driver = driver_of(hosts.a)
    vm = driver.vms["web01"]
    driver.vms["web01"] = replace(vm, in_effect=replace(vm.in_effect, hostname="old"))  # type: ignore[type-var]
    with pytest.raises(Refused, match="has changes that take effect when it restarts"):
        fetch(hosts.b, URL, live=True)
    assert hosts.a.observe("web01").power is Power.RUNNING
