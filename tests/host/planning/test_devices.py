"""Devices of this host: only what is there, is a device, and is allowed, by any name it has."""

from pathlib import Path

import pytest

from geats_core.containers.devices import Device
from geats_core.declared.config import parse_config
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.drivers.lxc.kernel.devices import nodes
from geats_host.planning import allowed


def wrong(source: str, *sources: str, optional: bool = False) -> list[str]:
    device = {"source": source, "optional": optional}
    spec = parse_vm("web", {"template": "t", "devices": {"a": device}}).unwrap()
    config = parse_config({"device_sources": [*sources]}).unwrap()
    return [str(each).removeprefix("devices.a.source: ") for each in allowed.problems(spec, config)]


def test_only_devices_that_are_there_and_allowed_are_had() -> None:
    assert wrong("/dev/null", "/dev/null") == []
    assert wrong("/dev/null") == [
        "'/dev/null' is not within what device_sources allows (there is none)"
    ]
    assert wrong("/dev/none", "/dev") == ["'/dev/none' cannot be had: No such file or directory"]
    assert wrong("/dev/none", "/dev", optional=True) == []


def test_a_link_must_lead_to_what_is_allowed_too() -> None:
    found = Path("/dev/fd").resolve()
    assert wrong("/dev/fd", "/dev") == [
        f"'/dev/fd' leads to '{found}', which is not within what device_sources allows (/dev)"
    ]


def test_a_file_is_no_device(tmp_path: Path) -> None:
    spec = VMSpec(
        name="web",
        driver="lxc",
        template="t",
        hostname="web",
        volumes=(),
        devices=(Device(name="a", source=str(tmp_path / "file"), mount="/dev/a"),),
    )
    (tmp_path / "file").touch()
    config = parse_config({"device_sources": [str(tmp_path)]}).unwrap()
    assert [each.message for each in allowed.problems(spec, config)] == [
        f"'{tmp_path}/file' is no device, nor a directory of devices"
    ]


@pytest.mark.parametrize(
    ("source", "number"), [("/dev/null", "c 1:3"), ("/dev/pts/ptmx", "c 5:2"), ("/dev/no", "")]
)
def test_the_numbers_of_a_device_are_those_of_the_host(source: str, number: str) -> None:
    found = nodes([Device(name="a", source=source, mount=source)])
    assert [each.numbers for each in found.values()] == [(number,)] * bool(number)


def test_a_directory_has_the_numbers_of_all_that_is_in_it() -> None:
    (found,) = nodes([Device(name="a", source="/dev/pts", mount="/dev/a")]).values()
    assert "c 5:2" in found.numbers
    assert found.is_directory


def test_a_link_in_a_directory_gives_no_leave_for_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "gone").symlink_to("/dev/none")
    (tmp_path / "file").touch()
    (found,) = nodes([Device(name="a", source=str(tmp_path), mount="/dev/a")]).values()
    assert (found.numbers, found.is_directory) == ((), True)
