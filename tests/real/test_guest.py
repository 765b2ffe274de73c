"""Into real containers: programs, files, and what stays behind of both."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
from geats_core.vm.observation import Power
from geats_core.vm.readiness import HttpProbe, TcpProbe
from geats_host.calls import lifecycle
from geats_host.calls.guests import files, programs, ssh, trees, waiting
from geats_host.drivers import OUTPUT_BYTES, Copied, Place, Ran, Streams, readiness
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.drivers.lxc.process import LONGEST_CONSOLE
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError
from geats_host.host import Host
from tests.real.conftest import spec

SECOND = 1.0
Start = Callable[..., str]


@pytest.fixture
def start(driver: LxcDriver, busybox_rootfs: Path) -> Start:
    """Start a container of busybox, in which ``files`` are."""

    def started(name: str = "guest", files: Mapping[str, str] | None = None, **keys: object) -> str:
        (busybox_rootfs / "root").mkdir()
        for applet in ("id", "env", "kill", "setsid", "printf", "ln", "stat", "mkdir", "touch"):
            (busybox_rootfs / "bin" / applet).symlink_to("busybox")
        for path, content in (files or {}).items():
            (busybox_rootfs / path).write_text(content)
        want = spec(name, **keys)
        driver.define(want, {"root": Place(busybox_rootfs)})
        LxcDriver(replace(driver.options, settle_s=0.1)).start(want.name)
        return want.name

    return started


def text(ran: Ran) -> tuple[int | None, str, str]:
    return ran.code, ran.stdout.decode(), ran.stderr.decode()


def sh(driver: LxcDriver, name: str, line: str) -> str:
    """What a shell in the guest prints."""
    ran = driver.exec(name, Command(argv=("sh", "-c", line)))
    assert (ran.code, ran.stderr) == (0, b"")
    return ran.stdout.decode()


def write(driver: LxcDriver, name: str, file: FileToWrite, content: bytes, folder: Path) -> None:
    source = folder / "source"
    source.write_bytes(content)
    with source.open("rb") as opened:
        driver.write_file(name, file, opened.fileno())


def read(driver: LxcDriver, name: str, file: FileToRead, folder: Path) -> bytes:
    with (folder / "target").open("w+b") as opened:
        driver.read_file(name, file, opened.fileno())
        opened.seek(0)
        return opened.read()


def processes_with(mark: str) -> list[int]:
    """Processes of the whole machine that have *mark* as one of their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if mark.encode() in words and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def all_end(mark: str) -> bool:
    """Whether no such process is left, soon."""
    for _ in range(100):
        if not processes_with(mark):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("privileged", [False, True])
def test_outputs_and_exit_code_come_apart(
    driver: LxcDriver, start: Start, privileged: bool
) -> None:
    name = start(privileged=privileged)
    ran = driver.exec(name, Command(argv=("sh", "-c", "echo out; echo err >&2; exit 3")))
    assert ran == Ran(code=3, stdout=b"out\n", stderr=b"err\n")


@pytest.mark.parametrize(
    ("argv", "ran"),
    [
        (("true",), (0, "", "")),
        (("sh", "-c", "kill -9 $$"), (137, "", "")),
        (("sh", "-c", "kill -TERM $$"), (143, "", "")),
        (("nowhere",), (127, "", "nowhere: No such file or directory\n")),
        (("/nowhere",), (127, "", "/nowhere: No such file or directory\n")),
        (("/etc",), (126, "", "/etc: Permission denied\n")),
        (("echo", "$HOME", "; *", "two\nlines"), (0, "$HOME ; * two\nlines\n", "")),
    ],
)
def test_what_programs_come_to(
    driver: LxcDriver, start: Start, argv: tuple[str, ...], ran: object
) -> None:
    name = start()
    sh(driver, name, "ln -s busybox /bin/echo")
    assert text(driver.exec(name, Command(argv=argv))) == ran


def test_bytes_come_as_they_are(driver: LxcDriver, start: Start) -> None:
    name = start()
    ran = driver.exec(name, Command(argv=("printf", r"\377\000\r\n")))
    assert ran.stdout == b"\xff\x00\r\n"


def test_the_input_is_empty(driver: LxcDriver, start: Start) -> None:
    name = start()
    assert driver.exec(name, Command(argv=("cat",), timeout_s=5)) == Ran(code=0)


