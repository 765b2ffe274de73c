"""What ``hardware`` says is there when QEMU runs: started, looked at from the host, and stopped.

No guest looks at it here. What needs devices that a host of tests has none of, is started without
them: USB and PCI devices are refused then, and leave nothing that runs.
"""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from geats_core.vm.observation import Power
from geats_core.vm.spec import VMSpec
from geats_host.drivers.libvirt.driver import LibvirtDriver, open_qemu
from geats_host.errors import HostError
from geats_host.testing.driver_conformance import vm
from tests.real.machines.libvirt_daemon import a_daemon, virsh
from tests.real.machines.test_libvirt_driver import places

NAME = "geats-test-hardware"
PAGES = Path("/proc/sys/vm/nr_hugepages")
NEEDED = 40  # pages of 2 MiB: 64 MiB for the guest, and some


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Huge pages of the host, as many as it gives, and given back; libvirtd must see the mount."""
    before = PAGES.read_text()
    place = tmp_path_factory.mktemp("pages")
    try:
        PAGES.write_text(f"{int(before) + NEEDED}")
        subprocess.run(["mount", "-t", "hugetlbfs", "tests", place], check=True)
    except (OSError, subprocess.CalledProcessError):
        yield 0
        return
    try:
        yield int(PAGES.read_text()) - int(before)
    finally:
        subprocess.run(["umount", place], check=True)
        PAGES.write_text(before)


@pytest.fixture(scope="module", autouse=True)
def daemon(pages: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with a_daemon(tmp_path_factory.mktemp("libvirt")):
        yield


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LibvirtDriver]:
    options: dict[object, object] = {
        **{"settle": 0.5, "media": [f"{tmp_path}"]},
        "devices": ["0000:7f:1f.7", "046d:c52b"],
    }
    driver = open_qemu(options, tmp_path)
    yield driver
    if driver.observe(NAME):
        driver.stop(NAME)
        driver.undefine(NAME)
    assert virsh("list", "--all", "--name").strip() == ""


def started(driver: LibvirtDriver, folder: Path, **keys: object) -> tuple[VMSpec, str]:
    """A VM that runs, and the words that QEMU was started with."""
    want = vm("hardware", driver="qemu", **{"memory": "64MiB", **keys})
    driver.define(want, places(want, folder))
    driver.start(NAME)
    seen = driver.observe()[NAME]
    assert (seen.power, seen.defined, seen.in_effect) == (Power.RUNNING, want, want)
    pid = Path(f"/run/libvirt/qemu/{NAME}.pid").read_text()
    return want, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def free_pages() -> int:
    (free,) = re.findall(r"HugePages_Free: *([0-9]+)", Path("/proc/meminfo").read_text())
    return int(free)


def test_memory_is_of_huge_pages_and_of_nodes_and_is_given_back(
    driver: LibvirtDriver, tmp_path: Path, pages: int
) -> None:
    if pages < NEEDED:
        pytest.skip("this host gives no huge pages")
    before = free_pages()
    nodes = [{"cpus": f"{number}", "memory": "32MiB"} for number in range(2)]
    _, words = started(
        driver, tmp_path, cpus=2, hardware={"hugepages": True, "numa": nodes, "machine": "q35"}
    )
    reserved = re.findall(r"HugePages_Rsvd: *([0-9]+)", Path("/proc/meminfo").read_text())
    assert before - free_pages() + int(reserved[0]) >= 32
    assert words.count("-numa node,nodeid=") == 2
    driver.stop(NAME)
    assert free_pages() == before


@pytest.mark.parametrize("display", ["vnc", "spice"])
def test_a_screen_is_on_a_socket_of_the_host(
    driver: LibvirtDriver, tmp_path: Path, display: str
) -> None:
    _, words = started(driver, tmp_path, hardware={"display": display})
    assert f"-{display} " in words
    (path,) = re.findall(r"socket='([^']*)'", virsh("dumpxml", NAME))[:1]
    with socket.socket(socket.AF_UNIX) as viewer:
        viewer.settimeout(30)
        viewer.connect(path)
        if display == "vnc":
            assert viewer.recv(4) == b"RFB "
    assert " 0.0.0.0" not in words


def test_it_has_a_watchdog_chance_and_a_cdrom_from_which_it_starts_first(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    (tmp_path / "x.iso").write_bytes(bytes(1 << 16))
    hardware = {"watchdog": "pause", "cdrom": f"{tmp_path}/x.iso", "boot": ["cdrom", "disk"]}
    _, words = started(driver, tmp_path, hardware=hardware)
    assert "i6300esb" in words
    assert "virtio-rng" in words
    (cdrom,) = re.findall(r'"driver":"ide-cd"[^}]*"bootindex":([0-9]+)', words)
    (disk, *_) = re.findall(r'"driver":"virtio-blk-pci"[^}]*"bootindex":([0-9]+)', words)
    assert int(cdrom) < int(disk)
    assert '"action":"pause"' in words or "watchdog-set-action" in words or "pause" in words


def test_secure_boot_has_its_firmware_and_its_tpm(driver: LibvirtDriver, tmp_path: Path) -> None:
    _, words = started(driver, tmp_path, hardware={"firmware": "uefi-secure", "tpm": True})
    assert "secboot" in words or "OVMF_CODE_4M.ms" in words
    assert "tpm-crb" in words
    assert "smm=on" in words
    assert Path(f"/var/lib/libvirt/qemu/nvram/{NAME}_VARS.fd").exists()


def test_a_directory_of_the_host_is_shared_by_virtiofs(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    bind = {"source": f"{films}", "mount": "/films", "read_only": False, "recursive": True}
    _, words = started(driver, tmp_path, binds={"films": bind})
    assert "vhost-user-fs" in words
    (pid,) = Path("/run/libvirt/qemu").glob("*fs0*.pid")
    assert "virtiofsd" in Path(f"/proc/{pid.read_text().strip()}/cmdline").read_text()
    driver.stop(NAME)
    assert not pid.exists()


@pytest.mark.parametrize(
    ("hardware", "why"),
    [
        ({"usb": ["046d:c52b"]}, "(?i)usb"),
        ({"pci": ["0000:7f:1f.7"]}, "(?i)pci|0000:7f:1f.7"),
    ],
)
def test_a_device_that_the_host_has_not_is_an_error_and_nothing_runs(
    driver: LibvirtDriver, tmp_path: Path, hardware: dict[str, object], why: str
) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: started(driver, tmp_path, hardware=hardware),
        lambda: driver.start(NAME),
    ]
    for attempt in attempts:
        with pytest.raises(HostError, match=why):
            attempt()
        assert driver.observe()[NAME].power is Power.STOPPED
