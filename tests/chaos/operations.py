"""The operations that are killed: what is there before, the command, and what holds after it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from tests.chaos.ground import COPY, MOVE, NAME, RETENTION, WITH_SNAPSHOTS, Ground
from tests.chaos.moves import AWAY, HERE
from tests.real.conftest import sh

HOLD_S = 0.02  # about as long as a VM is frozen for a snapshot
FIRST, SECOND = "first", "second"  # what the guest wrote, before and after a snapshot
WRITE_ROOT = "echo {0} > /tmp/marker; sync"
WRITE = f"echo {{0}} > /data/marker; {WRITE_ROOT}"


def nothing(_: Ground) -> None:
    """Nothing is to be done."""


def never(_: Ground) -> bool:
    """It is never refused because it is done."""
    return False


@dataclass(frozen=True)
class Operation:
    """One command, asked of a VM that runs unless *before* changes that.

    Afterwards the VM has the power *then* (None is not there), and ``/data/marker`` and
    ``/tmp/marker`` hold what *data* and *root* say (None is nothing). Where it *is_done* already,
    it may be refused. One that has *when_held* is killed while it holds the VM frozen, at most so
    many seconds after that began.
    """

    name: str
    argv: Callable[[Ground], Sequence[str]]
    before: Callable[[Ground], None] = nothing
    after: Callable[[Ground], None] = nothing
    then: Power | None = Power.RUNNING
    data: str | None = FIRST
    root: str | None = FIRST
    pools: Sequence[str] = ()
    is_done: Callable[[Ground], bool] = never
    when_held: float = 0.0

    @property
    def is_outage(self) -> bool:
        """Whether a VM that is frozen right after a kill is so without anybody's wish."""
        return self.then is not Power.FROZEN and self.name != "unfreeze"


def told(*argv: str) -> Callable[[Ground], Sequence[str]]:
    return lambda _: argv


def done(*commands: Sequence[str]) -> Callable[[Ground], None]:
    """Run each command, which must succeed."""

    def run(ground: Ground) -> None:
        for argv in commands:
            ended = ground.geats(*argv)
            assert ended.code == 0, (argv, ended)

    return run


def archive(ground: Ground, name: str) -> str:
    return f"{ground.at}/exports/{name}-{ground.wish.pool}.tar"


def _grown(ground: Ground) -> None:
    ground.wish.grown_mib += 4


def _limited(ground: Ground) -> None:
    ground.wish.memory_mib = 160 - ground.wish.memory_mib


def _renamed(ground: Ground) -> None:
    ground.wish.hostname = "other" if ground.wish.hostname == NAME else NAME


def _exported(ground: Ground) -> None:
    (ground.at / "exports").mkdir(exist_ok=True)
    if not Path(archive(ground, "known")).exists():
        done(("export", NAME, archive(ground, "known")))(ground)


def _removed(ground: Ground) -> None:
    Path(archive(ground, "new")).unlink()


def _rewritten(ground: Ground) -> None:
    done(("snapshot", NAME, "known"))(ground)
    ground.inside(WRITE.format(SECOND))


def _with_exports(ground: Ground) -> None:
    (ground.at / "exports").mkdir(exist_ok=True)


def _monitor_killed(ground: Ground) -> None:
    """As for want of memory, while the guest is frozen: it stays, and nobody answers for it."""
    done(("freeze", NAME))(ground)
    ground.kill_monitors()


def _rebooted(ground: Ground) -> None:
    """Nothing runs and nothing is mounted any more, and the run directory is empty."""
    ground.kill_monitors()
    ground.lose_mounts()


def _monitor_killed_running(ground: Ground) -> None:
    """As for want of memory: the guest ends with it, and nobody takes its cgroups away."""
    ground.kill_monitors()


def _exported_and_gone(ground: Ground) -> None:
    """As on the host that a VM comes to."""
    (ground.at / "exports").mkdir(exist_ok=True)
    Path(archive(ground, "moved")).unlink(missing_ok=True)
    done(("export", NAME, archive(ground, "moved")), ("deprovision", NAME))(ground)