def test_the_environment_is_clean_and_signals_are_as_usual(driver: LxcDriver, start: Start) -> None:
    name = start(files={"etc/passwd": "root:x:0:0::/root:/bin/sh\n"})
    ran = driver.exec(name, Command(argv=("env",), cwd="/tmp", env={"A": "b c\nd"}))
    assert sorted(ran.stdout.decode().splitlines()) == sorted(
        [
            "A=b c",
            "d",
            "HOME=/root",
            "LOGNAME=root",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "USER=root",
            "container=lxc",
        ]
    )
    status = driver.exec(name, Command(argv=("cat", "/proc/self/status"))).stdout.decode()
    ignored = [line for line in status.splitlines() if line.startswith(("SigIgn", "SigBlk"))]
    assert ignored == ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"]


def test_no_descriptor_of_the_host_comes_along(driver: LxcDriver, start: Start) -> None:
    name = start()
    sh(driver, name, "ln -s busybox /bin/ls")
    ran = driver.exec(name, Command(argv=("ls", "/proc/self/fd")))
    assert ran.stdout == b"0\n1\n2\n3\n"  # the last is the directory itself


def test_a_user_has_its_groups_and_its_home(driver: LxcDriver, start: Start) -> None:
    passwd = "root:x:0:0::/root:/bin/sh\nbad:x:y:0:::\nann:x:1000:100::/tmp:/bin/sh\n"
    name = start(files={"etc/passwd": passwd, "etc/group": "users:x:100:\nadm:x:4:bob,ann\n"})
    for user in ("ann", 1000):
        ran = driver.exec(
            name,
            Command(
                argv=("sh", "-c", "id -u; id -g; id -G; pwd; echo $HOME"), user=user, cwd="/etc"
            ),
        )
        assert text(ran) == (0, "1000\n100\n100 4\n/etc\n/tmp\n", "")
    ran = driver.exec(name, Command(argv=("sh", "-c", "id -u; id -G; echo $HOME"), user=77))
    assert text(ran) == (0, "77\n77\n/\n", "")
    with pytest.raises(HostError, match=r"^eve: there is no such user in /etc/passwd$"):
        driver.exec(name, Command(argv=("true",), user="eve"))
    with pytest.raises(HostError, match=r"^70000: cannot run as this user: Invalid argument$"):
        driver.exec(name, Command(argv=("true",), user=70_000))


def test_a_directory_that_is_not_there_is_told(driver: LxcDriver, start: Start) -> None:
    name = start()
    with pytest.raises(HostError, match=r"^/nowhere: No such file or directory$"):
        driver.exec(name, Command(argv=("true",), cwd="/nowhere"))


def test_of_much_output_the_beginning_is_kept(driver: LxcDriver, start: Start) -> None:
    name = start()
    sh(driver, name, "ln -s busybox /bin/yes; ln -s busybox /bin/head")
    ran = driver.exec(name, Command(argv=("sh", "-c", "yes | head -c 5000000")))
    assert (ran.code, len(ran.stdout), ran.truncated) == (0, OUTPUT_BYTES, True)


def one_begins(mark: str) -> bool:
    """Whether a process with that argument is there soon: one that is forked has to exec first."""
    deadline = time.monotonic() + 5 * SECOND
    while not processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(processes_with(mark)) == 1


def test_what_goes_on_in_the_background_is_not_waited_for(driver: LxcDriver, start: Start) -> None:
    name = start()
    begin = time.monotonic()
    ran = driver.exec(name, Command(argv=("sh", "-c", "sleep 771 & echo started"), timeout_s=20))
    assert text(ran) == (0, "started\n", "")
    assert time.monotonic() - begin < 5 * SECOND
    assert one_begins("771")


def test_when_the_time_is_up_the_whole_group_is_killed(driver: LxcDriver, start: Start) -> None:
    name = start()
    line = "trap '' TERM INT HUP; echo begun; sleep 772 & sh -c 'sleep 772' & sleep 772"
    begin = time.monotonic()
    ran = driver.exec(name, Command(argv=("sh", "-c", line), timeout_s=1))
    assert text(ran) == (None, "begun\n", "")
    assert time.monotonic() - begin < 3 * SECOND
    assert all_end("772")


