"""The drivers of libvirt, over a daemon of the tests' own: beside the suite for all drivers."""

import io
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pycdlib
import pytest

from geats_core.deciding.keeping_up import Ended
from geats_core.domains.embedding import read_domain
from geats_core.planning.actions import SetDevices
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.planning.offers import Offer
from geats_core.vm.lxc_config import veth_name
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import Limits, VMSpec
from geats_host.drivers import DriverSeen, Place
from geats_host.drivers.held import HELD
from geats_host.drivers.libvirt import definition, trial
from geats_host.drivers.libvirt.definition import SEED
from geats_host.drivers.libvirt.driver import LibvirtDriver, open_kvm, open_qemu
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.linux.processes import ends_within
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from geats_host.testing.driver_conformance import vm
from geats_host.testing.tiny_guest import root_disk
from tests.real.machines.libvirt_daemon import a_daemon, holding, pid_of, start_daemon, virsh

FOREIGN = """<domain type='qemu'><name>{name}</name><memory>65536</memory>
<os><type>hvm</type></os><devices><interface type='bridge'><mac address='02:00:00:00:00:01'/>
<source bridge='br0'/><target dev='x0'/></interface></devices></domain>"""
WATCHDOG = '<devices><watchdog action="reset" model="i6300esb" /></devices>'

NAME = "geats-test-life"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("libvirt")


@pytest.fixture(scope="module", autouse=True)
def daemon(ground: Path) -> Iterator[None]:
    with a_daemon(ground):
        yield


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LibvirtDriver]:
    opened = open_qemu(
        {"settle": 0.1, "media": [f"{tmp_path}"], "devices": ["0000:01:00.0", "046d:c52b"]},
        tmp_path,
    )
    yield opened
    for name in virsh("list", "--all", "--name").split():
        subprocess.run(["virsh", "destroy", name], capture_output=True, check=False)
        virsh("undefine", name, "--nvram", "--snapshots-metadata")


def edited(name: str, old: str, new: str) -> None:
    """Edit a domain, as ``virsh edit`` does."""
    before = virsh("dumpxml", "--inactive", name)
    assert old in before
    virsh("define", "/dev/stdin", text=before.replace(old, new))


def machine(name: str, **keys: object) -> VMSpec:
    return vm(name, driver="qemu", **{"memory": "64MiB", **keys})


def places(want: VMSpec, folder: Path) -> dict[str, Place]:
    """Disks for all volumes."""
    return {
        v.name: Place(root_disk(folder / f"{want.name}-{v.name}.raw"), Offer.FILE)
        for v in want.volumes
    }


@pytest.mark.parametrize(
    "hardware",
    [
        {"max_memory": "256MiB", "max_cpus": 4, "cpu": "maximum"},
        {"topology": {"cores": 2, "threads": 2}, "cpu": "EPYC-v2"},
        {"machine": "pc", "hotplug_ports": 0, "rng": False, "agent": False, "guest": "none"},
        {"watchdog": "reset", "display": "vnc", "boot": ["network", "disk"]},
        {
            "disks": {
                "root": {"cache": "none", "iothread": True},
                "more": {"bus": "scsi"},
                "data": {"bus": "sata", "discard": False},
                "logs": {"cache": "writeback"},
            }
        },
        {"pci": ["0000:01:00.0"], "usb": ["046d:c52b"]},
        {"hugepages": True, "numa": [{"cpus": "0", "memory": "64MiB", "node": 0}]},
        {"nics": {"eth0": {"rate_in": "1MiB", "mtu": 1400}, "eth1": {"link": False}}},
        {"cdrom": "x.iso", "boot": ["cdrom", "disk"], "nics": {"eth1": {"model": "e1000e"}}},
    ],
    ids=lambda hardware: next(iter(hardware)),
)
def test_libvirt_gives_back_whatever_hardware_says(
    driver: LibvirtDriver, tmp_path: Path, hardware: dict[str, object]
) -> None:
    if "cdrom" in hardware:
        hardware = {**hardware, "cdrom": f"{tmp_path}/x.iso"}
    data: list[dict[str, object]] = [
        {"name": each, "mount": f"/{each}"} for each in ("data", "more")
    ]
    data.append({"name": "logs", "mount": "/logs", "read_only": True})
    nics = [{"name": "eth0", "bridge": "br0"}, {"name": "eth1", "bridge": "br0"}]
    films = {"source": "/srv", "mount": "/films", "read_only": False, "recursive": True}
    binds = {} if "hugepages" in hardware else {"films": films}
    parts = {"volumes": [{"name": "root"}, *data], "nics": nics, "binds": binds}
    want = machine("hardware", hardware=hardware, **parts)
    driver.define(want, places(want, tmp_path))

    assert driver.observe() == {want.name: DriverSeen(defined=want)}


