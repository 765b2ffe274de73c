"""What is declared of the VMs of a host in memory, held against what is there."""

from pathlib import Path

from geats_core.plans.field_changes import Difference
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.watching.differences import differences, differences_report
from tests.memory_host import memory_config, memory_host


def started(directory: Path, *names: str) -> None:
    host = memory_host(directory)
    for name in names:
        apply_plan(host, lifecycle.plan_verb(host, "start", name)).unwrap()


def with_vms(directory: Path, **vms: object) -> Host:
    return Host.from_config({**memory_config(directory), "vms": vms})


SMALL: dict[str, object] = {"driver": "memory", "template": "debian"}


def test_a_host_that_is_as_declared_has_no_differences(tmp_path: Path) -> None:
    started(tmp_path, "web01", "db01")
    assert differences(memory_host(tmp_path)) == ({}, {})


def test_of_a_vm_only_what_differs_is_told(tmp_path: Path) -> None:
    started(tmp_path, "web01", "db01")
    nic = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.3/24"]}
    web = {**SMALL, "memory": "1GiB", "nics": [nic], "metadata": {"password": "x"}}
    host = with_vms(tmp_path, web01=web, web02=SMALL)
    found, refused = differences(host)
    assert refused == {}
    assert set(found) == {"db01", "web01", "web02"}
    assert found["db01"] == (Difference("defined", True, False),)
    assert found["web02"] == (Difference("defined", False, True),)
    assert set(map(str, found["web01"])) == {
        "memory 512MiB → 1GiB",
        "nics.eth0.addresses 10.0.0.2/24 → 10.0.0.3/24",
        "metadata.password (not set) → (hidden)",
    }
    assert list(differences(host, ["db01"])[0]) == ["db01"]
    report = differences_report(host, ["web02"])
    assert report["vms"] == {"web02": {"defined": {"old": False, "new": True}}}
    assert report["refused"] == {}


def test_a_vm_that_cannot_be_compared_does_not_stop_the_others(tmp_path: Path) -> None:
    started(tmp_path, "web01")
    host = with_vms(tmp_path, web01={**SMALL, "memory": "lots"}, db01=SMALL)
    found, refused = differences(host, ["web01", "db01", "nobody"])
    assert list(found) == ["db01"]
    assert set(refused) == {"web01", "nobody"}
    assert "nobody is not on this host" in str(refused["nobody"][0])


def test_volumes_that_are_left_of_a_vm_are_no_difference(tmp_path: Path) -> None:
    started(tmp_path, "web01", "db01")
    host = memory_host(tmp_path)
    apply_plan(host, lifecycle.plan_verb(host, "undefine", "db01")).unwrap()
    found, _ = differences(with_vms(tmp_path, web02=SMALL))
    assert set(found) == {"web01", "web02"}
