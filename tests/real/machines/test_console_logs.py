"""What a guest says on its serial console, kept by virtlogd, to the end of its VM."""

import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import Command
from geats_core.vm.spec import VMSpec
from geats_host.calls.guests.logs import Followed
from geats_host.drivers import DriverSeen
from geats_host.drivers.libvirt.driver import LibvirtDriver, open_qemu
from geats_host.drivers.libvirt.guests.console_log import FILE
from tests.real.machines import agent_guest
from tests.real.machines.libvirt_daemon import a_daemon, virsh

KEPT = 100 << 10  # bytes: as virtlogd of the tests has files of 64 KiB, that are two


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("libvirt")
    with a_daemon(folder, logs=True):
        yield folder


@pytest.fixture
def driver(ground: Path, tmp_path: Path) -> LibvirtDriver:
    return open_qemu({"settle": 0.1, "raw_xml": True}, tmp_path)


def says(driver: LibvirtDriver, name: str, line: str) -> None:
    """Let a shell of the guest say something on its console."""
    command = Command(argv=("sh", "-c", f"({line}) >/dev/ttyS0"), timeout_s=120)
    assert driver.exec(name, command).code == 0


def comes(seen: Callable[[], bool]) -> bool:
    """Whether it is so within a minute."""
    until = time.monotonic() + 60
    while not seen():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.glob(f"{FILE}*")}


def test_what_a_guest_says_is_kept_up_to_a_limit_and_goes_with_its_vm(
    driver: LibvirtDriver, ground: Path
) -> None:
    want = agent_guest.machine("console", console_log="100KiB")
    assert driver.cannot_define(want) == ()
    agent_guest.booted(driver, want, ground)
    assert driver.observe()[want.name].defined == want
    log = driver.logs(want.name)["console"]
    says(driver, want.name, r"printf 'hello \033[2J\n'")
    assert comes(lambda: b"hello \x1b[2J" in log.read_bytes())
    assert any("hello" in line and "\x1b" not in line for line in Followed(log).new_lines())
    assert stat.S_IMODE(log.stat().st_mode) == 0o600

    says(driver, want.name, "yes 0123456789 | head -n 30000")  # 330 KB
    assert comes(lambda: len(sizes(log.parent)) == 4)
    assert max(sizes(log.parent).values()) <= 64 << 10
    driver.stop(want.name)
    driver.start(want.name)
    assert KEPT <= sum(sizes(log.parent).values()) <= KEPT + (64 << 10)
    driver.stop(want.name)

    new = f"{want.name}-new"
    driver.rename(want.name, new)
    assert (sizes(log.parent), "console.log" in sizes(driver.folder(new))) == ({}, True)
    renamed = replace(want, name=new)
    driver.define(renamed, {"root": agent_guest.disk(ground / "renamed.raw")})
    driver.undefine(new)
    assert not driver.folder(new).exists()


def test_of_a_vm_without_the_key_nothing_is_kept_any_more(
    driver: LibvirtDriver, ground: Path
) -> None:
    keeps = agent_guest.machine("silent", console_log="64KiB")
    place = {"root": agent_guest.disk(ground / "silent.raw")}
    driver.define(keeps, place)
    driver.start(keeps.name)
    assert "<log file=" in virsh("dumpxml", keeps.name)
    driver.stop(keeps.name)
    want: VMSpec = agent_guest.machine("silent")
    driver.define(want, place)
    assert driver.observe() == {want.name: DriverSeen(defined=want)}
    assert "<log" not in virsh("dumpxml", want.name)
    driver.start(want.name)
    assert set(driver.logs(want.name)) == {"qemu"}
    driver.stop(want.name)
    driver.undefine(want.name)
