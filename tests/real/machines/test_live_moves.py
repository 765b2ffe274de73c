"""Virtual machines that move between two hosts as they run."""

import json
import os
import signal
import time
from base64 import b64decode
from collections.abc import Iterator

import pytest

from geats_host.testing.tiny_guest import root_disk
from tests.real.machines import agent_guest, full_guest
from tests.real.machines.two_hosts import NAME, OneHost, TwoHosts, two_hosts


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    with two_hosts(tmp_path_factory.mktemp("hosts")) as made:
        yield made


@pytest.fixture
def hosts(both: TwoHosts) -> Iterator[TwoHosts]:
    """Both are empty again for the next test, even if this one fails."""
    yield both
    for each in (both.a, both.b):
        if each.left():
            each.clear()


def vm(**keys: object) -> dict[str, object]:
    volumes = [{"name": "root", "size": "8MiB"}, {"name": "data", "size": "4MiB"}]
    return {"driver": "qemu", "template": "image", "memory": "64MiB", "volumes": volumes, **keys}


def test_a_guest_goes_on_elsewhere_with_its_memory_and_its_disks(hosts: TwoHosts) -> None:
    a, b = hosts.a, hosts.b
    for each in (a, b):
        agent_guest.disk(each.folder / "image")
    a.vms = {NAME: vm(memory="128MiB", console_log="64KiB", hardware=agent_guest.hardware())}
    a.geats("apply", NAME)
    a.geats("wait", NAME, "--timeout", "300", "--", "true")
    words = "echo said >/dev/ttyS0; echo word >/tmp/word; echo note >/mnt/note; cat /proc/uptime"
    before = float(a.geats("exec", NAME, "--", "sh", "-c", words).split()[0])
    described, a.vms = a.vms, {}
    assert b"said" in a.console(NAME)
    shown = hosts.fetch("--live", "--dry-run")
    assert f"take {NAME} over from ssh://root@a/{NAME} as it runs" in shown.stdout
    assert (a.power(), b.left()) == ("running", [])

    moved = hosts.fetch("--live")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert (a.left(), b.power()) == ([], "running")
    words = "echo anew >/dev/ttyS0; cat /proc/uptime /tmp/word /mnt/note; sync"
    uptime, *_, word, note = b.geats("exec", NAME, "--", "sh", "-c", words).split()
    assert (float(uptime) > before, word, note) == (True, "word", "note")
    b.vms = described
    assert "nothing to do" in b.geats("plan", NAME)
    assert hosts.fetch("--live").returncode == 0  # there is nothing to do
    assert b"anew" in b.console(NAME)
    b.geats("stop", NAME)
    b.vms, new = {}, f"{NAME}-new"
    b.geats("rename", NAME, new)
    assert b"anew" in b.console(new)
    b.geats("start", new)  # it is kept on
    b.geats("stop", new)
    assert b"anew" in b.console(new)
    b.geats("deprovision", new)
    assert b.left() == []


ON_BOTH = {"name": "root", "size": "8MiB", "pool": "shared"}
MIXED = [ON_BOTH, {"name": "data", "size": "4MiB"}]


def owners(hosts: TwoHosts) -> list[str]:
    """Who has what in the pool of both."""
    folder = hosts.a.folder.parent / "shared/_owners"
    return [json.loads(each.read_text())["host"] for each in folder.glob("*.owner")]


def test_a_guest_goes_on_elsewhere_on_a_disk_that_both_hosts_see(hosts: TwoHosts) -> None:
    """The root is not copied, and the data are."""
    a, b = hosts.a, hosts.b
    for each in (a, b):
        agent_guest.disk(each.folder / "image")
        each.vms = {}
    hardware = agent_guest.hardware()
    a.vms = {NAME: vm(memory="128MiB", hardware=hardware, volumes=MIXED)}
    a.geats("apply", NAME)
    a.vms = {}
    refused = hosts.fetch("--live")
    assert (
        "hardware.disks.root.cache: what was written to it may be in the memory" in refused.stderr
    )
    disks = {"root": {"cache": "none"}}
    a.vms = {NAME: vm(memory="128MiB", hardware={**hardware, "disks": disks}, volumes=MIXED)}
    a.geats("stop", NAME)
    a.geats("apply", NAME)
    described, a.vms = a.vms, {}
    a.geats("wait", NAME, "--timeout", "300", "--", "true")
    words = "echo word > /tmp/word; echo note > /mnt/note; sync; cat /proc/uptime"
    before = float(a.geats("exec", NAME, "--", "sh", "-c", words).split()[0])
    (disk,) = (a.folder.parent / "shared").glob(f"{NAME}/root/disk.raw")
    inode = disk.stat().st_ino

    moved = hosts.fetch("--live")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert (a.left(), b.power(), owners(hosts)) == ([], "running", ["b"])
    assert disk.stat().st_ino == inode
    words = "cat /proc/uptime /tmp/word /mnt/note; echo more > /mnt/note; sync"
    uptime, *_, word, note = b.geats("exec", NAME, "--", "sh", "-c", words).split()
    assert (float(uptime) > before, word, note) == (True, "word", "note")
    b.vms = described
    assert "nothing to do" in b.geats("plan", NAME)
    b.vms = {}
    b.geats("stop", NAME)
    b.geats("deprovision", NAME)
    assert (b.left(), owners(hosts), disk.exists()) == ([], [], False)


def memory(host: OneHost) -> tuple[bytes, bytes]:
    """What the firmware and the TPM of the VM remember."""
    files = (f"qemu/nvram/{NAME}_VARS.fd", "swtpm/*/*/*.permall")
    said = (host.run("sh", "-c", f"cd /var/lib/libvirt && base64 {each}") for each in files)
    variables, tpm = (b64decode(each.stdout) for each in said)
    return variables, tpm


