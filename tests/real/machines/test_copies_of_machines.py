"""Snapshots, clones and archives of virtual machines that QEMU emulates, each by its plan."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.planning.goal import Target
from geats_core.vm.observation import Power
from geats_host.calls import copies, lifecycle, snapshots
from geats_host.drivers.libvirt.driver import LibvirtDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.testing.tiny_guest import GUEST
from tests.faults import Killed
from tests.real.machines.libvirt_daemon import a_daemon, virsh
from tests.real.machines.machine_ground import NAME, OTHER, THIRD, Ground

NVRAM = Path("/var/lib/libvirt/qemu/nvram")
TPMS = Path("/var/lib/libvirt/swtpm")


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with a_daemon(tmp_path_factory.mktemp("libvirt")):
        yield


def end(ground: Ground) -> None:
    for name in ground.host.observe_all():
        if ground.host.observe(name).exists:
            ground.to(Target.DEPROVISIONED, name)
    assert virsh("list", "--all", "--name").strip() == ""


def test_a_vm_that_is_on_is_copied_and_runs_beside_its_copies(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "sparsefile")
    ground.to(Target.RUNNING)
    host = ground.host
    copies.apply_copy(host, copies.clone(host, NAME, OTHER)).unwrap()
    archive = tmp_path / "one.geats"
    copies.apply_export(host, copies.export(host, NAME, f"{archive}")).unwrap()
    copies.apply_copy(host, copies.import_(host, f"{archive}", THIRD)).unwrap()
    for name in (OTHER, THIRD):
        ground.to(Target.RUNNING, name)
    seen = ground.host.observe_all()
    assert {name: have.power for name, have in seen.items()} == dict.fromkeys(
        (NAME, OTHER, THIRD), Power.RUNNING
    )
    assert {ground.begins(name) for name in seen} == {GUEST}
    assert len({ground.instance(name) for name in seen}) == 3
    end(ground)


def memory(name: str) -> dict[str, bytes]:
    """What the firmware and the TPM of a VM remember: what is in their files."""
    files = [*NVRAM.glob(f"{name}_*"), *TPMS.glob(f"{uuid(name)}/*/*.permall")]
    return {file.suffix: file.read_bytes() for file in files}


def test_what_a_machine_remembers_is_in_archives_and_its_tpm_in_no_other_vm(
    tmp_path: Path,
) -> None:
    ground = Ground(tmp_path, "sparsefile")
    deaf = {"shutdown_timeout": 1}  # the firmware finds nothing that it can boot
    ground.change(NAME, hardware={"firmware": "uefi", "tpm": True}, **deaf)
    ground.to(Target.RUNNING)
    ground.to(Target.STOPPED)
    with (NVRAM / f"{NAME}_VARS.fd").open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"entries")
    host, known, archive = ground.host, memory(NAME), f"{tmp_path}/one.geats"
    assert {kind: b"entries" in content for kind, content in known.items()} == {
        ".fd": True,
        ".permall": False,
    }
    copies.apply_export(host, copies.export(host, NAME, archive)).unwrap()
    copies.apply_copy(host, copies.clone(host, NAME, OTHER)).unwrap()
    copies.apply_copy(host, copies.import_(host, archive, THIRD)).unwrap()
    assert memory(OTHER) == memory(THIRD) == {".fd": known[".fd"]}

    ground.to(Target.DEPROVISIONED)
    copies.apply_copy(host, copies.import_(host, archive)).unwrap()
    assert memory(NAME) == known
    for name in (NAME, OTHER):
        apply_plan(host, lifecycle.plan_verb(host, "start", name)).unwrap()
        assert b"entries" in memory(name)[".fd"]
    assert len({memory(name)[".permall"] for name in (NAME, OTHER)}) == 2
    end(ground)
    left = [each for top in (NVRAM, TPMS) for each in top.rglob("*") if each.is_file()]
    assert left == []


def test_a_snapshot_brings_back_what_the_machine_remembered(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "qcow2")
    ground.change(NAME, hardware={"firmware": "uefi", "tpm": True}, shutdown_timeout=1)
    ground.to(Target.RUNNING)
    ground.to(Target.STOPPED)
    apply_plan(ground.host, snapshots.snapshot(ground.host, NAME, "monday")).unwrap()
    known = memory(NAME)
    assert {*known} == {".fd", ".permall"}
    for file in (*NVRAM.glob(f"{NAME}_*"), *TPMS.glob(f"{uuid(NAME)}/*/*.permall")):
        file.write_bytes(b"other" + file.read_bytes()[5:])
    restore = snapshots.restore(ground.host, NAME, "monday", allow_data_loss=True)
    apply_plan(ground.host, restore).unwrap()
    assert memory(NAME) == known
    end(ground)


def _die(driver: LibvirtDriver, *about: object) -> None:
    raise Killed


def uuid(name: str) -> str:
    """What the guest sees of itself, whatever it is called."""
    return virsh("domuuid", name).strip()


def test_a_renamed_vm_is_the_same_machine_and_its_old_name_another(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "sparsefile")
    ground.to(Target.RUNNING)
    known, instance = uuid(NAME), ground.instance(NAME)
    ground.to(Target.STOPPED)
    mine = virsh("dumpxml", "--inactive", NAME).replace("<os>", "<title>mine</title><os>")
    virsh("define", "/dev/stdin", text=mine)
    NVRAM.mkdir(parents=True, exist_ok=True)
    (NVRAM / f"{NAME}_VARS.fd").write_text("entries")
    declared = ground.raw
    ground.raw = {**declared, "vms": {}}
    planned = copies.rename(ground.host, NAME, "geats-test-new")
    assert "the guest keeps its UUID" in " ".join(planned.warnings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LibvirtDriver, "define", _die)
        with pytest.raises(Killed):
            apply_plan(ground.host, planned)
    assert uuid("geats-test-new") == known
    apply_plan(ground.host, copies.rename(ground.host, NAME, "geats-test-new")).unwrap()

    ground.raw = declared
    apply_plan(ground.host, lifecycle.plan_verb(ground.host, "start", "geats-test-new")).unwrap()
    assert (uuid("geats-test-new"), ground.instance("geats-test-new")) == (known, instance)
    assert ground.host.observe("geats-test-new").by_hand == ("<title>mine</title>",)
    ground.to(Target.RUNNING)
    assert [(file.name, file.read_text()) for file in NVRAM.iterdir()] == [
        ("geats-test-new_VARS.fd", "entries")
    ]
    assert uuid(NAME) != known
    assert ground.instance(NAME) != instance
    end(ground)


def test_a_vm_goes_back_to_its_snapshot_and_is_on_again(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "qcow2")
    ground.to(Target.RUNNING)
    with pytest.raises(Refused, match="while"):
        snapshots.snapshot(ground.host, NAME, "monday")
    ground.to(Target.STOPPED)
    apply_plan(ground.host, snapshots.snapshot(ground.host, NAME, "monday")).unwrap()
    ground.to(Target.RUNNING)
    host = ground.host
    with pytest.raises(Refused, match="allow data loss"):
        snapshots.restore(host, NAME, "monday")
    apply_plan(host, snapshots.restore(host, NAME, "monday", allow_data_loss=True)).unwrap()
    assert ground.host.observe(NAME).power is Power.RUNNING
    ground.to(Target.REINITIALISED)
    assert ground.host.observe(NAME).power is Power.RUNNING
    end(ground)