def _made_by_lxc(ground: Ground) -> None:
    """A container that runs, and of which geats knows nothing: with the config that it had."""
    folder = ground.at / "state/lxc" / NAME
    lines = (folder / "config").read_text().splitlines()
    ours = ("#", "lxc.rootfs.path", "lxc.mount.entry", "lxc.log")
    config = [line for line in lines if not line.startswith(ours)]
    done(("deprovision", NAME))(ground)
    folder.mkdir(mode=0o711)
    sh("cp", "-a", f"{ground.at}/root", f"{folder}/rootfs")
    path = f"lxc.rootfs.path = dir:{folder}/rootfs"
    (folder / "config").write_text("\n".join([*config, path, ""]))
    sh("lxc-start", "-P", f"{folder.parent}", "-n", NAME)
    ground.inside(WRITE_ROOT.format(FIRST))


def _came(ground: Ground) -> bool:
    have = ground.observe()
    return have.recorded is not None and not have.copy_of


def _none_away(ground: Ground) -> None:
    """One host has the VM; the other has at most volumes, of which the move told."""
    left = ground.away.observe(NAME)
    assert (left.recorded, left.defined) == (None, None)
    if left.exists:
        apply_plan(ground.away, lifecycle.plan_verb(ground.away, "deprovision", NAME)).unwrap()


def _kept_and_gone(ground: Ground) -> None:
    """What the container held is there, and it goes: the VM is made anew from here on."""
    assert ground.inside("cat /tmp/marker") == FIRST
    done(("deprovision", NAME))(ground)


def _is_adopted(ground: Ground) -> bool:
    return ground.observe().recorded is not None


def _provisioned(ground: Ground) -> bool:
    return ground.geats("plan", "--exit-code", "--to", "stopped", NAME).code == 0


def _two_snapshots(ground: Ground) -> None:
    done(("snapshot", NAME, "before"), ("snapshot", NAME, "known"))(ground)


def _two_exports(ground: Ground) -> None:
    folder = ground.at / "state/exports"
    folder.mkdir(mode=0o700, exist_ok=True)
    _exported(ground)
    for second in range(4):
        copy = folder / f"{NAME}-2026-11-01-00000{second}.geats.tar"
        shutil.copy(archive(ground, "known"), copy)


def _file(ground: Ground) -> Path:
    """A file of the host, that goes into the guest or comes out of it."""
    return ground.at / "exports/file"


def _with_file(ground: Ground) -> None:
    _with_exports(ground)
    _file(ground).write_bytes(b"x" * 2_000_000)


def _without_file(ground: Ground) -> None:
    _with_exports(ground)
    _file(ground).unlink(missing_ok=True)


def _registry_lost(ground: Ground) -> None:
    for part in (ground.at / "state").glob("registry.sqlite*"):
        part.unlink()


def _has_copy(ground: Ground) -> bool:
    """A whole one: nothing is left to do for it to be off."""
    return ground.geats("plan", "--exit-code", "--to", "stopped", COPY).code == 0


def _has_snapshot(ground: Ground) -> bool:
    """Of all volumes."""
    return all(volume.snapshot("known") for volume in ground.observe().volumes)


def _has_no_snapshot(ground: Ground) -> bool:
    return not any(volume.snapshots for volume in ground.observe().volumes)


