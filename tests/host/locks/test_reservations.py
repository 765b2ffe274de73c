"""What is true of a host counts for single verbs too, and again in the moment that takes it."""

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from geats_core.hostwide.reservations import Reservation
from geats_core.planning.goal import Target
from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.linux.descriptors import closing
from geats_host.locks import file_locks, reservations
from tests.memory_host import memory_config

BOTH = ("a", "b")
NIC = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.9/24"]}


def host(directory: Path, a: Mapping[str, object], b: Mapping[str, object], **more: object) -> Host:
    vms = {"a": {"profile": "small", **a}, "b": {"profile": "small", **b}}
    return Host.from_config({**memory_config(directory), "vms": vms, **more})


def mac(address: str) -> dict[str, object]:
    return {"nics": [{"name": "eth0", "bridge": "br0", "mac": address}]}


RULES: Mapping[str, tuple[Mapping[str, object], str]] = {
    "an address": ({"nics": [NIC]}, r"nics\[eth0\]\.addresses: the address 10\.0\.0\.9"),
    "a MAC address": (mac("02:00:00:00:00:01"), r"nics\[eth0\]\.mac: the MAC address 02:00"),
}


@pytest.mark.parametrize("verb", ["start", "provision"])
@pytest.mark.parametrize("rule", RULES)
def test_a_single_verb_does_not_take_what_another_vm_has(
    tmp_path: Path, rule: str, verb: str
) -> None:
    both, said = RULES[rule]
    here = host(tmp_path, both, both)
    apply_plan(here, lifecycle.plan_verb(here, "start", "a")).unwrap()
    with pytest.raises(Refused, match=said):
        lifecycle.plan_verb(here, verb, "b")
    apply_plan(here, lifecycle.plan_verb(here, "stop", "a")).unwrap()
    apply_plan(here, lifecycle.plan_verb(here, "start", "b")).unwrap()
    with pytest.raises(Refused, match=said):
        lifecycle.plan_verb(here, "start", "a")


def test_a_reboot_does_not_take_the_address_that_another_vm_has(tmp_path: Path) -> None:
    before = host(tmp_path, {"nics": [NIC]}, {})
    for name in BOTH:
        apply_plan(before, lifecycle.plan_verb(before, "start", name)).unwrap()
    here = host(tmp_path, {"nics": [NIC]}, {"nics": [NIC]})
    spec = here.declared("b")
    assert spec is not None
    before.registry.record(spec)
    for verb in ("reboot", "reinit"):
        with pytest.raises(Refused, match=r"b\.nics\[eth0\]\.addresses: the address 10\.0\.0\.9"):
            lifecycle.plan_verb(here, verb, "b")


def test_a_single_verb_does_not_take_more_memory_than_there_is(tmp_path: Path) -> None:
    here = host(tmp_path, {}, {"memory": "1024TiB"})
    with pytest.raises(Refused, match=r"memory: b \(1PiB\) would take 1PiB"):
        lifecycle.plan_verb(here, "start", "b")


def test_what_a_vm_itself_has_is_no_reason_to_refuse_it(tmp_path: Path) -> None:
    here = host(tmp_path, {"nics": [NIC]}, {})
    for verb in ("start", "reboot", "freeze", "unfreeze", "reinit", "stop", "start"):
        apply_plan(here, lifecycle.plan_verb(here, verb, "a")).unwrap()


def together(work: Callable[[str], object]) -> dict[str, object]:
    """Do *work* for both VMs at once: what each came to, be it an error."""

    def result(name: str) -> object:
        try:
            return work(name)
        except Refused as refused:
            return refused

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(BOTH, pool.map(result, BOTH), strict=True))


