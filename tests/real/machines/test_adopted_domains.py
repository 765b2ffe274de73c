"""A real domain that libvirt made, adopted as it is and as it runs."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.planning.actions import Adopt
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.planning.spec_changes import Impact
from geats_core.vm.observation import Power
from geats_host.calls import adopt
from geats_host.calls.guests import logs
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.linux.run import run
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from geats_host.storage import lvm
from geats_host.storage.lvm_commands import LogicalVolume
from geats_host.testing.tiny_guest import root_disk
from tests.real.machines.libvirt_daemon import a_daemon, virsh
from tests.real.storage.fake_lvm import FakeLvm

NAME, ODD, OTHER = "geats-test-old", "Old Box", "geats-test-box"
UUID = "027b22c9-a1bf-446a-b4af-9411a09008f8"
DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>027b22c9-a1bf-446a-b4af-9411a09008f8</uuid>
  <title>of somebody</title>
  <memory unit='MiB'>96</memory><currentMemory unit='MiB'>64</currentMemory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/><pae/></features>
  <clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/></clock>
  <on_crash>preserve</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='unsafe'/><source file='{folder}/old.img'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{folder}/more.qcow2'/>
      <target dev='vdd' bus='virtio'/><serial>data</serial>
      <iotune><total_iops_sec>500</total_iops_sec></iotune>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='user'><mac address='52:54:00:00:00:07'/><model type='e1000'/></interface>
    <input type='tablet' bus='usb'/>
    <sound model='ich9'/>
    <graphics type='vnc' autoport='yes'/>
    <video><model type='vga'/></video>
    <rng model='virtio'><backend model='random'>/dev/random</backend></rng>
  </devices>
</domain>"""


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with a_daemon(tmp_path_factory.mktemp("libvirt")):
        yield


def host_at(folder: Path, **vms: object) -> Host:
    pools = {
        "default": {"type": "directory", "path": f"{folder}/trees"},
        "files": {"type": "sparsefile", "path": f"{folder}/files"},
        "images": {"type": "qcow2", "path": f"{folder}/images"},
    }
    return Host.from_config(
        {
            **{"state_dir": f"{folder}/state", "run_dir": f"{folder}/run", "pools": pools},
            "drivers": {"qemu": {"settle": 0.1}},
            "templates": {"image": {"disk": {"path": f"{folder}/old.img", "format": "raw"}}},
            "vms": vms,
        }
    )


def made(folder: Path, name: str, *, power: bool = False) -> str:
    """The definition of a domain, as an operator makes it who knows nothing of geats."""
    root_disk(folder / "old.img")
    run(["qemu-img", "create", "-q", "-f", "qcow2", f"{folder}/more.qcow2", "1M"], timeout_s=30)
    text = DOMAIN.format(name=name, folder=folder)
    virsh("define", "/dev/stdin", text=text)
    if power:
        virsh("start", name)
    return xml(name)


def xml(name: str) -> str:
    return virsh("dumpxml", "--inactive", name)


def pid(name: str) -> int:
    return int(Path(f"/run/libvirt/qemu/{name}.pid").read_text())


def to(host: Host, name: str, target: Target) -> Impact:
    have = host.observe(name)
    goal = Goal(name="", target=target, data_loss=DataLoss.ALLOWED)
    planned = plan_vm(host, goal_by_name(goal, name, host.config, {name: have}), have)
    apply_plan(host, planned).unwrap()
    return planned.of_vm.impact


def left_out(text: str, *lines: str) -> list[str]:
    """The lines of a definition but for some, each of which is there."""
    found = [line.strip() for line in text.splitlines()]
    for line in lines:
        found.remove(line)
    return found


def of_geats(text: str) -> tuple[str, ...]:
    """What an adoption adds to it, as its plan told."""
    note = next(line.strip() for line in text.splitlines() if "<geats:vm" in line)
    metadata = ('<metadata xmlns:geats="urn:geats:1">', note, "</metadata>")
    target = ("<target type='isa-serial' port='0'>", "<model name='isa-serial'/>", "</target>")
    serial = ("<serial type='pty'>", *target, "</serial>")
    console = ("<console type='pty'>", "<target type='serial' port='0'/>", "</console>")
    return (*metadata, *serial, *console, "<serial>root</serial>")


