"""What a machine remembers of the places where geats has VMs, whatever its configuration says.

Theory of operation
-------------------
A configuration that lost its ``state_dir``, or the path of a driver, looks where no VM is: it would
make each of them a second time, or say that all are gone. So whoever applies a plan notes where its
drivers have their VMs, in one file that no configuration moves. Before a plan is made, the other
places in that file are looked at: a VM that is there, and not where the configuration looks, was
lost by it. Only what is there now counts, never what was noted: a place that is gone, or that has
no VM which this host lacks, stands in nobody's way, and is forgotten.

A file that cannot be read is left as it is, and a warning says so: it protects, and must not keep
a host from its start. Several hosts on one machine, such as those of tests, have a file each, or
none: the environment says which.
"""

import json
import logging
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from returns.result import Failure, Success

from geats_core.plans.codec import decode, encode
from geats_core.reading import file_formats
from geats_core.reading.checked import Checked, problem
from geats_core.reading.json_documents import parse_document
from geats_host.errors import HostError
from geats_host.linux.descriptors import closing
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


@dataclass(frozen=True, slots=True)
class Machine:
    """All places that are remembered."""

    places: tuple[Place, ...] = ()
    format: int = file_formats.MACHINE


def places(state_dir: str, drivers: Mapping[str, object]) -> tuple[Place, ...]:
    """Where a host has its VMs whose drivers have these options."""
    plain: Mapping[str, dict[str, object]] = json.loads(json.dumps(drivers, default=str))
    return tuple(Place(state_dir, name, options) for name, options in plain.items())


def elsewhere(here: Container[Place]) -> dict[str, str]:
    """The VMs that are in any place that is remembered, but *here*: where that is."""
    file = _file()
    known = _read(file) if file else None
    others = [place for place in known.places if place not in here] if known else []
    return {name: str(place) for place in others for name in _vms(place) or ()}


def remember(here: Sequence[Place], defined: Callable[[], Container[str]]) -> None:
    """Note the places of this host; forget others that have no VM but those *defined* here."""
    file = _file()
    if file is None or os.geteuid() != ROOT or _has_all(_read(file), here):
        return
    try:
        with _alone(file.parent) as folder:
            known, there = _read(file), defined()
            if known is None:
                return
            others = [each for each in known.places if each not in here and _has_more(each, there)]
            replace_file(folder, file.name, json.dumps(encode(Machine((*here, *others)))))
    except (OSError, HostError) as error:
        LOG.warning("%s: cannot note where the VMs of this host are: %s", file, error)


def _file() -> Path | None:
    named = os.environ.get(VARIABLE, DEFAULT_FILE)
    return Path(named) if named else None


def _read(file: Path) -> Machine | None:
    """What is remembered; None where that cannot be read."""
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


def _has_all(known: Machine | None, here: Sequence[Place]) -> bool:
    return known is None or all(place in known.places for place in here)


def _has_more(place: Place, there: Container[str]) -> bool:
    found = _vms(place)
    return found is None or any(name not in there for name in found)


def _vms(place: Place) -> frozenset[str] | None:
    """The VMs of geats that are there now; None where nobody can tell."""
    options: dict[object, object] = dict(place.options.items())
    drivers = open_drivers({place.driver: options}, Path(place.state_dir))
    seen = drivers.ask(place.driver, lambda driver: driver.observe())
    return None if seen is None else frozenset(name for name in seen if not seen[name].foreign)


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """The folder, opened; nobody else writes to its file meanwhile."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as descriptor:
        file_locks.take(descriptor, f"{folder}")
        yield descriptor
