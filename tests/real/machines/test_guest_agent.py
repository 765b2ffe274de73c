"""Programs and files in a guest that QEMU emulates, by the agent that Debian has."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
from geats_core.vm.observation import Power
from geats_host.drivers import OUTPUT_BYTES, Copied, Ran, Streams
from geats_host.drivers.held import HELD
from geats_host.drivers.libvirt.driver import LibvirtDriver, open_qemu
from geats_host.drivers.libvirt.guests import programs as guest_programs
from geats_host.drivers.lxc.scripts import tree_stream
from geats_host.errors import HostError, Refused
from geats_host.linux.descriptors import open_directory
from geats_host.linux.processes import ends_within
from tests.real.machines import agent_guest
from tests.real.machines.libvirt_daemon import a_daemon, holding, virsh

NAME = "geats-test-agent"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtDriver]:
    """One in which a guest has booted."""
    ground, state = (tmp_path_factory.mktemp(each) for each in ("libvirt", "state"))
    with a_daemon(ground):
        opened = open_qemu({"settle": 0.1, "raw_xml": True}, state)
        agent_guest.booted(opened, agent_guest.machine("agent"), ground)
        yield opened


def ran(driver: LibvirtDriver, *argv: str, **options: object) -> Ran:
    return driver.exec(NAME, Command(argv=argv, **options))  # type: ignore[arg-type]


def pulled(driver: LibvirtDriver, path: str, most: int = 1 << 20) -> bytes:
    with tempfile.TemporaryFile() as target:
        driver.read_file(NAME, FileToRead(path=path, max_bytes=most), target.fileno())
        target.seek(0)
        return target.read()


def push(driver: LibvirtDriver, content: bytes, file: FileToWrite) -> None:
    with tempfile.TemporaryFile() as source:
        source.write(content)
        source.seek(0)
        driver.write_file(NAME, file, source.fileno())


def test_a_directory_goes_in_and_comes_out_by_python_of_the_guest(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    """The guest of ``script/guest`` has none, and says so; one that has it copies."""
    (tmp_path / "old/a").mkdir(parents=True)
    (tmp_path / "new").mkdir()
    (tmp_path / "old/a/file").write_bytes(b"x" * 100_000)
    (tmp_path / "old/link").symlink_to("/a")
    stream, back = tmp_path / "stream", tmp_path / "back"
    with stream.open("wb") as out, open_directory(tmp_path / "old") as top:
        tree_stream.pack(top, out.write, print)
    file = FileToWrite(path="/tmp/tree", owner=7)

    if ran(driver, "sh", "-c", "command -v python3").code:
        with stream.open("rb") as source, pytest.raises(HostError, match="there is no python3"):
            driver.unpack(NAME, file, source.fileno())
        return
    with stream.open("rb") as source:
        done = driver.unpack(NAME, file, source.fileno())
    assert done == Copied(files=1, size_bytes=100_000)
    assert ran(driver, "stat", "-c", "%u", "/tmp/tree/a/file").stdout == b"7\n"
    with back.open("wb") as target:
        assert driver.pack(NAME, "/tmp/tree", target.fileno(), 60) == Copied()
    with back.open("rb") as source, open_directory(tmp_path / "new") as top:
        assert tree_stream.unpack(source, top, None, 1 << 20, print) == (1, 100_000)
    old, new = (tmp_path / f"{each}/a/file" for each in ("old", "new"))
    assert (new.read_bytes(), new.stat().st_mtime) == (old.read_bytes(), old.stat().st_mtime)
    assert os.readlink(tmp_path / "new/link") == "/a"
    left = ran(driver, "sh", "-c", "ls -a /var/tmp /tmp | grep geats-").stdout
    assert left == b""


def streamed(
    driver: LibvirtDriver, given: bytes, timeout_s: float | None, *argv: str
) -> tuple[int | None, bytes]:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(given)
        source.seek(0)
        streams = Streams(stdin=source.fileno(), stdout=target.fileno(), stderr=target.fileno())
        code = driver.stream(NAME, Command(argv=argv), streams, timeout_s)
        target.seek(0)
        return code, target.read()


def test_a_program_has_its_input_and_ends_with_its_group(driver: LibvirtDriver) -> None:
    given = os.urandom(guest_programs.MOST_INPUT)
    assert streamed(driver, given, None, "cat") == (0, given)
    with pytest.raises(Refused, match=r"takes at most 100 KiB of input: copy it with 'geats push"):
        streamed(driver, given + b"x", None, "cat")
    line = "sleep 781 & exec sleep 781"
    assert streamed(driver, b"", 1, "sh", "-c", line)[0] is None
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 3)
    with pytest.raises(SystemExit, match="143"):
        streamed(driver, b"", None, "sh", "-c", line)
    assert ran(driver, "sh", "-c", "ps | grep '[s]leep 781'").stdout == b""
    assert b"qemu-system" in driver.logs(NAME)["qemu"].read_bytes()


def test_a_program_has_its_words_its_user_and_its_environment(driver: LibvirtDriver) -> None:
    script = 'echo "$0 $1" "$A" $(pwd) $(id -u) $(id -g) $HOME; echo err >&2; cat; exit 7'
    told = {"cwd": "/tmp", "env": {"A": "x  'y'\n$z"}}
    argv = ("sh", "-c", script, "a b", "c\nd")
    assert ran(driver, *argv, **told) == Ran(
        code=7, stdout=b"a b c\nd x  'y'\n$z /tmp 0 0 /root\n", stderr=b"err\n"
    )
    assert ran(driver, *argv, **told, user="nobody").stdout.endswith(b" /tmp 65534 65534 /\n")
    assert ran(driver, *argv, **told, user=1234).stdout.endswith(b" /tmp 1234 1234 /\n")
    assert set(ran(driver, "env").stdout.split()) >= {b"HOME=/root", b"USER=root"}


def test_how_a_program_ends_is_its_code(driver: LibvirtDriver) -> None:
    assert ran(driver, "true") == Ran(code=0)
    assert ran(driver, "no-such-program").code == 127
    assert ran(driver, "/etc").code == 126
    assert ran(driver, "sh", "-c", "kill -TERM $$").code == 128 + 15
    with pytest.raises(HostError, match=f"in {NAME}: nobody2: there is no such user"):
        ran(driver, "true", user="nobody2")
    with pytest.raises(HostError, match="/none: there is no such directory"):
        ran(driver, "true", cwd="/none")


def test_a_program_without_an_end_is_killed_and_of_much_output_the_beginning_is_kept(
    driver: LibvirtDriver,
) -> None:
    assert ran(driver, "sleep", "1000", timeout_s=1).code is None
    assert b"sleep 1000\n" not in ran(driver, "ps", "-o", "args").stdout
    much = ran(driver, "sh", "-c", "head -c 3000000 /dev/zero; head -c 1500000 /dev/zero >&2")
    assert much == Ran(
        code=0, stdout=bytes(OUTPUT_BYTES), stderr=bytes(OUTPUT_BYTES), truncated=True
    )


def test_files_go_in_and_come_out_as_they_were(driver: LibvirtDriver) -> None:
    data = os.urandom(600_000)  # more than is read or written at once
    path = "/tmp/a file"
    for content in (data, b""):
        push(driver, content, FileToWrite(path=path, mode=0o640, owner="nobody", group=5))
        assert pulled(driver, path) == content
    assert ran(driver, "stat", "-c", "%a %u %g", path).stdout == b"640 65534 5\n"
    assert ran(driver, "ls", "-A", "/tmp").stdout == b"a file\n"

    ran(driver, "sh", "-c", "mkdir /tmp/d; ln -s d /tmp/link; mkfifo /tmp/fifo")
    push(driver, b"1", FileToWrite(path="/tmp/link"))
    assert ran(driver, "stat", "-c", "%F %a %u", "/tmp/link").stdout == b"regular file 644 0\n"
    with pytest.raises(HostError):
        push(driver, b"1", FileToWrite(path="/tmp/d"))
    with pytest.raises(HostError, match="/none: there is no such directory"):
        push(driver, b"1", FileToWrite(path="/none/file"))
    assert ran(driver, "ls", "-A", "/tmp").stdout == b"a file\nd\nfifo\nlink\n"
    for other in ("/tmp/fifo", "/tmp/none", "/tmp"):
        with pytest.raises(HostError, match="is not a regular file"):
            pulled(driver, other)
    push(driver, data, FileToWrite(path=path))
    with pytest.raises(HostError, match="is larger than 599999 bytes"):
        pulled(driver, path, 599_999)


def filesystems() -> str:
    """What the agent says of them."""
    asked = '{"execute": "guest-fsfreeze-status"}'
    return str(json.loads(virsh("qemu-agent-command", NAME, asked))["return"])


def test_one_that_is_held_has_its_filesystems_at_rest_until_it_goes_on(
    driver: LibvirtDriver,
) -> None:
    assert driver.hold(NAME) == ""
    assert driver.observe()[NAME].power is Power.HELD
    virsh("resume", NAME)
    assert filesystems() == "frozen"
    driver.unfreeze(NAME)
    assert (filesystems(), driver.observe()[NAME].power) == ("thawed", Power.RUNNING)


def test_they_go_on_as_well_if_the_operation_is_killed(driver: LibvirtDriver) -> None:
    state = driver.options.state_dir
    with holding(state, NAME) as process:
        (holder, _) = (state / "libvirt/qemu" / NAME / HELD).read_text().split()
        os.killpg(process.pid, signal.SIGKILL)
    assert ends_within(int(holder), 60)
    assert (filesystems(), driver.observe()[NAME].power) == ("thawed", Power.RUNNING)
    assert driver.hold(NAME) == ""
    driver.unfreeze(NAME)
    assert filesystems() == "thawed"


def test_what_the_guest_says_of_itself_is_told(driver: LibvirtDriver) -> None:
    ran(driver, "sh", "-c", "ip address add 10.9.8.7/24 dev lo")
    found = driver.info(NAME)
    assert (found.os, found.addresses) == ("Tiny guest", ("10.9.8.7",))
    (used,) = driver.usage([NAME, "absent"]).values()
    assert (used.pid, used.addresses, used.os) == (found.pid, ("10.9.8.7",), None)
    assert used.pid is not None
    assert None not in (used.uptime_s, used.memory_used_bytes, used.cpu_time_s)
    assert None not in (used.disk_read_bytes, used.disk_written_bytes)


def test_it_powers_off_when_it_is_asked_to(driver: LibvirtDriver) -> None:
    """The last test of this guest. Only its agent hears: it has no driver for a power button."""
    assert driver.shutdown(NAME, 60) == ""
    assert driver.observe()[NAME].power is Power.STOPPED
    with pytest.raises(HostError, match="cannot run a program"):
        ran(driver, "true")


def test_cpus_that_are_added_are_brought_up_in_the_guest(
    driver: LibvirtDriver, tmp_path: Path
) -> None:
    keys = agent_guest.hardware(max_cpus=3)
    want = agent_guest.machine("cpus", cpus=1, hardware=keys)
    agent_guest.booted(driver, want, tmp_path)
    online = Command(argv=("cat", "/sys/devices/system/cpu/online"))
    try:
        driver.set_limits(want.name, replace(want.limits, cpus=3.0))
        assert driver.exec(want.name, online).stdout == b"0-2\n"
    finally:
        driver.stop(want.name)
        driver.undefine(want.name)