def test_what_a_person_adds_is_by_hand_and_stays_while_geats_defines_it_anew(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    want = machine("by-hand")
    driver.define(want, places(want, tmp_path))
    edited(want.name, "</devices>", "<watchdog model='i6300esb'/></devices>")
    (kept,) = driver.observe()[want.name].by_hand
    assert kept.startswith('<devices><watchdog action="reset" model="i6300esb">')

    new = replace(want, hostname="other")
    driver.define(new, places(new, tmp_path), (kept,))
    assert driver.observe() == {want.name: DriverSeen(defined=new, by_hand=(kept,))}
    assert "i6300esb" in virsh("dumpxml", want.name)

    driver.define(new, places(new, tmp_path))
    assert driver.observe() == {want.name: DriverSeen(defined=new)}
    assert "i6300esb" not in virsh("dumpxml", want.name)


def test_a_vm_whose_files_were_lost_is_defined_anew_on_its_old_board_and_starts(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    want = machine("lost", hardware={"machine": "pc-q35-5.2"})
    driver.define(want, places(want, tmp_path))
    shutil.rmtree(tmp_path / "libvirt/qemu" / want.name)
    assert driver.observe() == {want.name: DriverSeen(defined=None)}

    new = machine("lost", hardware={"machine": "q35"})
    driver.define(new, places(new, tmp_path))
    assert "pc-q35-5.2" in virsh("dumpxml", want.name)
    definition.write_spec(tmp_path / "libvirt/qemu" / want.name, want)  # as one that was not taken
    driver.start(want.name)
    assert driver.observe()[want.name].in_effect == new


def test_a_changed_value_of_ours_is_not_what_was_defined(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    want = machine("changed")
    driver.define(want, places(want, tmp_path))
    edited(want.name, "<on_crash>destroy", "<on_crash>restart")
    assert driver.observe() == {want.name: DriverSeen(defined=None)}

    driver.define(want, places(want, tmp_path))
    assert driver.observe() == {want.name: DriverSeen(defined=want)}


def test_a_domain_of_another_program_is_seen_and_left_alone(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    virsh("define", "/dev/stdin", text=FOREIGN.format(name="geats-test-foreign"))
    seen = driver.observe()
    assert {name: (each.foreign, each.power) for name, each in seen.items()} == {
        "geats-test-foreign": (True, Power.STOPPED)
    }
    assert [(nic.mac, nic.pair) for nic in seen["geats-test-foreign"].foreign_nics] == [
        ("02:00:00:00:00:01", "x0")
    ]
    before = virsh("dumpxml", "geats-test-foreign")
    want = machine("foreign")
    with pytest.raises(HostError, match="that geats did not make"):
        driver.define(want, places(want, tmp_path))
    for act in (driver.start, driver.stop, driver.undefine, driver.freeze):
        with pytest.raises(HostError):
            act(want.name)
    assert virsh("dumpxml", "geats-test-foreign") == before


def test_a_domain_of_a_name_that_no_vm_can_have_is_told_of(driver: LibvirtDriver) -> None:
    virsh("define", "/dev/stdin", text=FOREIGN.format(name="Win 10"))
    assert [(name, seen.foreign) for name, seen in driver.observe().items()] == [("Win 10", True)]
    with pytest.raises(HostError, match="cannot be the name of a VM"):
        driver.undefine("Win 10")
    virsh("undefine", "Win 10")  # its name has a blank, which the tidying up does not know


def test_the_other_driver_does_not_see_it(driver: LibvirtDriver, tmp_path: Path) -> None:
    want = machine("kind")
    driver.define(want, places(want, tmp_path))
    kvm = open_kvm({}, tmp_path)

    assert kvm.observe() == {}
    assert kvm.facts.location != driver.facts.location
    with pytest.raises(HostError):
        kvm.define(replace(want, driver="kvm"), places(want, tmp_path))
    assert driver.observe() == {want.name: DriverSeen(defined=want)}


def test_a_guest_lives_through_the_end_of_the_daemon(
    ground: Path, driver: LibvirtDriver, tmp_path: Path
) -> None:
    want = machine("daemon")
    driver.define(want, places(want, tmp_path))
    driver.start(want.name)
    pid = pid_of(ground)
    os.kill(pid, signal.SIGKILL)
    assert ends_within(pid, 10)
    with pytest.raises(HostError):
        driver.observe()
    Path("/run/libvirt/libvirt-sock").unlink()
    start_daemon(ground)

    assert driver.observe() == {
        want.name: DriverSeen(defined=want, in_effect=want, power=Power.RUNNING)
    }


def test_a_daemon_that_does_not_answer_is_an_error_and_not_for_ever(
    ground: Path, tmp_path: Path
) -> None:
    pid = pid_of(ground)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(HostError, match="did not end within 1 s"):
            open_qemu({"timeout": 1}, tmp_path).observe()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_guest_that_takes_no_memory_is_an_error_and_nothing_is_noted(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    slow = replace(driver, options=replace(driver.options, timeout_s=2))
    want = machine("limits", hardware={"max_memory": "128MiB"})
    driver.define(want, places(want, tmp_path))
    driver.start(want.name)
    with pytest.raises(HostError, match="it has no balloon driver"):
        slow.set_limits(want.name, Limits(memory_bytes=96 << 20))
    assert driver.observe()[want.name].in_effect == want


def test_cpus_and_memory_that_are_there_change_what_is_in_effect(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    want = machine("cpus", hardware={"max_cpus": 2})
    driver.define(want, places(want, tmp_path))
    driver.start(want.name)
    more = Limits(memory_bytes=want.limits.memory_bytes, cpus=2.0)
    driver.set_limits(want.name, more)

    seen = driver.observe()[want.name]
    assert (seen.defined, seen.in_effect) == (want, replace(want, limits=more))
    assert ">2</vcpu>" in virsh("dumpxml", want.name)
    assert driver.info(want.name).memory_limit_bytes == want.limits.memory_bytes


@pytest.fixture
def uplink(ground: Path) -> Iterator[str]:
    """A network interface of the host; the libvirtd of the tests sees its macvtaps' devices."""
    name, end = "geats-up0", Event()
    dev = Path(f"/proc/{pid_of(ground)}/root/dev")
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "geats-up1"], check=True)

    def make() -> None:
        while not end.wait(0.01):
            for tap in Path("/sys/class/net").glob("*/macvtap/tap*/dev"):
                node = dev / tap.parent.name
                with suppress(FileNotFoundError, FileExistsError):
                    number = os.makedev(*map(int, tap.read_text().split(":")))
                    os.mknod(node, stat.S_IFCHR | 0o600, number)

    maker = Thread(target=make)
    maker.start()
    yield name
    end.set()
    maker.join()
    subprocess.run(["ip", "link", "del", name], check=True)
    for node in dev.glob("tap*"):
        node.unlink()


def test_a_nic_by_macvtap_is_on_its_interface_of_the_host(
    driver: LibvirtDriver, uplink: str, tmp_path: Path
) -> None:
    mac = "02:00:00:00:00:09"
    cards = {"eth0": {"macvtap": uplink}}
    want = machine("macvtap", nics=[{"name": "eth0", "mac": mac}], hardware={"nics": cards})
    driver.define(want, places(want, tmp_path))
    while driver.observe()[want.name].power is not Power.RUNNING:
        try:
            driver.start(want.name)
        except HostError as error:
            if "/dev/tap" not in str(error):  # libvirt waits for a moment only until it is made
                raise
    seen = driver.observe()[want.name]
    assert (seen.defined, seen.in_effect) == (want, want)
    links = subprocess.run(["ip", "-d", "link"], capture_output=True, text=True, check=True).stdout
    assert f"@{uplink}:" in links
    assert f"link/ether {mac}" in links
    assert "macvtap mode bridge" in links
    virsh("domif-setlink", want.name, mac, "down")
    assert driver.observe()[want.name].in_effect != want
    driver.set_devices(want.name, SetDevices(want), places(want, tmp_path))
    assert driver.observe()[want.name].in_effect == want
    driver.stop(want.name)
    links = subprocess.run(["ip", "-d", "link"], capture_output=True, text=True, check=True).stdout
    assert "macvtap" not in links


def test_a_link_that_somebody_took_down_is_seen_and_mended_while_the_guest_is_on(
    driver: LibvirtDriver, bridge: str, tmp_path: Path
) -> None:
    mac = "02:00:00:00:00:07"
    nics = [{"name": "eth0", "bridge": bridge, "mac": mac}]
    want = machine("drift", nics=nics)
    driver.define(want, places(want, tmp_path))
    driver.start(want.name)
    began = qemu_pid(want.name)
    assert driver.observe()[want.name].in_effect == want
    virsh("domif-setlink", want.name, mac, "down")
    seen = driver.observe()[want.name]
    down = machine("drift", nics=nics, hardware={"nics": {"eth0": {"link": False}}})
    assert (seen.defined, seen.in_effect) == (want, down)
    driver.set_devices(want.name, SetDevices(want), places(want, tmp_path))
    assert driver.observe()[want.name].in_effect == want
    assert "<link state='down'/>" not in virsh("dumpxml", want.name)
    assert qemu_pid(want.name) == began


def test_devices_change_while_the_guest_is_on(
    driver: LibvirtDriver, bridge: str, tmp_path: Path
) -> None:
    """Attached, changed and detached, as often as it is asked; the guest stays the same one."""
    (tmp_path / "a.iso").touch()
    (tmp_path / "b.iso").touch()
    eth0, eth1 = ({"name": f"eth{n}", "bridge": bridge} for n in range(2))

    def described(cdrom: str, *volumes: str, nics: list[object], **cards: object) -> VMSpec:
        return machine(
            "devices",
            volumes=[{"name": "root"}, *({"name": each} for each in volumes)],
            nics=nics,
            hardware={"cdrom": cdrom, "nics": cards},
        )

    first = described(f"{tmp_path}/a.iso", nics=[eth0])
    driver.define(first, places(first, tmp_path))
    driver.start(first.name)
    began = qemu_pid(first.name)
    for want in (
        described(f"{tmp_path}/b.iso", "one", "two", nics=[eth0, eth1]),
        described("empty", "one", nics=[eth0, eth1], eth0={"link": False}),
        described(f"{tmp_path}/a.iso", nics=[eth0]),
    ):
        driver.define(want, places(want, tmp_path))
        assert driver.cannot_set_devices(want.name, SetDevices(want)) == ""
        for _ in range(2):  # the second time nothing is left to be done
            driver.set_devices(want.name, SetDevices(want), places(want, tmp_path))
        assert driver.observe()[want.name] == DriverSeen(
            defined=want, in_effect=want, power=Power.RUNNING
        )
        live = read_domain(virsh("dumpxml", want.name))
        assert {*live.places} == {*(each.name for each in want.volumes), "cidata"}
        assert [nic.mac for nic in live.nics] == [nic.mac for nic in want.nics]
        down = "link" in dict(want.hardware)["nics"]
        assert ("<link state='down'/>" in virsh("dumpxml", want.name)) is down
    assert qemu_pid(first.name) == began
    nics: list[object] = [{"name": f"eth{n}", "bridge": bridge} for n in range(6)]
    for many, why in ((nics[:5], ""), (nics, "lacks free ports for what is plugged in: 1 more")):
        want = described(f"{tmp_path}/a.iso", nics=many)
        assert why in (said := driver.cannot_set_devices(want.name, SetDevices(want)))
        assert bool(said) is bool(why)


def test_one_that_is_held_goes_on_when_its_operation_is_killed(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    want = machine("held")
    driver.define(want, places(want, tmp_path))
    driver.start(want.name)
    with holding(tmp_path, want.name) as process:
        assert driver.observe()[want.name].power is Power.HELD
        (holder, _) = (tmp_path / "libvirt/qemu" / want.name / HELD).read_text().split()
        os.killpg(process.pid, signal.SIGKILL)
    assert ends_within(int(holder), 30)
    assert driver.observe() == {
        want.name: DriverSeen(defined=want, in_effect=want, power=Power.RUNNING)
    }


def test_a_nic_is_on_its_bridge_under_its_own_name_while_the_guest_is_on(
    driver: LibvirtDriver, bridge: str, tmp_path: Path
) -> None:
    want = machine("nic", nics=[{"name": "eth0", "bridge": bridge}])
    driver.define(want, places(want, tmp_path))
    driver.start(want.name)
    link = Path("/sys/class/net", veth_name(want.name, 0))
    assert (link / "master").resolve().name == bridge
    driver.stop(want.name)
    assert not link.exists()


def test_a_nic_is_on_a_network_of_libvirt_that_is_active(
    driver: LibvirtDriver, bridge: str, tmp_path: Path
) -> None:
    card = {"network": "geats-test"}
    want = machine("network", nics=[{"name": "eth0"}], hardware={"nics": {"eth0": card}})
    (wrong,) = driver.cannot_define(want)
    assert str(wrong).startswith("hardware.nics.eth0.network: unknown active network of libvirt")
    network = f"<network><name>geats-test</name><forward mode='bridge'/><bridge name='{bridge}'/>"
    virsh("net-create", "/dev/stdin", text=f"{network}</network>")
    try:
        assert driver.cannot_define(want) == ()
        driver.define(want, places(want, tmp_path))
        driver.start(want.name)
        link = Path("/sys/class/net", veth_name(want.name, 0))
        assert (link / "master").resolve().name == bridge
        assert driver.observe()[want.name].defined == want
    finally:
        virsh("net-destroy", "geats-test")


def test_what_the_host_does_not_give_is_refused(driver: LibvirtDriver) -> None:
    card = {"macvtap": "geats-none"}
    want = machine("other", nics=[{"name": "eth0"}], hardware={"nics": {"eth0": card}})
    assert [str(each) for each in driver.cannot_define(want)] == [
        "hardware.nics.eth0.macvtap: the host has no interface geats-none"
    ]
    want = machine("other", hardware={"pci": ["0000:02:00.0"], "usb": ["046d:0001"]})
    assert [str(each) for each in driver.cannot_define(want)] == [
        "hardware.pci: 0000:02:00.0 is not among the driver's option devices",
        "hardware.usb: 046d:0001 is not among the driver's option devices",
    ]


def test_the_seed_is_written_at_each_start(driver: LibvirtDriver, tmp_path: Path) -> None:
    want = machine("seed", hostname="first")
    driver.define(want, places(want, tmp_path))
    seed = tmp_path / "libvirt/qemu" / want.name / SEED
    assert not seed.exists()
    driver.start(want.name)
    driver.stop(want.name)

    image, held = pycdlib.PyCdlib(), io.BytesIO()
    image.open_fp(io.BytesIO(seed.read_bytes()))
    assert image.pvd.volume_identifier.decode().strip() == "CIDATA"
    image.get_file_from_iso_fp(held, joliet_path="/meta-data")
    assert b'"local-hostname": "first"' in held.getvalue()
    seed.unlink()
    driver.start(want.name)
    assert seed.exists()


def test_what_firmware_and_tpm_remember_is_of_one_guest(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    """It stays from start to start; a guest that is installed anew has its own."""
    want = machine("secure", hardware={"firmware": "uefi-secure", "tpm": True})
    assert driver.cannot_define(want) == ()

    def remembered() -> set[int]:
        """The files, by their numbers."""
        folders = (Path("/var/lib/libvirt/qemu/nvram"), Path("/var/lib/libvirt/swtpm"))
        found = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        return {file.stat().st_ino for file in found}

    found = []
    for new in (True, False, True):
        driver.define(want, places(want, tmp_path))
        driver.configure_guest(want, places(want, tmp_path)["root"], new=new)
        assert driver.observe() == {want.name: DriverSeen(defined=want)}
        driver.start(want.name)
        assert driver.observe()[want.name].in_effect == want
        found.append(remembered())
        driver.stop(want.name)
    assert len(found[0]) == 3
    assert found[0] == found[1]
    assert found[1].isdisjoint(found[2])
    driver.undefine(want.name)
    assert remembered() == set()


def test_a_vm_with_snapshots_is_forgotten_with_them(driver: LibvirtDriver, tmp_path: Path) -> None:
    want = machine("snapshots")
    driver.define(want, places(want, tmp_path))
    virsh("snapshot-create-as", want.name, "one", "--disk-only", "--no-metadata", "--print-xml")
    xml = "<domainsnapshot><name>one</name><state>shutoff</state><creationTime>1</creationTime>"
    domain = virsh("dumpxml", want.name)
    virsh(
        *("snapshot-create", want.name, "/dev/stdin", "--redefine"),
        text=f"{xml}{domain}</domainsnapshot>",
    )
    assert driver.cannot_rename(want.name).startswith("libvirt keeps snapshots (1) of it, ")
    driver.undefine(want.name)

    assert driver.observe() == {}
    assert not (tmp_path / "libvirt/qemu" / want.name).exists()


def test_what_is_only_for_some_hosts_is_refused_on_others(tmp_path: Path) -> None:
    want = machine("policy", hardware={"xml": [WATCHDOG], "cdrom": "/srv/x.iso"})
    strict = open_qemu({}, tmp_path)
    assert [str(each) for each in strict.cannot_define(want)] == [
        "hardware.xml: is only for hosts whose driver 'qemu' has the option raw_xml",
        "hardware.cdrom: is not within what the driver's option media allows (there is none)",
    ]
    with pytest.raises(HostError, match="is only for hosts"):
        strict.define(want, places(want, tmp_path))
    assert open_qemu({"raw_xml": True, "media": ["/srv"]}, tmp_path).cannot_define(want) == ()


def test_raw_elements_are_in_the_domain_and_not_by_hand(tmp_path: Path) -> None:
    driver = open_qemu({"raw_xml": True}, tmp_path)
    want = machine("raw", hardware={"xml": [WATCHDOG]})
    driver.define(want, places(want, tmp_path))
    assert driver.observe() == {want.name: DriverSeen(defined=want)}
    driver.undefine(want.name)


def test_a_volume_that_is_no_disk_is_an_error(driver: LibvirtDriver, tmp_path: Path) -> None:
    want = machine("tree")
    with pytest.raises(HostError, match="is a directory, and no disk"):
        driver.define(want, {"root": Place(tmp_path)})
    with pytest.raises(HostError, match="has no usable path"):
        driver.define(want, {})
    assert driver.observe() == {}


def test_a_whole_life_by_plans(tmp_path: Path) -> None:
    """From a template to nothing: each plan leaves nothing to do, and a change is what it says."""
    root_disk(tmp_path / "image")

    def after(target: Target, size: str = "2MiB", **keys: object) -> tuple[Host, Observation]:
        raw = {
            **{"state_dir": f"{tmp_path}/state", "run_dir": f"{tmp_path}/run"},
            "drivers": {"qemu": {"settle": 0.1}},
            "pools": {"default": {"type": "sparsefile", "path": f"{tmp_path}/pool"}},
            "templates": {"image": {"disk": {"path": f"{tmp_path}/image", "format": "raw"}}},
            "vms": {
                NAME: {
                    **{"driver": "qemu", "template": "image", "memory": "64MiB", **keys},
                    "volumes": [{"name": "root", "size": size}],
                }
            },
        }
        host = Host.from_config(raw)
        goal = Goal(name="", target=target, data_loss=DataLoss.ALLOWED)
        have = host.observe(NAME)
        wanted = goal_by_name(goal, NAME, host.config, {NAME: have})
        apply_plan(host, plan_vm(host, wanted, have)).unwrap()
        seen = host.observe(NAME)
        if target is not Target.REINITIALISED:
            assert plan_vm(host, wanted, seen).plan.steps == ()
        return host, seen

    host, seen = after(Target.RUNNING)
    assert (seen.power, seen.in_effect) == (Power.RUNNING, host.declared(NAME))
    began = qemu_pid(NAME)
    host, seen = after(Target.RUNNING, transient=True)
    assert (seen.defined, qemu_pid(NAME)) == (host.declared(NAME), began)
    assert disk_bytes(NAME) == 2 << 20
    host, seen = after(Target.RUNNING, size="4MiB")
    assert (disk_bytes(NAME), qemu_pid(NAME)) == (4 << 20, began)
    host, seen = after(Target.RUNNING, size="4MiB", hardware={"watchdog": "reset"})
    assert (seen.in_effect, qemu_pid(NAME) != began) == (host.declared(NAME), True)
    _, seen = after(Target.REINITIALISED, size="4MiB")
    assert seen.power is Power.RUNNING
    _, seen = after(Target.DEPROVISIONED, size="4MiB")
    assert not seen.exists
    assert virsh("list", "--all", "--name").strip() == ""


def qemu_pid(name: str) -> int:
    return int(Path(f"/run/libvirt/qemu/{name}.pid").read_text())


def disk_bytes(name: str) -> int:
    """How large the running guest sees its first disk."""
    return int(virsh("domblkinfo", name, "vda").split("Capacity:")[1].split()[0])


def test_what_a_host_lacks_is_told(
    driver: LibvirtDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "GUESTS_SERVICE", f"{tmp_path}/guests")
    want = machine("trials")
    driver.define(want, places(want, tmp_path))
    assert [(each.what, each.fix) for each in driver.trials()] == [
        *(("libvirt for Python", ""), ("libvirt", ""), ("machines", ""))
    ]
    (tmp_path / "guests").touch()
    assert [each.fix for each in driver.trials() if each.fix] == [
        "systemctl disable libvirt-guests.service"
    ]
    (tmp_path / "guests").unlink()
    virsh("autostart", want.name)
    assert [each.found for each in driver.trials() if each.fix] == [
        "at its own start, and in no order: geats-test-trials"
    ]
    # This daemon has no /dev/kvm.
    assert [each.found for each in open_kvm({}, tmp_path).trials() if "kvm" in each.fix] == [
        "cannot run machines of the type kvm"
    ]
    away = open_qemu({"uri": "qemu+unix:///system?socket=/none"}, tmp_path)
    assert [each.what for each in away.trials() if each.fix] == ["libvirt"]
    lacking = open_qemu({"python": "/none"}, tmp_path)
    assert [each.what for each in lacking.trials()] == ["libvirt for Python"]


def test_how_a_machine_ended_is_known(driver: LibvirtDriver, tmp_path: Path) -> None:
    """Its QEMU was killed, or its kernel panicked: those are to come back."""
    panic = {"hardware": {"xml": ["<devices><panic model='isa'/></devices>"]}}
    opened = replace(driver, options=replace(driver.options, raw_xml=True))
    want = machine("life", **panic)
    assert want.name == NAME
    assert opened.ended(NAME) == Ended(can_tell=False)
    opened.define(want, places(want, tmp_path))
    assert opened.ended(NAME) == Ended(can_tell=False)
    opened.start(NAME)
    os.kill(int(Path(f"/run/libvirt/qemu/{NAME}.pid").read_text()), signal.SIGKILL)
    wait_until_off(opened)
    assert opened.ended(NAME) == Ended(code=1, how="crashed")
    opened.start(NAME)
    virsh("qemu-monitor-command", "--hmp", NAME, "o/b 0x505 1")
    wait_until_off(opened)
    assert opened.ended(NAME) == Ended(code=1, how="crashed")
    opened.start(NAME)
    opened.stop(NAME)
    assert opened.ended(NAME) == Ended(code=0, how="was powered off")


def test_a_machine_of_an_older_geats_is_as_it_was(
    driver: LibvirtDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digests were made without a key: nothing of it looks changed."""
    want = machine("life")
    with monkeypatch.context() as older:
        older.setattr(definition, "_make_key", lambda folder: None)
        driver.define(want, places(want, tmp_path))
        driver.start(NAME)
    assert definition.key_of(tmp_path / "libvirt/qemu" / NAME) == ""
    other = machine("other")
    driver.define(other, places(other, tmp_path))
    assert definition.key_of(tmp_path / "libvirt/qemu" / NAME) != ""
    seen = driver.observe(NAME)[NAME]
    assert (seen.defined, seen.in_effect, seen.by_hand) == (want, want, ())
    more = replace(want, hostname="changed")
    driver.define(more, places(more, tmp_path))
    seen = driver.observe(NAME)[NAME]
    assert (seen.defined, seen.in_effect) == (more, want)
    driver.stop(NAME)
    driver.start(NAME)
    assert driver.observe(NAME)[NAME].in_effect == more


def wait_until_off(driver: LibvirtDriver) -> None:
    """For a minute at most."""
    until = time.monotonic() + 60
    while driver.observe(NAME)[NAME].power is not Power.STOPPED:
        assert time.monotonic() < until
        time.sleep(0.05)
