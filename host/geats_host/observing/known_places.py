"""What a machine records about the places of VMs, whatever its configuration says.

Theory of operation
-------------------
If a configuration loses its ``state_dir``, or the path of a driver, geats looks in a place without
VMs: it would make each VM a second time, or say that all are gone. So every applied plan records
where its drivers have their VMs, in one file that no configuration moves. Before a plan is made,
geats looks at the other places in that file: a VM that is there, but not where the configuration
looks, was lost by the configuration. Only what is there now counts, not what was recorded: a place
that is gone, or that has no VM which this host lacks, blocks nothing, and is removed from the file.

Pools are recorded with their plugins, their place and their identity; and the registry records the
identity of the pool with each volume. What differs from the record has ``moved``: a user should see
that, so it is a step of a plan, which ``note`` carries out. ``remember`` adds only what was not
known.

If the file cannot be read, it is left as it is, and a warning says so: it is a protection, and must
not prevent the start of a host. Several hosts on one machine, such as those of tests, have a file
each, or none: the environment says which.
"""

import json
import logging
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.declared.config import Plugin
from geats_core.plans.codec import decode, encode
from geats_core.reading import file_formats
from geats_core.reading.checked import Checked, problem
from geats_core.reading.json_documents import parse_document
from geats_core.reading.values import dataclass
from geats_core.vm.unseen import DRIVERS, POOLS
from geats_host.errors import HostError
from geats_host.linux.descriptors import closing
from geats_host.linux.private_directories import make_passage
from geats_host.locks import file_locks
from geats_host.plugins.entry_points import open_drivers
from geats_host.storage.marks import replace_file

