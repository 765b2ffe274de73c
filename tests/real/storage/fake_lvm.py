"""LVM in memory, as far as the pool asks for it: what it really does is tested in tests/vm."""

import argparse
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.run import run
from geats_host.storage.lvm_commands import LogicalVolume

EXTENT = 4 * 2**20
CHUNK = 65536


class Cut(BaseException):
    """The process ends here: nothing catches it."""


def parser() -> argparse.ArgumentParser:
    """The options that the pool gives."""
    options = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    for flag in ("--yes", "--snapshot", "--ignoreactivationskip", "--nosuffix"):
        options.add_argument(flag, action="store_true")
    for tag in ("--addtag", "--deltag"):
        options.add_argument(tag, action="append", default=[])
    options.add_argument("--size", "--virtualsize", dest="size")
    for name in ("activate", "setactivationskip", "wipesignatures", "zero", "name", "thinpool"):
        options.add_argument(f"--{name}")
    for name in ("reportformat", "units", "options"):
        options.add_argument(f"--{name}")
    options.add_argument("names", nargs="*")
    return options


@dataclass
class FakeLvm:
    """One volume group; a volume is a file in *store*, and a link in *dev* while it is active."""

    vg: str
    dev: Path
    store: Path
    free_bytes: int = 10**12
    volumes: dict[str, LogicalVolume] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    ids: int = 0
    left: int = -1  # changes until the cut; never where it is negative
    after: bool = False

    def run(self, argv: Sequence[str], *, timeout_s: float = 60) -> str:
        """In place of ``geats_host.linux.run.run``."""
        done: Callable[[argparse.Namespace], str] | None = getattr(self, f"_{argv[0]}", None)
        if done is None:
            return run(argv, timeout_s=timeout_s)
        options = parser().parse_args(argv[1:])
        if argv[0] in ("lvs", "vgs"):
            return done(options)
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Cut
        said = done(options)
        if self.left == 0:
            raise Cut
        return said

    def is_cut(self, work: Callable[[], None], number: int, *, after: bool) -> bool:
        """Cut *work* at its change number *number*, before it or after it, if it has so many."""
        self.left, self.after = number, after
        try:
            work()
        except Cut:
            return True
        finally:
            self.left = -1
        return False

    def own_bytes(self, vg: str, thin_pool: str) -> dict[int, int]:
        """In place of ``thin_usage.own_bytes``."""
        chunks = {name: self._chunks(name) for name, lv in self.volumes.items() if lv.thin_id}
        return {
            self.volumes[name].thin_id or 0: CHUNK
            * len(mine.difference(*(theirs for other, theirs in chunks.items() if other != name)))
            for name, mine in chunks.items()
        }

    def _chunks(self, name: str) -> set[tuple[int, bytes]]:
        content = (self.store / name).read_bytes()
        pieces = ((at, content[at : at + CHUNK]) for at in range(0, len(content), CHUNK))
        return {(at, piece) for at, piece in pieces if any(piece)}

    def _vgs(self, options: argparse.Namespace) -> str:
        room = f"{self.free_bytes}"
        rows = [{"vg_name": self.vg, "vg_size": room, "vg_free": room}]
        return json.dumps({"report": [{"vg": rows}]})

    def _lvs(self, options: argparse.Namespace) -> str:
        if options.names != [self.vg]:
            raise HostError(f'Volume group "{options.names[0]}" not found')
        return json.dumps({"report": [{"lv": [_row(lv) for lv in self.volumes.values()]}]})

    def _lvcreate(self, options: argparse.Namespace) -> str:
        if options.name in self.volumes:
            raise HostError(f'Logical Volume "{options.name}" already exists')
        lv = self._snapshot(options) if options.snapshot else self._new(options)
        self.ids += 1
        thin_id = self.ids if lv.pool else None
        tags = frozenset(options.addtag)
        self.volumes[lv.name] = replace(lv, thin_id=thin_id, tags=tags)
        return ""

    def _snapshot(self, options: argparse.Namespace) -> LogicalVolume:
        source = self._named(options.names[0])
        shutil.copyfile(self.store / source.name, self.store / options.name)
        return replace(source, name=options.name, active=False, origin=source.name)

    def _new(self, options: argparse.Namespace) -> LogicalVolume:
        assert options.names == [self.vg]
        size_bytes = _whole_extents(options.size)
        if options.thinpool is None and size_bytes > self.free_bytes:
            raise HostError(f"Volume group {self.vg} has insufficient free space")
        lv = LogicalVolume(name=options.name, size_bytes=size_bytes, pool=options.thinpool)
        (self.store / lv.name).write_bytes(b"")
        self._lengthen(lv)
        self.free_bytes -= 0 if lv.pool else lv.size_bytes
        return lv

    def _lvchange(self, options: argparse.Namespace) -> str:
        lv = self._named(options.names[0])
        device = self.dev / self.vg / lv.name
        if options.activate == "n":
            self._check_closed(lv)
            device.unlink(missing_ok=True)
        elif options.activate == "y" and not device.exists():
            assert options.ignoreactivationskip
            device.symlink_to(self.store / lv.name)
        tags = lv.tags - frozenset(options.deltag) | frozenset(options.addtag)
        self.volumes[lv.name] = replace(lv, tags=tags, active=device.exists())
        return ""

    def _lvextend(self, options: argparse.Namespace) -> str:
        lv = self._named(options.names[0])
        size_bytes = _whole_extents(options.size)
        if size_bytes <= lv.size_bytes:
            raise HostError("New size matches existing size")
        self.volumes[lv.name] = replace(lv, size_bytes=size_bytes)
        self._lengthen(self.volumes[lv.name])
        return ""

    def _lvrename(self, options: argparse.Namespace) -> str:
        vg, old, new = options.names
        lv = self._named(f"{vg}/{old}")
        assert new not in self.volumes
        assert not lv.active
        self.volumes[new] = replace(self.volumes.pop(old), name=new)
        (self.store / old).rename(self.store / new)
        return ""

    def _lvremove(self, options: argparse.Namespace) -> str:
        found = [self._named(name) for name in options.names]
        for lv in found:
            self._check_closed(lv)
        for lv in found:
            (self.dev / self.vg / lv.name).unlink(missing_ok=True)
            (self.store / lv.name).unlink()
            del self.volumes[lv.name]
            self.free_bytes += 0 if lv.pool else lv.size_bytes
        return ""

    def _named(self, path: str) -> LogicalVolume:
        vg, _, name = path.partition("/")
        assert vg == self.vg
        if name not in self.volumes:
            raise HostError(f'Failed to find logical volume "{path}"')
        return self.volumes[name]

    def _check_closed(self, lv: LogicalVolume) -> None:
        if lv.name in self.opened:
            raise HostError(f"Logical volume {self.vg}/{lv.name} contains a filesystem in use.")

    def _lengthen(self, lv: LogicalVolume) -> None:
        """What a thick one gets was another's, who left something at its start and its end."""
        with (self.store / lv.name).open("r+b") as file:
            if lv.pool is None:
                file.seek(0, os.SEEK_END)
                file.write(b"dirty")
                file.seek(lv.size_bytes - len(b"dirty"))
                file.write(b"dirty")
            file.truncate(lv.size_bytes)


def _whole_extents(size: str) -> int:
    return -(-int(size.removesuffix("b")) // EXTENT) * EXTENT


def _row(lv: LogicalVolume) -> dict[str, str]:
    return {
        "lv_name": lv.name,
        "lv_tags": ",".join(sorted(lv.tags)),
        "lv_size": f"{lv.size_bytes}",
        "lv_active": "active" if lv.active else "",
        "pool_lv": lv.pool or "",
        "thin_id": "" if lv.thin_id is None else f"{lv.thin_id}",
        "origin": lv.origin or "",
        "segtype": "thin-pool" if lv.is_thin_pool else "linear",
        "zero": "zero" if lv.zeroes else "unknown",
        "data_percent": "" if lv.full is None else f"{lv.full:.2f}",
    }