@pytest.mark.parametrize("ignored", [False, True])
def test_a_caller_that_is_killed_takes_the_program_with_it(
    driver: LxcDriver, start: Start, ignored: bool, tmp_path: Path
) -> None:
    """And one that ignores SIGCHLD is told the exit code all the same."""
    name = start()
    code = f"""
import signal, sys
from pathlib import Path
from geats_core.requests.guest_requests import Command
from geats_host.drivers.lxc.driver import open_driver
if {ignored}: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
driver = open_driver({{}}, Path(sys.argv[1]))
print(driver.exec(sys.argv[2], Command(argv=("sh", "-c", "exit 5"))).code, flush=True)
driver.exec(sys.argv[2], Command(argv=("sleep", "773")))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", code, str(tmp_path), name]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "5\n"
        while not processes_with("773"):
            time.sleep(0.02)
        caller.kill()
    assert all_end("773")
    assert all_end(name)


def test_streams_go_through_as_they_are_and_without_a_limit(
    driver: LxcDriver, start: Start, tmp_path: Path
) -> None:
    name, given = start(), os.urandom(3 * OUTPUT_BYTES)
    (tmp_path / "given").write_bytes(given)
    line = "cat; echo err >&2; sleep 777 & exit 3"
    with ExitStack() as opened:
        modes = {"given": "rb", "out": "wb", "err": "wb"}
        files = [opened.enter_context((tmp_path / each).open(modes[each])) for each in modes]
        stdin, stdout, stderr = (file.fileno() for file in files)
        streams = Streams(stdin=stdin, stdout=stdout, stderr=stderr)
        assert driver.stream(name, Command(argv=("sh", "-c", line)), streams, None) == 3
    assert (tmp_path / "out").read_bytes() == given
    assert (tmp_path / "err").read_bytes() == b"err\n"


def test_a_caller_that_reads_nothing_or_late_changes_no_deadline_and_no_output(
    driver: LxcDriver, start: Start
) -> None:
    name = start()
    read, write = os.pipe()
    try:
        yes = Command(argv=("sh", "-c", "while :; do echo y; done"))
        streams = Streams(stdin=None, stdout=write, stderr=write)
        assert driver.stream(name, yes, streams, 1) is None
        late = threading.Timer(2, os.read, (read, 1 << 20))
        late.start()
        assert driver.stream(name, Command(argv=("sh", "-c", "echo late")), streams, 60) == 0
        late.join()
        assert os.read(read, 1 << 20) == b"late\n"
    finally:
        os.close(read)
        os.close(write)


def test_a_signal_to_end_goes_to_the_program_and_nothing_is_left(
    driver: LxcDriver, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    """One that does not heed it is killed, after a while."""
    name = start()
    for trap, code in (("trap 'echo told; exit 4' TERM", 4), ("trap '' TERM", 128 + 15)):
        later = threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM))
        later.start()
        line = f"{trap}; while :; do sleep 0.778; done"
        try:
            came = driver.stream(name, Command(argv=("sh", "-c", line)), Streams(stdin=None), 20)
        except SystemExit as ended:
            came = int(ended.code or 0)
        assert came == code
        assert all_end("0.778")
        later.join()
    assert capfd.readouterr().out == "told\n"


def test_a_login_shell_has_a_terminal_of_the_guest(driver: LxcDriver, start: Start) -> None:
    name = start(files={"etc/passwd": "root:x:0:0::/root:/bin/sh\n"})
    person, caller = pty.openpty()
    os.write(person, b"tty; pwd; echo $0 $TERM; exit 6\n")
    termios.tcsetwinsize(caller, (33, 111))
    sh(driver, name, "for each in tty pwd; do ln -s busybox /bin/$each; done")
    command = Command(argv=(), env={"TERM": "vt100"})
    assert driver.on_terminal(name, command, Streams(stdin=caller, stdout=caller), 20) == 6
    said = os.read(person, 9999).decode().split("\r\n")
    os.close(person)
    os.close(caller)
    assert any(line.startswith("/dev/pts/") for line in said)
    assert {"/root", "-sh vt100"} <= set(said)


def test_what_the_guest_says_on_its_console_is_kept_up_to_a_limit(
    driver: LxcDriver, start: Start
) -> None:
    name = start()
    sh(driver, name, "echo hello >/dev/console")
    console = driver.logs(name)["console"]
    assert b"hello" in console.read_bytes()
    sh(driver, name, "busybox yes x | busybox head -n 99999 >/dev/console")
    kept = sum(each.stat().st_size for each in console.parent.glob("console.log*"))
    assert kept <= 3 * LONGEST_CONSOLE
    assert driver.console_command(name)[-2:] == ["-t", "0"]
    driver.stop(name)
    driver.undefine(name)
    assert not console.parent.exists()


def test_as_much_of_its_console_is_kept_as_is_wanted(driver: LxcDriver, start: Start) -> None:
    name = start(console_log="512KiB")
    sh(driver, name, "busybox yes x | busybox head -n 150000 >/dev/console")  # 450 KB, with returns
    console = driver.logs(name)["console"]
    assert 3 * LONGEST_CONSOLE < console.stat().st_size <= 512 << 10


def test_a_guest_without_an_address_is_asked_whether_it_is_ready(
    driver: LxcDriver, start: Start
) -> None:
    name = start("ready", files={"etc/health": "well"})
    health, other = HttpProbe(80, "/health"), HttpProbe(80, "/none")
    assert readiness.look(driver, name, TcpProbe(80), 5) == readiness.Look(
        False, "port 80 at 127.0.0.1: Network is unreachable"
    )
    sh(driver, name, "busybox ip link set lo up; busybox httpd -h /etc")

    assert readiness.look(driver, name, TcpProbe(80), 5).reached
    assert readiness.look(driver, name, health, 5).reached
    assert readiness.look(driver, name, other, 5).seen == ":80/none answered with 404"
    driver.stop(name)
    assert readiness.look(driver, name, health, 5).seen == f"{name} is not running"


def test_an_environment_is_in_no_list_of_processes(driver: LxcDriver, start: Start) -> None:
    name = start()
    ran = driver.exec(
        name, Command(argv=("sh", "-c", "sleep 774"), env={"SECRET": "hush"}, timeout_s=1)
    )
    assert ran.code is None
    log = driver.options.path / name / "log"
    assert not log.exists() or "hush" not in log.read_text()


@pytest.mark.parametrize("power", ["stopped", "frozen"])
def test_into_what_does_not_run_nothing_is_done_and_at_once(
    driver: LxcDriver, start: Start, power: str, tmp_path: Path
) -> None:
    name = start()
    (driver.stop if power == "stopped" else driver.freeze)(name)
    begin = time.monotonic()
    said = f"^{name} is {power}$"
    with pytest.raises(HostError, match=said):
        driver.exec(name, Command(argv=("true",)))
    with pytest.raises(HostError, match=said):
        write(driver, name, FileToWrite(path="/etc/a"), b"", tmp_path)
    with pytest.raises(HostError, match=said):
        read(driver, name, FileToRead(path="/etc/a"), tmp_path)
    assert time.monotonic() - begin < SECOND


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("folder", ["/etc", "/run"])
def test_a_file_goes_there_and_back(
    driver: LxcDriver, start: Start, tmp_path: Path, privileged: bool, folder: str
) -> None:
    """Also where the guest has mounted a filesystem of its own."""
    files = {"etc/passwd": "ann:x:1000:100:::\n", "etc/group": "adm:x:4:\n"}
    name = start(files=files, privileged=privileged)
    sh(driver, name, "mkdir -p /run && mount -t tmpfs none /run")
    content = os.urandom(3_000_000)
    path = f"{folder}/some file"
    file = FileToWrite(path=path, mode=0o640, owner="ann", group="adm")
    write(driver, name, file, content, tmp_path)
    assert sh(driver, name, f"stat -c '%a %u %g %s' '{path}'") == "640 1000 4 3000000\n"
    assert read(driver, name, FileToRead(path=path, max_bytes=1 << 30), tmp_path) == content
    write(driver, name, FileToWrite(path=path), b"", tmp_path)
    assert sh(driver, name, f"stat -c '%a %u %g %s' '{path}'") == "644 0 0 0\n"
    assert ".geats-" not in sh(driver, name, f"ln -sf busybox /bin/ls; ls -a {folder}")


def test_links_never_lead_out_of_the_guest(driver: LxcDriver, start: Start, tmp_path: Path) -> None:
    """Neither a link in place of the file, nor one on the way, nor one through /proc."""
    name = start()
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "kept").write_text("mine")
    sh(driver, name, f"ln -s {outside}/kept /etc/kept; ln -s {outside} /etc/folder")
    write(driver, name, FileToWrite(path="/etc/kept"), b"theirs", tmp_path)
    assert read(driver, name, FileToRead(path="/etc/kept"), tmp_path) == b"theirs"
    for path in ("/etc/folder/x", f"/proc/1/root/{outside}/x", f"/../..{outside}/x"):
        with pytest.raises(HostError, match="No such file or directory"):
            write(driver, name, FileToWrite(path=path), b"theirs", tmp_path)
    sh(driver, name, f"mkdir -p {outside}")
    write(driver, name, FileToWrite(path="/etc/folder/x"), b"theirs", tmp_path)
    assert sorted(each.name for each in outside.iterdir()) == ["kept"]
    assert (outside / "kept").read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/fifo", "/etc/fifo: is not a regular file"),
        ("/etc", "/etc: is not a regular file"),
        ("/dev/null", "/dev/null: is not a regular file"),
        ("/etc/absent", "/etc/absent: No such file or directory"),
        ("/etc/large", "/etc/large: is larger than 10 bytes"),
        ("/proc/self/status", "/proc/self/status: is larger than 10 bytes"),
    ],
)
def test_what_is_not_read(
    driver: LxcDriver, start: Start, tmp_path: Path, path: str, said: str
) -> None:
    name = start(files={"etc/large": "01234567890", "etc/fits": "0123456789"})
    sh(driver, name, "busybox mkfifo /etc/fifo")
    with pytest.raises(HostError, match=f"^{said}$"):
        read(driver, name, FileToRead(path=path, max_bytes=10), tmp_path)
    assert read(driver, name, FileToRead(path="/etc/fits", max_bytes=10), tmp_path) == b"0123456789"


def test_what_cannot_be_written_leaves_nothing_behind(
    driver: LxcDriver, start: Start, tmp_path: Path
) -> None:
    name = start()
    with pytest.raises(HostError, match=r"^/etc: Is a directory$"):
        write(driver, name, FileToWrite(path="/etc"), b"x", tmp_path)
    with pytest.raises(HostError, match=r"^/tmp/x: Invalid argument$"):
        write(driver, name, FileToWrite(path="/tmp/x", owner=70_000), b"x", tmp_path)
    sh(driver, name, "mount -t tmpfs -o size=64k none /var")
    with pytest.raises(HostError, match=r"^/var/x: No space left on device$"):
        write(driver, name, FileToWrite(path="/var/x"), bytes(200_000), tmp_path)
    with pytest.raises(HostError, match=r"^eve: there is no such group in /etc/group$"):
        write(driver, name, FileToWrite(path="/tmp/x", group="eve"), b"x", tmp_path)
    assert sh(driver, name, "ln -s busybox /bin/ls; ls -a / /tmp /var").count(".geats-") == 0


def test_a_hostile_table_of_users_is_read_as_far_as_it_goes(
    driver: LxcDriver, start: Start
) -> None:
    huge = "ann:x:99999999999:5:::\nann:x:4294967295:5:::\nann:x:٣:5:::\nann:x:7:8:::\n"
    name = start(files={"etc/passwd": huge})
    ran = driver.exec(name, Command(argv=("id", "-u"), user="ann"))
    assert text(ran) == (0, "7\n", "")
    sh(driver, name, "busybox rm /etc/passwd; busybox mkfifo /etc/passwd")
    with pytest.raises(HostError, match=r"^/etc/passwd: is not a regular file$"):
        driver.exec(name, Command(argv=("true",), user="ann"))


def test_a_log_of_liblxc_says_why_attaching_failed(
    driver: LxcDriver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = start()
    driver.stop(name)
    monkeypatch.setattr("geats_host.drivers.lxc.monitor.power", lambda *_: Power.RUNNING)
    with pytest.raises(HostError, match="Failed to"):
        driver.exec(name, Command(argv=("true",)))


def test_an_interrupted_caller_kills_the_program(driver: LxcDriver, start: Start) -> None:
    name = start()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 1)
    with pytest.raises(KeyboardInterrupt):
        driver.exec(name, Command(argv=("sleep", "775"), timeout_s=30))
    assert all_end("775")


def test_one_that_is_frozen_meanwhile_keeps_nobody_waiting(driver: LxcDriver, start: Start) -> None:
    name = start()
    later = threading.Timer(0.5, lambda: driver.freeze(name))
    later.start()
    begin = time.monotonic()
    ran = driver.exec(name, Command(argv=("sleep", "776"), timeout_s=1))
    assert (ran.code, time.monotonic() - begin < 8 * SECOND) == (None, True)
    later.join()
    driver.unfreeze(name)
    assert all_end("776")


def test_a_host_reaches_into_debian(debian_rootfs: Path, tmp_path: Path, bridge: str) -> None:
    """From the start to systemd's own word that all is up, with files and users in between."""
    name = "geats-test-debian"
    nic = {"name": "eth0", "bridge": bridge, "addresses": ["10.77.0.9/24"]}
    host = Host.from_config(
        {
            "state_dir": str(tmp_path / "state"),
            "run_dir": str(tmp_path / "run"),
            "drivers": {"lxc": {"settle": 0.2, "timeout": 20}},
            "pools": {"default": {"type": "directory", "path": str(tmp_path / "pool")}},
            "templates": {"debian": {"path": str(debian_rootfs)}},
            "vms": {name: {"template": "debian", "nics": [nic]}},
        }
    )
    assert isinstance(apply_plan(host, lifecycle.plan_verb(host, "start", name)), Success)
    try:
        assert waiting.wait(host, name, "ip", None, {"timeout": 20}).seen == "10.77.0.9"
        up = ["systemctl", "is-active", "systemd-journald"]
        assert waiting.wait(host, name, None, up, {"timeout": 60}).reached
        options = {"owner": "www-data", "group": "adm", "mode": "0600"}
        assert files.write_file(host, name, "/srv/a", "grüezi\n", options) == 8
        line = "id -un; id -Gn; cat /srv/a; ls -l /srv/a"
        ran = programs.run_in(host, name, ["sh", "-c", line], {"user": "www-data", "cwd": "/srv"})
        assert ran.stdout.decode().splitlines()[:3] == ["www-data", "www-data", "grüezi"]
        assert ran.stdout.decode().splitlines()[3].startswith("-rw------- 1 www-data adm 8 ")
        assert files.pull(host, name, "/srv/a", str(tmp_path / "a"), {}) == 8
        assert (tmp_path / "a").read_text() == "grüezi\n"
        assert ssh.ssh_command(host, name, {}) == ["ssh", "--", "10.77.0.9"]
        trees_go_there_and_back(host, name, tmp_path)
        apply_plan(host, lifecycle.plan_verb(host, "stop", name))
        trees_go_there_and_back(host, name, tmp_path)
        assert files.write_file(host, name, "/etc/motd", "off", {"owner": "games"}) == 3
        assert files.read_file(host, name, "/etc/motd", {}) == b"off"
    finally:
        apply_plan(host, lifecycle.plan_to(host, name, "deprovisioned"))