DEFAULT_FILE = "/var/lib/geats/host.json"
VARIABLE = "GEATS_HOST_FILE"  # another file; empty for none
LOG = logging.getLogger(__name__)
ROOT = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a driver has its VMs, by the options that it was configured with."""

    state_dir: str
    driver: str
    options: Mapping[str, object]

    def __str__(self) -> str:
        said = json.dumps(self.options, sort_keys=True)
        return f"with state_dir: {self.state_dir} and drivers: {{{self.driver}: {said}}}"

    def beside(self, other: "Place") -> str:
        """The same, as far as it differs from *other*; an option that is only there is null."""
        keys = sorted({*self.options, *other.options})
        mine, theirs = ({key: each.options.get(key) for key in keys} for each in (self, other))
        differing = {key: mine[key] for key in keys if mine[key] != theirs[key]}
        said = [f"state_dir: {self.state_dir}"] if self.state_dir != other.state_dir else []
        if differing:
            said.append(f"drivers: {{{self.driver}: {json.dumps(differing)}}}")
        return f"with {' and '.join(said)}"


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """Where a pool of the host with this ``state_dir`` is.

    ``kind`` are its plugins from the top down, ``at`` is where the lowest of them has its volumes,
    and ``identity`` as in ``PoolFacts``.
    """

    state_dir: str
    name: str
    kind: str
    at: str
    identity: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"

    @property
    def marked(self) -> str:
        """The same, with its identity."""
        return f"{self} ({f'pool {self.identity}' if self.identity else 'without a mark of geats'})"


@dataclass(frozen=True, slots=True)
class Machine:
    """All places that are remembered, or that a host has."""

    places: tuple[Place, ...] = ()
    pools: tuple[PoolPlace, ...] = ()
    format: int = file_formats.MACHINE


def known() -> Machine:
    """All that is remembered; nothing if that cannot be read."""
    file = _file()
    return (_read(file) if file else None) or Machine()


def places(state_dir: str, drivers: Mapping[str, Plugin]) -> tuple[Place, ...]:
    """Where a host has its VMs, whose drivers are configured so."""
    said = {name: {**_typed(name, each), **each.options} for name, each in drivers.items()}
    plain: Mapping[str, dict[str, object]] = json.loads(json.dumps(said, default=str))
    return tuple(Place(state_dir, name, options) for name, options in plain.items())


def _typed(name: str, driver: Plugin) -> dict[object, object]:
    """The type of a driver that is not named after it."""
    return {} if name == driver.type else {"type": driver.type}


def elsewhere(known: Machine, here: Container[Place]) -> dict[str, str]:
    """The VMs that are in any place that is *known*, but not *here*: where that is."""
    others = [place for place in known.places if place not in here]
    return {name: str(place) for place in others for name in vms_in(place) or ()}


def moved_from(place: Place, known: Machine) -> tuple[Place, ...]:
    """Where its driver was, if it is in a place that is not *known*."""
    others = tuple(each for each in known.places if each.driver == place.driver)
    return () if place in others else others


def remembered_as(pool: PoolPlace, known: Machine) -> PoolPlace | None:
    """What is *known* of a pool."""
    of_host = (each for each in known.pools if each.state_dir == pool.state_dir)
    return next((each for each in of_host if each.name == pool.name), None)


def is_another(was: PoolPlace, now: PoolPlace) -> bool:
    """Whether a pool is another one than it *was*; that it got an identity is no change."""
    return now != (was if was.identity else replace(was, identity=now.identity))


def remember(here: Machine, defined: Callable[[], Container[str]]) -> None:
    """Note what of a host's places is not known yet; what has moved is left to ``note``.

    Other places that have no VM but those *defined* here are forgotten.
    """

    def learned(known: Machine) -> Machine:
        places = [each for each in here.places if not moved_from(each, known)]
        pools = [p for p in here.pools if not is_another(remembered_as(p, known) or p, p)]
        return _with(known, places, pools)

    _change(here, defined, learned)


def note(here: Machine, whats: Container[str], defined: Callable[[], Container[str]]) -> None:
    """Note where a host has the drivers and pools that are called so, such as ``pools.fast``."""

    def noted(known: Machine) -> Machine:
        places = [each for each in here.places if f"{DRIVERS}.{each.driver}" in whats]
        pools = [each for each in here.pools if f"{POOLS}.{each.name}" in whats]
        return _with(known, places, pools)

    _change(here, defined, noted)


def _with(known: Machine, places: Sequence[Place], pools: Sequence[PoolPlace]) -> Machine:
    """*known*, with these *places* as well, and these *pools* as they are here."""
    new = [each for each in places if each not in known.places]
    named = {(each.state_dir, each.name) for each in pools}
    others = [each for each in known.pools if (each.state_dir, each.name) not in named]
    return replace(known, places=(*new, *known.places), pools=(*others, *pools))


def _change(
    here: Machine, defined: Callable[[], Container[str]], change: Callable[[Machine], Machine]
) -> None:
    file = _file()
    if file is None or os.geteuid() != ROOT or _is_so(_read(file), change):
        return
    try:
        with _alone(file.parent) as folder:
            found = _read(file)
            if found is None:
                return
            changed, there = change(found), defined()
            kept = [p for p in changed.places if p in here.places or _has_more(p, there)]
            text = json.dumps(encode(replace(changed, places=tuple(kept))))
            replace_file(folder, file.name, text)
    except (OSError, HostError) as error:
        LOG.warning("%s: cannot record where the VMs of this host are: %s", file, error)


def _is_so(found: Machine | None, change: Callable[[Machine], Machine]) -> bool:
    """Whether nothing is to be written: in another order it is the same."""
    if found is None:
        return True
    new = change(found)
    return (set(map(str, map(encode, new.places))), set(new.pools)) == (
        set(map(str, map(encode, found.places))),
        set(found.pools),
    )


def _file() -> Path | None:
    named = os.environ.get(VARIABLE, DEFAULT_FILE)
    return Path(named) if named else None


def _read(file: Path) -> Machine | None:
    """What is remembered; None if that cannot be read."""
    try:
        text = file.read_bytes()
    except (FileNotFoundError, PermissionError):  # who is not root only looks
        return Machine()
    except OSError as error:
        LOG.warning("%s: %s", file, error.strerror)
        return None
    match parse_document(str(file), text, _machine):
        case Success(machine):
            return machine
        case Failure(problems):
            found = "; ".join(map(str, problems))
            LOG.warning("%s: remove it, and the next plan that is applied writes it again", found)
            return None


def _machine(path: str, raw: object) -> Checked[Machine]:
    found = raw.get(file_formats.FORMAT) if isinstance(raw, Mapping) else None
    wrong = file_formats.newer(found, file_formats.MACHINE)
    return problem(path, wrong) if wrong else decode(Machine, path, raw)


def _has_more(place: Place, there: Container[str]) -> bool:
    found = vms_in(place)
    return found is None or any(name not in there for name in found)


def vms_in(place: Place) -> frozenset[str] | None:
    """The VMs of geats that are there now; None if nobody can tell."""
    options: dict[object, object] = dict(place.options.items())
    plugin = Plugin(type=f"{options.pop('type', place.driver)}", options=options)
    drivers = open_drivers({place.driver: plugin}, Path(place.state_dir))
    seen = drivers.ask(place.driver, lambda driver: driver.observe())
    return None if seen is None else frozenset(name for name in seen if not seen[name].foreign)


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """The folder, opened; nobody else writes to its file meanwhile."""
    make_passage(folder)  # it is the state_dir of most hosts, where guests pass through
    with closing(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as descriptor:
        file_locks.take(descriptor, f"{folder}")
        yield descriptor
