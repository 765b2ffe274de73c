"""The templates of a host as a whole: which there are, making them ready, checking, clearing up.

All of it is safe beside VMs that are provisioned meanwhile: an unpacked template is destroyed only
under the lock that fills and clones it, and a file only while nobody uses any.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import assert_never

from geats_core.declared.template import (
    Build,
    DiskDownload,
    DiskFile,
    Empty,
    Files,
    LxdDisk,
    LxdImage,
    OciImage,
    Simplestreams,
    Source,
    Template,
    kind,
)
from geats_core.reading.checked import Code, Problem, Problems, unknown
from geats_core.vm.observation import Stage, VolumeSeen
from geats_core.vm.spec import RootKind
from geats_host.errors import HostError, Refused
from geats_host.plugins.opened import Opened
from geats_host.storage import TEMPLATES, Offer, Pool, VolumeId
from geats_host.templates import (
    is_blank,
    key_of,
    make_ready,
    problems,
    remember_sound,
    sources,
    verified,
    verify,
)
from geats_host.templates.cache import unpacked
from geats_host.templates.clearing import destroy_copy, remove_file, unpacked_in
from geats_host.templates.store import Store
from geats_host.templates.stored_layers import kept

Report = dict[str, object]


class Fate(StrEnum):
    """What becomes of something when templates are pruned."""

    KEEP = "keep"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an unpacked template in a pool, or (*pool* is None) of a file, and why."""

    pool: str | None
    name: str
    fate: Fate
    reason: str

    def as_report(self) -> Report:
        """The same as plain data."""
        return {
            "pool": self.pool,
            "name": self.name,
            "action": str(self.fate),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The templates that are *declared*, the pools they are unpacked in, and what is stored."""

    declared: Mapping[str, Template]
    pools: Opened[Pool]
    store: Store
    wrong: Mapping[str, str] = field(default_factory=dict)  # see ``HostConfig.wrong``

    def listed(self) -> dict[str, Report]:
        """Each template: its source, key, and the pools where it is unpacked, with their space.

        ``key`` is None, and ``problem`` says why, for one that cannot be read or is not ready.
        """
        there = unpacked_in(self.pools)
        return {name: self._row(template, there) for name, template in self.declared.items()}

    def missing(self, name: str, *, refresh: bool = False) -> list[str]:
        """What is to be done until a template is ready, in lines of text."""
        template = self._declared(name)
        key, _ = self._key(template)
        has = None if key is None else VolumeId(TEMPLATES, key)
        return [
            *self._fetched(template.source, refresh=refresh),
            *(
                f"unpack it in pool {pool}"
                for pool, there in unpacked_in(self.pools).items()
                if self._clones(pool, template) and not (has in there and _is_whole(there[has]))
            ),
        ]

    def make_ready(self, name: str, *, refresh: bool = False) -> Report:
        """Download or build a template, and unpack it in each pool that clones: what was done."""
        template = self._declared(name)
        if refresh:
            sources.discard_damaged(template.source, self.store)
        verify(template, self.store)
        fetched = self._fetched(template.source, refresh=refresh)
        make_ready(template, self.store, refresh=refresh)
        done = [*fetched, *self.missing(name)]
        for pool in self.pools:
            if self._clones(pool, template):
                with unpacked(self.pools[pool], template, self.store):
                    pass
        remember_sound(template, self.store)
        return {"name": name, "key": key_of(template, self.store), "done": done}

    def verified(self) -> dict[str, Problems]:
        """All that is wrong with each template and its unpacked copies; nothing if it is sound.

        Archives are read whole; of a copy, what its pool remembers of it.
        """
        there = unpacked_in(self.pools)
        return {
            name: (
                *problems(template, self.store),
                *self._problems_of_copies(template, there),
            )
            for name, template in self.declared.items()
        }

    def pruned(self, *, dry_run: bool) -> list[Report]:
        """Destroy what no declared template needs, or with *dry_run* only tell; and why not."""
        verdicts = [*self._verdicts_on_copies(), *self._verdicts_on_files()]
        if not dry_run:
            verdicts = [self._carried_out(verdict) for verdict in verdicts]
        return [verdict.as_report() for verdict in verdicts]

    def _declared(self, name: str) -> Template:
        if name not in self.declared:
            raise Refused(unknown("name", "template", name, self.declared))
        return self.declared[name]

    def _key(self, template: Template) -> tuple[str | None, str | None]:
        """The key, or what is in the way of one."""
        try:
            return key_of(template, self.store), None
        except HostError as error:
            return None, str(error)

    def _clones(self, pool: str, template: Template) -> bool:
        clones = bool(self.pools.ask(pool, partial(_is_cloning, template.root_kind)))
        return clones and not is_blank(template)  # which no root is a clone of

    def _row(
        self, template: Template, there: Mapping[str, Mapping[VolumeId, VolumeSeen]]
    ) -> Report:
        key, problem = self._key(template)
        copies: Report = {}
        for pool, volumes in there.items():
            for volume, seen in volumes.items():
                if volume.volume == key:
                    stage = seen.stage.name.lower()
                    used_bytes = self.pools[pool].used_bytes(volume)
                    copies[pool] = {"stage": stage, "used_bytes": used_bytes}
        return {
            "source": kind(template.source),
            "from": _origin(template.source),
            "overlays": [overlay.path for overlay in template.overlays],
            "key": key,
            "problem": problem,
            "pools": copies,
        }

    def _fetched(self, source: Source, *, refresh: bool) -> list[str]:
        record = sources.record_of(source)
        if record is None or (kept(self.store, record) is not None and not refresh):
            return []
        match source:
            case Build():
                return ["build it"]
            case LxdDisk():
                return ["take its disk out of the tarball"]
            case _:
                return ["download it"]

    def _problems_of_copies(
        self, template: Template, there: Mapping[str, Mapping[VolumeId, VolumeSeen]]
    ) -> Iterator[Problem]:
        key, _ = self._key(template)
        for pool, volumes in there.items():
            for volume, seen in volumes.items():
                if volume.volume == key and not _is_whole(seen):
                    what = f"in pool {pool} is half unpacked: the next import or VM finishes it"
                    yield Problem(f"templates.{template.name}", what, Code.UNAVAILABLE)

    def _verdicts_on_copies(self) -> Iterator[Verdict]:
        keys: dict[str, str] = {}
        unknown_keys = {
            entry.removeprefix("templates."): why
            for entry, why in self.wrong.items()
            if entry.startswith("templates.")
        }
        for name, template in self.declared.items():
            match self._key(template):
                case str(key), _:
                    keys.setdefault(key, name)
                case _, problem:
                    unknown_keys[name] = f"{problem}"
        for pool, volumes in unpacked_in(self.pools).items():
            for volume, seen in volumes.items():
                fate, reason = _fate(volume, seen, keys, unknown_keys)
                yield Verdict(pool, volume.volume, fate, reason)

    def _verdicts_on_files(self) -> Iterator[Verdict]:
        for left in self.store.leftovers():
            yield Verdict(None, f"{left}", Fate.DESTROY, "a process left it that has ended")
        needed: dict[Path, str] = {}
        for name, template in self.declared.items():
            files = sources.files_of(template, self.store)
            needed |= dict.fromkeys((*files, verified.file_of(template, self.store)), name)
        for path in self.store.files():
            if path in needed or any(entry.startswith("templates.") for entry in self.wrong):
                reason = f"template {needed.get(path, 'whose description is wrong')} is declared"
                yield Verdict(None, f"{path}", Fate.KEEP, reason)
            else:
                reason = "no declared template needs it"
                yield Verdict(None, f"{path}", Fate.DESTROY, reason)

    def _carried_out(self, verdict: Verdict) -> Verdict:
        if verdict.fate is Fate.KEEP:
            return verdict
        try:
            if verdict.pool is None:
                refused = remove_file(self.store, Path(verdict.name))
            else:
                refused = destroy_copy(self.store, self.pools[verdict.pool], verdict.name)
        except HostError as error:
            refused = str(error)
        if refused is None:
            return verdict
        return Verdict(verdict.pool, verdict.name, Fate.KEEP, refused)


def _fate(
    volume: VolumeId, seen: VolumeSeen, keys: Mapping[str, str], unknown_keys: Mapping[str, str]
) -> tuple[Fate, str]:
    """What becomes of an unpacked template: one that may still be declared is kept."""
    if not _is_whole(seen):
        return Fate.DESTROY, "is only partly unpacked: what needs it starts again"
    if volume.volume in keys:
        return Fate.KEEP, f"template {keys[volume.volume]} is declared"
    problem = unknown_keys.get(seen.template or "")
    if problem is not None:
        return Fate.KEEP, f"template {seen.template} may need it: {problem}"
    return Fate.DESTROY, "no declared template has its key"


def _is_cloning(kind: RootKind, pool: Pool) -> bool:
    is_real = pool.offers is not Offer.NOTHING
    return pool.facts.clones and is_real and pool.offers.takes(kind)


def _is_whole(seen: VolumeSeen) -> bool:
    return seen.stage is Stage.INSTALLED


def _origin(source: Source) -> str:
    """Where a template comes from, in a line."""
    match source:
        case Files(path=path) | OciImage(path=path) | LxdImage(path=path) | DiskFile(path=path):
            return path
        case LxdDisk(path=path, rootfs=rootfs):
            return rootfs or path
        case DiskDownload(url=url):
            return url
        case Simplestreams(url=url, alias=alias):
            return f"{alias} at {url}"
        case Build(command=command):
            return " ".join(command)
        case Empty(root_kind=root_kind):
            return f"nothing, for a {root_kind}"
        case _:
            assert_never(source)