def test_a_domain_is_adopted_as_it_runs_and_is_the_same_after_a_restart(tmp_path: Path) -> None:
    before = made(tmp_path, NAME, power=True)
    virsh("autostart", NAME)
    runs, inode = pid(NAME), (tmp_path / "old.img").stat().st_ino
    planned, described = adopt.adopt(host_at(tmp_path), NAME, None, "image")
    assert described is not None
    adopting = planned.of_vm.steps[-1]
    assert "devices/disk[vdb]/serial is added at the next start" in adopting.reason
    apply_plan(host_at(tmp_path), planned).unwrap()

    host = host_at(tmp_path, **{NAME: described})
    seen = host.observe(NAME)
    assert (pid(NAME), seen.power, seen.foreign) == (runs, Power.RUNNING, False)
    assert seen.recorded == seen.defined == seen.in_effect
    assert isinstance(adopting.action, Adopt)
    assert seen.by_hand == adopting.action.keep
    after = xml(NAME)
    assert left_out(after, *of_geats(after)) == left_out(before)
    assert "autostart" not in "".join(virsh("list", "--all", "--autostart", "--name")).split()
    assert to(host, NAME, Target.RUNNING) is Impact.NONE

    volumes, hardware = (described[key] for key in ("volumes", "hardware"))
    assert isinstance(volumes, list)
    assert isinstance(hardware, dict)
    root = {**volumes[0], "size": "2MiB"}
    grown = {**described, "volumes": [root, *volumes[1:]]}
    assert to(host_at(tmp_path, **{NAME: grown}), NAME, Target.RUNNING) is Impact.LIVE
    assert "2097152" in virsh("domblkinfo", NAME, "vdb")
    host = host_at(tmp_path, **{NAME: grown})
    to(host, NAME, Target.STOPPED)
    to(host, NAME, Target.RUNNING)
    assert pid(NAME) != runs
    assert left_out(xml(NAME), *of_geats(xml(NAME))) == left_out(before)
    assert to(host, NAME, Target.RUNNING) is Impact.NONE
    assert host.observe(NAME).by_hand == seen.by_hand

    more = {**grown, "hardware": {**hardware, "max_memory": "128MiB"}}
    to(host_at(tmp_path, **{NAME: more}), NAME, Target.STOPPED)
    changed = left_out(xml(NAME), *of_geats(xml(NAME)))
    memory = "<memory unit='KiB'>131072</memory>", "<memory unit='KiB'>98304</memory>"
    assert [memory[1] if line == memory[0] else line for line in changed] == left_out(before)
    assert (tmp_path / "old.img").stat().st_ino == inode
    to(host_at(tmp_path), NAME, Target.DEPROVISIONED)
    assert not (tmp_path / "old.img").exists()
    assert not (tmp_path / "more.qcow2").exists()


def test_what_is_kept_of_its_console_stays_where_it_is_and_is_found(tmp_path: Path) -> None:
    made(tmp_path, NAME)
    log = f"<log file='{tmp_path}/said' append='on'/>"
    serial = f"<serial type='pty'>{log}<target port='0'/></serial></devices>"
    virsh("define", "/dev/stdin", text=xml(NAME).replace("</devices>", serial))
    planned, described = adopt.adopt(host_at(tmp_path), NAME, None, "image")
    apply_plan(host_at(tmp_path), planned).unwrap()
    host = host_at(tmp_path, **{NAME: described})
    assert xml(NAME).count(log) == 2
    to(host, NAME, Target.RUNNING)
    assert logs.logs(host, NAME, "console", {}).files == {"console": tmp_path / "said"}
    assert (tmp_path / "said").exists()
    to(host, NAME, Target.DEPROVISIONED)


OLD_BUSSES = """<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{folder}/old.img'/>
      <target dev='hda' bus='ide'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><source file='{folder}/medium.iso'/>
      <target dev='hdc' bus='ide'/><readonly/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{folder}/sata.img'/>
      <target dev='sda' bus='sata'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{folder}/scsi.img'/>
      <target dev='sdc' bus='scsi'/>
    </disk>
    <controller type='scsi' model='virtio-scsi'/>
  </devices>
</domain>"""


def test_disks_on_busses_of_old_are_adopted_as_they_run(tmp_path: Path) -> None:
    root_disk(tmp_path / "old.img")
    for file in ("sata.img", "scsi.img", "medium.iso"):
        (tmp_path / file).write_bytes(bytes(1 << 20))
    virsh("define", "/dev/stdin", text=OLD_BUSSES.format(name=NAME, folder=tmp_path))
    before = xml(NAME)
    virsh("start", NAME)
    runs = pid(NAME)
    planned, described = adopt.adopt(host_at(tmp_path), NAME, None, "image")
    apply_plan(host_at(tmp_path), planned).unwrap()
    assert described is not None
    host = host_at(tmp_path, **{NAME: described})
    seen = host.observe(NAME)
    assert (pid(NAME), seen.power, seen.recorded) == (runs, Power.RUNNING, seen.in_effect)
    assert to(host, NAME, Target.RUNNING) is Impact.NONE
    assert pid(NAME) == runs
    to(host, NAME, Target.STOPPED)
    to(host, NAME, Target.RUNNING)
    assert to(host, NAME, Target.RUNNING) is Impact.NONE
    assert not Counter(left_out(before)) - Counter(left_out(xml(NAME)))
    to(host, NAME, Target.DEPROVISIONED)
    assert {each.name for each in tmp_path.glob("*.i*")} == {"medium.iso"}


