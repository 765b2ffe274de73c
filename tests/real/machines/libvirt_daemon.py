"""A libvirtd of the tests' own, and machines for it that boot in a moment without a kernel."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_host.linux.processes import ends_within

OF_LIBVIRT = ("/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/etc/libvirt")
QEMU_CONF = """
stdio_handler = "{stdio}"
user = "{user}"
group = "root"
dynamic_ownership = {owns}
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
"""
VIRTLOGD_CONF = """
max_size = 65536
max_backups = 3
"""
LIBVIRTD_CONF = """
unix_sock_group = "root"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "{uuid}"
"""
# Its /dev has no kvm: no test may open that, and libvirtd would to see what QEMU can.
START = """
set -e
dev=$1 pid=$2
mount -t tmpfs -o mode=755,size=64k tests "$dev"
for node in null zero full random urandom tty; do
    touch "$dev/$node"
    mount --bind "/dev/$node" "$dev/$node"
done
mkdir "$dev/pts" "$dev/shm" "$dev/net"
mount --bind /dev/pts "$dev/pts"
mknod -m 666 "$dev/ptmx" c 5 2
ln -s /proc/self/fd "$dev/fd"
mount -t tmpfs shm "$dev/shm"
mknod "$dev/net/tun" c 10 200
for loop in /dev/loop[0-9]*; do
    ! [ -b "$loop" ] || cp -a "$loop" "$dev"
done
mount --rbind "$dev" /dev
exec libvirtd --pid-file "$pid"
"""
HOLDING = """
import sys, time
from pathlib import Path
from geats_host.drivers.libvirt.driver import open_qemu
open_qemu({}, Path(sys.argv[1])).hold(sys.argv[2])
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def a_daemon(folder: Path, user: str = "root", *, logs: bool = False) -> Iterator[None]:
    """A libvirtd at ``qemu:///system`` of this mount namespace, for a while.

    Its QEMU runs as *user*, who gets the files of a VM while that is on, if it is not root. With
    *logs* there is a virtlogd, that has small files.
    """
    made = [place for place in map(Path, OF_LIBVIRT) if not place.is_dir()]
    for place in OF_LIBVIRT:
        Path(place).mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tests", place], check=True)
    conf = QEMU_CONF.format(user=user, owns=int(user != "root"), stdio="logd" if logs else "file")
    Path("/etc/libvirt/qemu.conf").write_text(conf)
    Path("/etc/libvirt/libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
    Path("/etc/libvirt/virtlogd.conf").write_text(VIRTLOGD_CONF)
    pid_file = ("--pid-file", "/run/libvirt/virtlogd.pid")  # others have daemons too
    logger = subprocess.Popen(["virtlogd", *pid_file], start_new_session=True) if logs else None
    try:
        start_daemon(folder)
        yield
    finally:
        end_daemon(folder)
        if logger is not None:
            logger.terminate()
            logger.wait(30)
        for place in OF_LIBVIRT:
            subprocess.run(["umount", "-l", place], check=True)
        for folder in made:
            folder.rmdir()


def start_daemon(folder: Path) -> None:
    """Start it, and wait until it listens."""
    dev, pid = folder / "dev", folder / "libvirtd.pid"
    dev.mkdir(exist_ok=True)
    argv = ["unshare", "-m", "sh", "-c", START, "libvirtd", f"{dev}", f"{pid}"]
    with (folder / "libvirtd.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    for _ in range(600):
        if Path("/run/libvirt/libvirt-sock").exists():
            return
        assert process.poll() is None, (folder / "libvirtd.log").read_text()
        time.sleep(0.05)
    raise AssertionError("libvirtd does not listen")


def pid_of(folder: Path) -> int:
    """The pid of the daemon that runs."""
    return int((folder / "libvirtd.pid").read_text())


def end_daemon(folder: Path) -> None:
    """End it, and whatever QEMU a test that failed left."""
    pid = pid_of(folder)
    for file in Path("/run/libvirt/qemu").glob("*.pid"):
        os.kill(int(file.read_text()), signal.SIGKILL)
    os.kill(pid, signal.SIGTERM)
    assert ends_within(pid, 30)


def virsh(*argv: str, text: str = "") -> str:
    """What the program of libvirt does for a person."""
    done = subprocess.run(
        ["virsh", "--quiet", *argv], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


@contextmanager
def holding(state: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process, in a session of its own, that holds a VM until it is ended."""
    argv = [sys.executable, "-c", HOLDING, f"{state}", name]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
