"""What virtual machines need of a host, on hosts that are directories here."""

from pathlib import Path

import pytest

from geats_core.domains.machine import Firmware, Machine
from geats_host.drivers.libvirt.needs import Needs
from geats_host.drivers.libvirt.options import Options


def options(tmp_path: Path, **changed: str) -> Options:
    return Options(state_dir=tmp_path, **{"kind": "kvm", **changed})  # type: ignore[arg-type]


def test_without_hardware_for_it_no_vm_of_kvm_is_started(tmp_path: Path) -> None:
    needs = Needs(kvm=tmp_path / "kvm")
    lacking = needs.no_start(options(tmp_path))
    assert lacking is not None
    assert lacking.why.startswith(f"there is no {tmp_path}/kvm: load the modules")
    assert needs.no_start(options(tmp_path, kind="qemu")) is None
    assert needs.no_start(options(tmp_path, uri="qemu+ssh://other/system")) is None
    (tmp_path / "kvm").touch()
    assert needs.no_start(options(tmp_path)) is None


def test_what_a_machine_has_that_the_host_lacks_is_told_by_its_key(tmp_path: Path) -> None:
    nowhere = (tmp_path / "none", tmp_path / "firmware")
    needs = Needs(firmware=nowhere, sharing=nowhere, tpm="no-such-swtpm")
    wants = Machine(firmware=Firmware.UEFI, tpm=True)
    assert [str(each) for each in needs.lacking(options(tmp_path), wants, shares=True)] == [
        "hardware.firmware: is not installed: apt-get install ovmf",
        "hardware.tpm: needs no-such-swtpm, which is not installed: apt-get install swtpm"
        " swtpm-tools",
        "binds: needs virtiofsd, which is not installed: apt-get install virtiofsd",
    ]
    assert list(needs.lacking(options(tmp_path), Machine())) == []
    assert list(needs.lacking(options(tmp_path, uri="qemu+ssh://other/system"), wants)) == []


@pytest.mark.parametrize("tpm", ["sh", "true"])
def test_what_is_there_is_enough(tmp_path: Path, tpm: str) -> None:
    (tmp_path / "60-ovmf.json").touch()
    (tmp_path / "50-qemu-virtiofsd.json").touch()
    needs = Needs(firmware=(tmp_path,), sharing=(tmp_path,), tpm=tpm)
    wants = Machine(firmware=Firmware.UEFI_SECURE, tpm=True)
    assert list(needs.lacking(options(tmp_path), wants, shares=True)) == []
    assert needs.missing(options(tmp_path)) == {}