ORDINARY = (
    Operation("start", told("start", NAME), done(("stop", NAME))),
    Operation("stop", told("stop", NAME), then=Power.STOPPED),
    Operation("shutdown", told("shutdown", NAME), then=Power.STOPPED),
    Operation("reboot", told("reboot", NAME)),
    Operation("freeze", told("freeze", NAME), then=Power.FROZEN),
    Operation("unfreeze", told("unfreeze", NAME), done(("freeze", NAME))),
    Operation("lock", told("lock", NAME), after=done(("unlock", NAME))),
    Operation("halt", told("halt"), then=Power.STOPPED),
    Operation("boot", told("boot"), done(("stop", NAME))),
    Operation("boot anew", told("boot"), _rebooted),
    Operation("repair", told("apply", NAME), _monitor_killed),
    Operation("define", told("define", NAME), _limited),
    Operation("limits", told("apply", NAME), _limited),
    Operation("hostname", told("apply", NAME), _renamed),
    Operation("grow", told("apply", NAME), _grown),
    Operation("make", told("apply", NAME), done(("deprovision", NAME)), data=None, root=None),
    Operation(
        "provision",
        told("provision", NAME),
        done(("deprovision", NAME)),
        then=Power.STOPPED,
        data=None,
        root=None,
    ),
    Operation(
        "move in",
        lambda ground: ("import", archive(ground, "moved")),
        _exported_and_gone,
        then=Power.STOPPED,
        is_done=_provisioned,
    ),
    Operation(
        "migrate",
        told(MOVE, NAME, HERE),
        done((MOVE, NAME, AWAY)),
        _none_away,
        pools=("plain",),
        is_done=_came,
    ),
    Operation(
        "adopt",
        told("adopt", NAME),
        _made_by_lxc,
        _kept_and_gone,
        data=None,
        root=None,
        pools=("plain",),
        is_done=_is_adopted,
    ),
    Operation("monitor killed", told("apply", NAME), _monitor_killed_running),
    Operation("prune-exports", told("prune-exports", "--last", "1"), _two_exports),
    Operation("repair of the host", told("repair"), _monitor_killed),
    Operation("registry rebuild", told("registry", "rebuild"), _registry_lost),
    Operation("templates import", told("templates", "import", "busybox")),
    Operation("templates prune", told("templates", "prune")),
    Operation("exec", told("exec", NAME, "--", "/bin/sh", "-c", "cat /bin/busybox > /dev/null")),
    Operation("push", lambda ground: ("push", NAME, f"{_file(ground)}", "/tmp/file"), _with_file),
    Operation(
        "pull",
        lambda ground: ("pull", NAME, "/bin/busybox", f"{_file(ground)}", "--max-size", "8MiB"),
        _without_file,
        is_done=lambda ground: _file(ground).exists(),
    ),
    Operation("reinit", told("reinit", NAME), root=None),
    Operation(
        "reinit, frozen",
        told("reinit", NAME),
        done(("freeze", NAME)),
        then=Power.FROZEN,
        root=None,
    ),
    Operation("undefine", told("undefine", NAME), then=None),
    Operation("deprovision", told("deprovision", NAME), then=None, data=None, root=None),
    Operation(
        "export",
        lambda ground: ("export", NAME, archive(ground, "new")),
        _with_exports,
        _removed,
        is_done=lambda ground: Path(archive(ground, "new")).exists(),
    ),
    Operation(
        "import",
        lambda ground: ("import", archive(ground, "known"), "--name", COPY, "--set", "nics=[]"),
        _exported,
        done(("deprovision", COPY)),
        is_done=_has_copy,
    ),
    Operation(
        "clone",
        told("clone", NAME, COPY, "--set", "nics=[]"),
        after=done(("deprovision", COPY)),
        is_done=_has_copy,
    ),
    Operation(
        "snapshot",
        told("snapshot", NAME, "known"),
        after=done(("delete-snapshot", NAME, "known")),
        pools=WITH_SNAPSHOTS,
        is_done=_has_snapshot,
    ),
    Operation(
        "delete-snapshot",
        told("delete-snapshot", NAME, "known"),
        done(("snapshot", NAME, "known")),
        pools=WITH_SNAPSHOTS,
        is_done=_has_no_snapshot,
    ),
    Operation(
        "retention",
        told(RETENTION, NAME),
        _two_snapshots,
        done(("delete-snapshot", NAME, "known")),
        pools=WITH_SNAPSHOTS,
    ),
    Operation(
        "restore",
        told("restore", NAME, "known", "--allow-data-loss"),
        _rewritten,
        done(("delete-snapshot", NAME, "known")),
        pools=WITH_SNAPSHOTS,
    ),
)

HELD = tuple(
    replace(each, name=f"{each.name}, held", when_held=HOLD_S)
    for each in ORDINARY
    if each.name in ("export", "clone", "snapshot")
)

OPERATIONS = (*ORDINARY, *HELD)
