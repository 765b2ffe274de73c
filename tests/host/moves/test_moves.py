"""VMs that move between two hosts: whatever is cut, one has the VM, and asking again ends it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pytest
from returns.result import Success

from geats_core.planning.actions import describe
from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.moves import sending
from geats_host.moves.fetch import apply_fetch, fetch
from geats_host.observing import offers
from geats_host.peers import peer
from geats_host.storage import VolumeId
from tests.host.templates.disks import MIB, qcow2_disk
from tests.memory_host import memory_config

URL = "memory://a/web01"
DISKS = {
    "profile": "small",
    "template": "image",
    "volumes": [{"name": "root", "size": "24MiB"}, {"name": "data", "size": "6MiB"}],
}
TREES = {"profile": "small", "volumes": [{"name": "root"}, {"name": "data", "mount": "/data"}]}


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

    def move(self) -> None:
        found = fetch(self.b, URL, shutdown=True)
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


def host_at(directory: Path, vm: dict[str, object]) -> Host:
    is_disk = vm is DISKS
    kind = "sparsefile" if is_disk else "directory"
    return Host.from_config(
        {
            **memory_config(directory),
            "pools": {"default": {"type": kind, "path": f"{directory}/volumes"}},
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


def test_a_host_that_cannot_take_it_says_so_before_anything_is_done(hosts: TwoHosts) -> None:
    other = {"name": "web01", "pools": "nowhere"}
    with pytest.raises(Refused, match="nowhere"):
        fetch(hosts.b, URL, {"pools": other["pools"]}, shutdown=True)
    assert hosts.a.observe("web01").power is Power.RUNNING


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