def test_of_two_vms_with_one_address_that_are_started_at_once_one_starts(tmp_path: Path) -> None:
    for turn in range(100):
        directory = tmp_path / str(turn)
        hosts = {name: host(directory, {"nics": [NIC]}, {"nics": [NIC]}) for name in BOTH}
        planned = {name: lifecycle.plan_verb(hosts[name], "start", name) for name in BOTH}
        ready = Barrier(2)

        def apply(
            name: str,
            hosts: Mapping[str, Host] = hosts,
            planned: Mapping[str, SavedPlan] = planned,
            ready: Barrier = ready,
        ) -> object:
            ready.wait()
            return apply_plan(hosts[name], planned[name]).unwrap()

        done = together(apply)
        refused = [name for name, came_to in done.items() if isinstance(came_to, Refused)]
        powers = {name: have.power for name, have in hosts["a"].observe_all().items()}
        assert len(refused) == 1
        assert [name for name, power in powers.items() if power is Power.RUNNING] == [
            name for name in BOTH if name not in refused
        ]


def test_what_an_operation_that_is_under_way_takes_is_taken(tmp_path: Path) -> None:
    here = host(tmp_path, {"nics": [NIC]}, {"nics": [NIC]})
    made = {name: lifecycle.plan_verb(here, "start", name) for name in BOTH}
    under_way: list[str] = []

    def progress(*_: object) -> None:
        if not under_way:
            with pytest.raises(Refused, match=r"an operation in progress takes it") as refused:
                apply_plan(here, made["b"])
            under_way.extend(refused.value.problems)

    apply_plan(here, made["a"], progress).unwrap()
    assert under_way[0].startswith("b.nics[eth0].addresses: the address 10.0.0.9 is also that of a")
    assert list((tmp_path / "run" / "reservations").iterdir()) == []


def test_what_takes_nothing_waits_for_nobody(tmp_path: Path) -> None:
    here = host(tmp_path, {"nics": [NIC]}, {})
    apply_plan(here, lifecycle.plan_verb(here, "start", "a")).unwrap()
    with reservations.alone(tmp_path / "run"):
        apply_plan(here, lifecycle.plan_verb(here, "freeze", "a")).unwrap()
        apply_plan(here, lifecycle.plan_to(here, "a", str(Target.OFF))).unwrap()


def test_what_a_process_reserved_that_is_gone_is_taken_by_who_comes_next(tmp_path: Path) -> None:
    here = host(tmp_path, {"nics": [NIC]}, {"nics": [NIC]})
    run = tmp_path / "run"
    read, write = os.pipe()
    child = os.fork()
    if not child:  # it dies in the midst
        spec = here.declared("b")
        assert spec is not None
        holding = reservations.reserved(run, {"b": Reservation(spec=spec, runs=True)})
        holding.__enter__()
        os.write(write, b"x")
        os._exit(9)
    assert os.read(read, 1) == b"x"
    os.waitpid(child, 0)
    assert len(list((run / "reservations").iterdir())) == 1
    apply_plan(here, lifecycle.plan_verb(here, "start", "a")).unwrap()
    assert list((run / "reservations").iterdir()) == []


def test_a_reservation_of_another_geats_is_waited_for(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with reservations.reserved(run, {}):
        (file,) = (run / "reservations").iterdir()
        file.write_text(json.dumps({"more": 1}))
        with pytest.raises(HostError, match="is not a reservation of this version of geats"):
            reservations.of_others(run)


def test_who_waits_for_the_lock_of_the_host_is_told_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "LONGEST_WAIT_S", 0.0)
    with (
        reservations.alone(tmp_path),
        pytest.raises(HostError, match=f"process {os.getpid()} holds the lock of the host"),
        reservations.alone(tmp_path),
    ):
        pass


def test_what_goes_wrong_while_it_is_reserved_is_not_told_as_trouble_with_that(
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match="somewhere else"), reservations.reserved(tmp_path, {}):
        raise OSError(5, "somewhere else")


def test_a_reservation_that_cannot_be_written_is_told_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.open("/dev/full", os.O_RDWR)
    monkeypatch.setattr(file_locks, "opened", lambda *_: closing(full))
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with (
        pytest.raises(HostError, match=r"reservations/\d+-.*: No space left on device"),
        reservations.reserved(tmp_path, {}),
    ):
        pytest.fail("it was not written")
