"""The operations in which calls fail: what is there before, the command, what takes it back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.failing_calls.ground import COPY, OTHER, VM, WITH_SNAPSHOTS, Ground


def nothing(_: Ground) -> None:
    """Nothing is to be done."""


@dataclass(frozen=True)
class Operation:
    """One command, asked of a VM that runs; *after* takes back what *before* and it did."""

    name: str
    argv: Callable[[Ground], Sequence[str]]
    before: Callable[[Ground], None] = nothing
    after: Callable[[Ground], None] = nothing
    pools: Sequence[str] = ()


def told(*argv: str) -> Callable[[Ground], Sequence[str]]:
    return lambda _: argv


def done(*commands: Sequence[str]) -> Callable[[Ground], None]:
    """Run each command, which must succeed."""

    def run(ground: Ground) -> None:
        for argv in commands:
            ended = ground.geats(*argv)
            assert ended.code == 0, (argv, ended)

    return run


def _grown(ground: Ground) -> None:
    ground.size_mib += 4


def _limited(ground: Ground) -> None:
    ground.memory_mib = 160 - ground.memory_mib


def _renamed(ground: Ground) -> None:
    ground.hostname = "second" if ground.hostname == "first" else "first"


def _exported(ground: Ground) -> None:
    if not (ground.at / "exports/known.tar").exists():
        done(("export", VM, f"{ground.at}/exports/known.tar"))(ground)


def _without(name: str) -> Callable[[Ground], None]:
    return lambda ground: (ground.at / name).unlink()


def _marked(ground: Ground) -> None:
    for volume in ("root", "data"):
        (ground.volume(VM, volume) / "marker").write_text(f"{VM} {volume}")


def _made_again(ground: Ground) -> None:
    done(("apply", VM))(ground)
    _marked(ground)


def _overwritten(ground: Ground) -> None:
    done(("snapshot", VM, "known"))(ground)
    for volume in ("root", "data"):
        (ground.volume(VM, volume) / "marker").write_text("later")


def _both(*steps: Callable[[Ground], None]) -> Callable[[Ground], None]:
    def run(ground: Ground) -> None:
        for step in steps:
            step(ground)

    return run


def _backup(ground: Ground) -> Sequence[str]:
    return "registry", "backup", f"{ground.at}/exports/backup"


OPERATIONS = (
    Operation("stop", told("stop", VM), after=done(("start", VM))),
    Operation("start", told("start", VM), done(("stop", VM))),
    Operation("reboot", told("reboot", VM)),
    Operation("freeze", told("freeze", VM), after=done(("unfreeze", VM))),
    Operation("lock", told("lock", VM), after=done(("unlock", VM))),
    Operation("unlock", told("unlock", VM), done(("lock", VM))),
    Operation("define", told("define", VM), _limited, _both(_limited, done(("apply", VM)))),
    Operation("limits", told("apply", VM), _limited, _both(_limited, done(("apply", VM)))),
    Operation("hostname", told("apply", VM), _renamed, _both(_renamed, done(("apply", VM)))),
    Operation("grow", told("apply", VM), _grown),
    Operation("make", told("apply", VM), done(("deprovision", VM)), _marked),
    Operation("provision", told("provision", VM), done(("deprovision", VM)), _made_again),
    Operation("reinit", told("reinit", VM), after=_marked),
    Operation("undefine", told("undefine", VM), after=_made_again),
    Operation("deprovision", told("deprovision", VM), after=_made_again),
    Operation("halt", told("halt"), after=done(("start", VM), ("start", OTHER))),
    Operation(
        "export",
        lambda ground: ("export", VM, f"{ground.at}/exports/new.tar"),
        after=_without("exports/new.tar"),
    ),
    Operation(
        "import",
        lambda ground: ("import", f"{ground.at}/exports/known.tar", "--name", COPY),
        _exported,
        _both(done(("deprovision", COPY)), _without("exports/known.tar")),
    ),
    Operation("clone", told("clone", VM, COPY), after=done(("deprovision", COPY))),
    Operation(
        "snapshot",
        told("snapshot", VM, "known"),
        after=done(("delete-snapshot", VM, "known")),
        pools=WITH_SNAPSHOTS,
    ),
    Operation(
        "delete-snapshot",
        told("delete-snapshot", VM, "known"),
        done(("snapshot", VM, "known")),
        pools=WITH_SNAPSHOTS,
    ),
    Operation(
        "restore",
        told("restore", VM, "known", "--allow-data-loss"),
        _overwritten,
        done(("delete-snapshot", VM, "known")),
        pools=WITH_SNAPSHOTS,
    ),
    Operation("backup", _backup, after=_without("exports/backup")),
    Operation("templates import", told("templates", "import", "small")),
    Operation("templates prune", told("templates", "prune")),
    Operation("prune-exports", told("prune-exports")),
)