def secrets(tpm: bytes) -> set[bytes]:
    """What two TPMs have hardly in common: whatever looks like keys."""
    parts = (tpm[at : at + 24] for at in range(len(tpm)))
    return {part for part in parts if len(set(part)) > 12}


def test_what_firmware_and_tpm_remember_moves_with_the_guest(hosts: TwoHosts) -> None:
    a, b = hosts.a, hosts.b
    make(hosts, hardware={"firmware": "uefi", "tpm": True}, shutdown_timeout=1)
    a.geats("stop", NAME)
    dd = f"dd of=/var/lib/libvirt/qemu/nvram/{NAME}_VARS.fd bs=1 seek=500000 conv=notrunc"
    a.run("sh", "-c", f"echo entries | {dd}")
    a.geats("start", NAME)
    _, tpm = memory(a)
    moved = hosts.fetch("--live")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert (a.left(), b.power(), memory(a)) == ([], "running", (b"", b""))
    b.geats("stop", NAME)
    variables, moved_tpm = memory(b)
    assert variables.endswith(b"entries\n", 0, 500008)
    assert len(secrets(tpm) & secrets(moved_tpm)) > len(secrets(tpm)) / 2
    b.geats("start", NAME)
    b.geats("stop", NAME)
    b.geats("deprovision", NAME)
    assert (b.left(), memory(b)) == ([], (b"", b""))


def make(hosts: TwoHosts, **keys: object) -> None:
    """A small VM runs on ``a``, and nobody declares it."""
    for each in (hosts.a, hosts.b):
        root_disk(each.folder / "image")
        each.vms = {}
    hosts.a.vms = {NAME: vm(**keys)}
    hosts.a.geats("apply", NAME)
    hosts.a.vms = {}


def test_what_was_sent_is_known_for_that_though_libvirt_was_restarted(hosts: TwoHosts) -> None:
    make(hosts)
    moved = hosts.fetch("--live", there=("libvirtd", "was-sent", "before"))
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert (hosts.a.left(), hosts.b.power()) == ([], "running")
    hosts.b.geats("stop", NAME)
    hosts.b.geats("deprovision", NAME)


MOMENTS = [  # in which pool the root is; how much was copied when which host lost what
    ("default", "disk", "there", "libvirtd"),
    ("shared", "memory", "there", "libvirtd"),
    ("default", "memory", "there", "geats"),
    ("shared", "memory", "there", "QEMU"),
    ("default", "disk", "here", "libvirtd"),
    ("shared", "memory", "here", "libvirtd"),
    ("shared", "memory", "here", "geats"),
    ("default", "memory", "here", "QEMU"),
]


@pytest.mark.parametrize(("pool", "copied", "where", "victim"), MOMENTS)
def test_whatever_is_killed_one_host_has_it_and_the_same_command_goes_on(
    hosts: TwoHosts, pool: str, copied: str, where: str, victim: str
) -> None:
    """What is copied takes a minute, so that it is cut in its midst, however slow all else is."""
    a, b = hosts.a, hosts.b
    a.options = {"bandwidth": "1MiB"}
    make_full(hosts, pool, disk_bytes=(48 << 20) if copied == "disk" else (1 << 20))
    with hosts.fetching("--live") as fetching:
        while not a.sent_bytes(copied):
            assert fetching.poll() is None
        if victim != "geats":
            (b if where == "here" else a).kill(victim)
        else:
            os.kill(fetching.pid if where == "here" else hosts.sending(), signal.SIGKILL)
    assert fetching.returncode != 0
    goes_on(hosts, pool)


def test_a_guest_whose_qemu_is_killed_as_it_arrived_boots_there(hosts: TwoHosts) -> None:
    make_full(hosts, "shared", disk_bytes=1 << 20)
    killed = hosts.fetch("--live", here=("QEMU", "settle", "after"))
    assert killed.returncode != 0
    assert hosts.a.power() == ""
    goes_on(hosts, "shared")


def make_full(hosts: TwoHosts, pool: str, disk_bytes: int) -> None:
    """A VM runs on ``a`` of which there is much to send; nobody declares it."""
    a = hosts.a
    for each in (a, hosts.b):
        full_guest.disk(each.folder / "image", disk_bytes)
    root = {"name": "root", "size": f"{disk_bytes}B", "pool": pool}
    a.vms = {NAME: vm(volumes=[root], hardware={"disks": {"root": {"cache": "none"}}})}
    a.geats("apply", NAME)
    a.vms = {}
    last = full_guest.FIRST + full_guest.FULL_BYTES - 4
    ask = ("virsh", "qemu-monitor-command", NAME, "--hmp", f"xp/1wx {last:#x}")
    while f"{full_guest.WORD:#x}" not in a.run(*ask).stdout:
        time.sleep(0.1)


def goes_on(hosts: TwoHosts, pool: str) -> None:
    """One host has it, and the same command moves it, with all that it holds."""
    a, b = hosts.a, hosts.b
    a.options = {}
    assert [a.power(), b.power()].count("running") <= 1
    again = hosts.fetch("--live")
    assert again.returncode == 0, again.stderr  # if the memory was lost, the guest boots
    assert (a.left(), b.power()) == ([], "running")
    assert owners(hosts) == (["b"] if pool == "shared" else [])
    b.geats("stop", NAME)
    at = b.folder / "pool" if pool == "default" else b.folder.parent / "shared"
    (disk,) = at.glob(f"{NAME}*/root/disk.raw")
    assert disk.read_bytes() == (b.folder / "image").read_bytes()
    b.geats("deprovision", NAME)
    assert (b.left(), owners(hosts)) == ([], [])