def test_a_domain_that_is_off_gets_another_name_and_one_that_was_changed_is_refused(
    tmp_path: Path,
) -> None:
    made(tmp_path, ODD)
    host = host_at(tmp_path)
    planned, _ = adopt.adopt(host, ODD, None, "image", OTHER)
    virsh("desc", ODD, "--config", "of another")
    assert "was changed since" in f"{apply_plan(host, planned).failure()}"
    assert (host.observe_all()[ODD].foreign, "geats:vm" in xml(ODD)) == (True, False)
    planned, described = adopt.adopt(host, ODD, None, "image", OTHER)
    apply_plan(host, planned).unwrap()
    assert virsh("list", "--all", "--name").split() == [OTHER]
    assert UUID in xml(OTHER)
    host = host_at(tmp_path, **{OTHER: described})
    assert to(host, OTHER, Target.RUNNING) is not Impact.RESTART
    to(host, OTHER, Target.DEPROVISIONED)


def test_what_libvirt_keeps_beside_a_definition_is_refused(tmp_path: Path) -> None:
    made(tmp_path, NAME, power=True)
    host = host_at(tmp_path)
    virsh("undefine", NAME)
    with pytest.raises(Refused, match="is transient"):
        adopt.adopt(host, NAME, None, "image")
    virsh("destroy", NAME)
    made(tmp_path, NAME, power=True)
    virsh("managedsave", NAME)
    with pytest.raises(Refused, match="has a saved state"):
        adopt.adopt(host, NAME, None, "image")
    virsh("managedsave-remove", NAME)
    on_another = ("-b", "old.img", "-F", "raw", f"{tmp_path}/more.qcow2")
    run(["qemu-img", "create", "-q", "-f", "qcow2", *on_another], timeout_s=30)
    with pytest.raises(Refused, match="has a backing file"):
        adopt.adopt(host, NAME, None, "image")
    virsh("undefine", NAME)


def test_logical_volumes_become_volumes_of_the_pools_of_their_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an LVM in memory: what it really does with them is tested in tests/vm."""
    (tmp_path / "dev/vg").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    fake = FakeLvm("vg", tmp_path / "dev", tmp_path / "store")
    fake.volumes["pool"] = LogicalVolume(
        name="pool", size_bytes=1 << 30, is_thin_pool=True, zeroes=True
    )
    for name, value in (("run", fake.run), ("DEV", fake.dev)):
        monkeypatch.setattr(lvm, name, value)
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    for name, space in (("vm-100-disk-0", []), ("vm-100-disk-1", ["--thinpool", "pool"])):
        fake.run(["lvcreate", "--name", name, "--size", f"{8 << 20}b", *space, "vg"])
        fake.run(["lvchange", "--activate", "y", "--ignoreactivationskip", f"vg/{name}"])
    disk = "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='{0}'/>"
    target = "<target dev='vd{1}' bus='virtio'/><serial>{2}</serial></disk>"
    devices = [fake.dev / "vg" / f"vm-100-disk-{number}" for number in range(2)]
    disks = "".join(
        (disk + target).format(device, letter, serial)
        for device, letter, serial in zip(devices, "ab", ("root", "data"), strict=True)
    )
    virsh(
        "define",
        "/dev/stdin",
        text=f"<domain type='qemu'><name>{NAME}</name><memory>65536</memory><vcpu>1</vcpu><os>"
        f"<type arch='x86_64' machine='q35'>hvm</type></os><devices>{disks}</devices></domain>",
    )
    raw = {
        **{"state_dir": f"{tmp_path}/state", "run_dir": f"{tmp_path}/run"},
        "pools": {
            "default": {"type": "directory", "path": f"{tmp_path}/trees"},
            "thick": {"type": "lvm", "vg": "vg"},
            "thin": {"type": "lvm", "vg": "vg", "thin_pool": "pool"},
        },
        "drivers": {"qemu": {"settle": 0.1}},
        "templates": {"image": {"disk": {"path": f"{tmp_path}/old.img", "format": "raw"}}},
    }
    root_disk(tmp_path / "old.img")
    planned, described = adopt.adopt(Host.from_config(raw), NAME, None, "image")
    apply_plan(Host.from_config(raw), planned).unwrap()
    host = Host.from_config({**raw, "vms": {NAME: described}})
    seen = host.observe(NAME)
    assert {(each.name, each.pool) for each in seen.volumes} == {
        ("root", "thick"),
        ("data", "thin"),
    }
    assert to(host, NAME, Target.STOPPED) is Impact.NONE
    assert {f"{each}" for each in devices} == {
        line.split()[1] for line in virsh("domblklist", NAME).splitlines() if "/dev/" in line
    }
    to(host, NAME, Target.DEPROVISIONED)
    assert {*fake.volumes} == {"pool"}