def trees_go_there_and_back(host: Host, name: str, folder: Path) -> None:
    """And a link in the guest leads nowhere else, whether it runs or is off."""
    source, target, outside = folder / "tree", folder / "copy", folder / "outside"
    for each in (source / "sub", source / "way", outside):
        each.mkdir(parents=True, exist_ok=True)
    (source / "sub/file").write_text("hello")
    (source / "sub/file").chmod(0o640)
    (source / "sub/link").symlink_to("/etc/passwd")
    (source / "way").rmdir()
    (source / "way").symlink_to(outside)
    done = trees.push_tree(host, name, str(source), "/srv/tree", {"owner": "games"})
    assert done == Copied(files=1, size_bytes=5)
    (source / "way").unlink()
    (source / "way").mkdir()
    (source / "way/file").write_text("theirs")
    done = trees.push_tree(host, name, str(source), "/srv/tree", {})
    assert done.wrong == ("way: Not a directory", "way/file: Not a directory")
    assert list(outside.iterdir()) == []
    assert trees.pull_tree(host, name, "/srv/tree", str(target), {}).files == 1
    assert (target / "sub/file").read_text() == "hello"
    assert (target / "sub/file").stat().st_mode & 0o777 == 0o640
    assert {os.readlink(target / each) for each in ("way", "sub/link")} == {
        str(outside),
        "/etc/passwd",
    }
    assert not trees.pull_tree(host, name, "/srv/tree/sub/file", str(target), {}).is_tree
    with pytest.raises(HostError, match="larger than wanted"):
        trees.pull_tree(host, name, "/srv/tree", str(target), {"max_size": "4B"})
    for each in (source, target):
        shutil.rmtree(each)
