"""kill -9 of geats, of libvirtd and of QEMU, around each call that changes a virtual machine."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from geats_core.domains.embedding import read_domain
from geats_core.planning.goal import Target
from geats_core.vm.observation import Power
from geats_host.drivers.libvirt.daemon import Daemon
from geats_host.errors import HostError
from geats_host.linux.processes import ends_within
from tests.real.machines.libvirt_daemon import a_daemon, pid_of, start_daemon, virsh
from tests.real.machines.machine_ground import NAME, Ground

MOMENTS = {  # calls of a whole life, and whether it is before or after them
    "geats": (("define", "after"), ("start", "before"), ("start", "after"), ("undefine", "after")),
    "libvirtd": (("start", "before"), ("undefine", "before")),
    "QEMU": (("start", "after"), ("shutdown", "before")),
}
SOCKET = Path("/run/libvirt/libvirt-sock")
Kill = Callable[[], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("libvirt")
    with a_daemon(made):
        yield made


def kill_geats() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_qemu() -> None:
    for file in Path("/run/libvirt/qemu").glob("geats-*.pid"):  # there is one of the daemon too
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def attempt(ground: Ground, target: Target, call: str, when: str, kill: Kill) -> None:
    """Another process tries to come to *target*, and kills at that call, the first time."""
    pid = os.fork()
    if pid == 0:
        asked, left = Daemon.ask, [1]

        def ask(self: Daemon, do: str, name: str | None, **more: object) -> dict[str, object]:
            is_now = do == call and bool(left)
            left[:] = () if is_now else left
            if is_now and when == "before":
                kill()
            answer = asked(self, do, name, **more)  # type: ignore[arg-type]
            if is_now and when == "after":
                kill()
            return answer

        Daemon.ask = ask  # type: ignore[method-assign]
        try:
            ground.to(target)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("victim", MOMENTS)
def test_whatever_is_killed_the_same_call_again_comes_to_its_end(
    folder: Path, tmp_path: Path, victim: str
) -> None:
    ground, daemon = Ground(tmp_path, "sparsefile"), pid_of(folder)
    kills = {
        "geats": kill_geats,
        "libvirtd": lambda: os.kill(daemon, signal.SIGKILL),
        "QEMU": kill_qemu,
    }
    for call, when in MOMENTS[victim]:
        target = Target.RUNNING if call in ("define", "start") else Target.DEPROVISIONED
        if target is Target.DEPROVISIONED:
            ground.to(Target.RUNNING)
        attempt(ground, target, call, when, kills[victim])
        if victim == "libvirtd":
            assert ends_within(daemon, 10)
            SOCKET.unlink()
            start_daemon(folder)
            daemon = pid_of(folder)
        ground.to(target)
        seen = ground.host.observe(NAME)
        assert (seen.power is Power.RUNNING) is (target is Target.RUNNING)
        ground.to(Target.DEPROVISIONED)
        assert virsh("list", "--all", "--name").strip() == ""
        assert not list(tmp_path.glob(f"state/libvirt/qemu/{NAME}*"))
        assert not list(tmp_path.glob(f"pool/{NAME}*"))


def test_devices_of_which_some_were_attached_are_all_there_in_the_end(
    folder: Path, tmp_path: Path
) -> None:
    """Whoever attaches them is killed after the first; the guest stays the same one."""
    ground = Ground(tmp_path, "sparsefile")
    ground.to(Target.RUNNING)
    (began,) = Path("/run/libvirt/qemu").glob(f"{NAME}*.pid")
    pid = began.read_text()
    volumes = [{"name": name, "size": "1MiB"} for name in ("one", "two")]
    ground.change(NAME, volumes=[{"name": "root", "size": "2MiB"}, *volumes])
    if os.fork() == 0:
        asked = Daemon.ask

        def ask(self: Daemon, do: str, name: str | None, **more: Any) -> dict[str, object]:
            if do == "set-devices":
                first, second = more["steps"]
                more["steps"] = [first, {**second, "xml": "<no/>"}]  # it fails there
            try:
                return asked(self, do, name, **more)
            except HostError:
                os.kill(os.getpid(), signal.SIGKILL)
                raise

        Daemon.ask = ask  # type: ignore[method-assign]
        try:
            ground.to(Target.RUNNING)
        finally:
            os._exit(0)
    _, status = os.wait()
    assert os.WTERMSIG(status) == signal.SIGKILL

    def disks() -> set[str]:
        return {*read_domain(virsh("dumpxml", NAME)).places} - {"cidata"}

    assert disks() == {"root", "one"}
    seen = ground.host.observe(NAME)
    assert seen.in_effect is not None
    assert len(seen.in_effect.volumes) == 1
    ground.to(Target.RUNNING)
    seen = ground.host.observe(NAME)
    assert seen.in_effect == seen.recorded == ground.host.declared(NAME)
    assert (disks(), began.read_text()) == ({"root", "one", "two"}, pid)
    ground.to(Target.DEPROVISIONED)
