"""How long copies of a VM with much content take, beside the tools that do the same by hand.

usage (root): .venv/bin/python benchmarks/copies.py [RUNS [MIB]]    (default: 3 runs, of 1024 MiB)

Prints a table in Markdown, with medians in ms, and the ratios of geats to the commands by hand, in
turn and in the same run: a snapshot, going back to one, a clone, an archive and its import, on
btrfs. Half of the content cannot be packed. All lies in an image below the temporary directory, and
runs in namespaces of its own: nothing is left.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeAlias

from storage import INSIDE, NAMESPACES, check, filesystem, ms, ratio, run, settle, timed

from geats_core.plans.plan_files import SavedPlan
from geats_host.calls import copies, snapshots
from geats_host.calls.lifecycle import plan_verb
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host

FILE_BYTES = 4 << 20
OF, COPY = "geats-bench-of", "geats-bench-copy"
TAR = ("--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--sparse")
PACK = "--use-compress-program=zstd --threads=0 --check --quiet"
Work: TypeAlias = Callable[[], None]


def main() -> None:
    """Measure each kind of copy, and show the table."""
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    mib = int(sys.argv[3]) if len(sys.argv) > 3 else 1024
    print(f"{mib} MiB, in ms; medians of {runs} runs\n")
    print("| what | by hand | geats | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="geats-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        with filesystem(directory, "btrfs") as place:
            host = host_on(place)
            apply(host, plan_verb(host, "provision", OF))
            by_hand, geats = ByHand(place), Geats(host, place)
            fill(by_hand.of, mib)
            apply(host, snapshots.snapshot(host, OF, "kept"))
            for what in ("snapshot", "restore", "clone", "export", "import_"):
                pairs = [
                    [timed_alone(place, who, what) for who in (by_hand, geats)] for _ in range(runs)
                ]
                show(what, pairs)


@dataclass(frozen=True, slots=True)
class ByHand:
    """What a person would type; ``undo_`` takes it away again, and is not counted."""

    place: Path

    @property
    def of(self) -> Path:
        """What is copied."""
        return self.place / "volumes" / OF / "root/rootfs"

    @property
    def copy(self) -> Path:
        """What comes of it."""
        return self.place / "hand"

    @property
    def archive(self) -> Path:
        """Or that."""
        return self.place / "hand.tar.zst"

    def snapshot(self) -> None:
        run("btrfs", "-q", "subvolume", "snapshot", "-r", f"{self.of}", f"{self.copy}")

    def undo_snapshot(self) -> None:
        run("btrfs", "-q", "subvolume", "delete", f"{self.copy}")

    def restore(self) -> None:
        """As of a tree that nobody needs any more."""
        run("btrfs", "-q", "subvolume", "snapshot", f"{self.of}", f"{self.copy}.new")
        if self.copy.exists():
            run("btrfs", "-q", "subvolume", "delete", f"{self.copy}")
        Path(f"{self.copy}.new").rename(self.copy)

    undo_restore = undo_snapshot

    def clone(self) -> None:
        run("btrfs", "-q", "subvolume", "snapshot", f"{self.of}", f"{self.copy}")

    undo_clone = undo_snapshot

    def export(self) -> None:
        run("tar", "--create", PACK, *TAR, f"-C{self.of}", f"--file={self.archive}", ".")
        run("sync", f"{self.archive}")

    def undo_export(self) -> None:
        """The import needs it."""

    def import_(self) -> None:
        run("btrfs", "-q", "subvolume", "create", f"{self.copy}")
        run("tar", "--extract", "--zstd", *TAR[:-1], f"-C{self.copy}", f"--file={self.archive}")
        run("sync", "-f", f"{self.copy}")

    undo_import_ = undo_snapshot


@dataclass(frozen=True, slots=True)
class Geats:
    """The same, each with its plan, its journal and all that makes it safe to interrupt."""

    host: Host
    place: Path

    @property
    def archive(self) -> Path:
        return self.place / "of.geats"

    def snapshot(self) -> None:
        apply(self.host, snapshots.snapshot(self.host, OF, "new"))

    def undo_snapshot(self) -> None:
        apply(self.host, snapshots.delete(self.host, OF, "new"))

    def restore(self) -> None:
        apply(self.host, snapshots.restore(self.host, OF, "kept", allow_data_loss=True))

    def undo_restore(self) -> None:
        """It is as before."""

    def clone(self) -> None:
        apply(self.host, copies.clone(self.host, OF, COPY))

    def undo_clone(self) -> None:
        apply(self.host, plan_verb(self.host, "deprovision", COPY))

    def export(self) -> None:
        self.archive.unlink(missing_ok=True)
        check(copies.apply_export(self.host, copies.export(self.host, OF, f"{self.archive}")))

    def undo_export(self) -> None:
        """The import needs it."""

    def import_(self) -> None:
        check(copies.apply_copy(self.host, copies.import_(self.host, f"{self.archive}", COPY)))

    undo_import_ = undo_clone


def host_on(place: Path) -> Host:
    """A host of its own; its VM has content, and no processes."""
    (place / "template").mkdir()
    return Host.from_config(
        {
            "state_dir": f"{place}/state",
            "run_dir": f"{place}/run",
            "drivers": {"memory": {}},
            "pools": {"default": {"type": "btrfs", "path": f"{place}/volumes"}},
            "templates": {"empty": {"path": f"{place}/template"}},
            "vms": {OF: {"driver": "memory", "template": "empty"}},
        }
    )


def fill(root: Path, mib: int) -> None:
    """Files, half of them of random bytes."""
    for number in range((mib << 20) // FILE_BYTES):
        text = b"%15d\n" % number * (FILE_BYTES // 16)
        (root / f"file{number}").write_bytes(os.urandom(FILE_BYTES) if number % 2 else text)


def apply(host: Host, planned: SavedPlan) -> None:
    """A step that failed ends the benchmark."""
    check(apply_plan(host, planned))


def timed_alone(place: Path, who: ByHand | Geats, what: str) -> float:
    """Seconds; nothing that was written before is written meanwhile."""
    settle(place)
    took = timed(getattr(who, what))
    getattr(who, f"undo_{what}")()
    return took


def show(what: str, pairs: list[list[float]]) -> None:
    by_hand, geats = (list(each) for each in zip(*pairs, strict=True))
    times = f"{ms(median(by_hand))} | {ms(median(geats))} | × {ratio(geats, by_hand)}"
    print(f"| {what.strip('_')} | {times} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] != [INSIDE]:
        argv = ["unshare", *NAMESPACES, sys.executable, __file__, INSIDE, *sys.argv[1:]]
        os.execvp(argv[0], argv)
    main()
