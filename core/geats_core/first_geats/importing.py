"""The pillar out of a host of the first geats: its configuration, its definitions, its store.

Theory of operation
-------------------
Whatever those files contain is taken key by key, and each key leaves one note: where it went, or
why it went nowhere. What nobody took is noted at the end. The pillar that comes out is then read
like any other, and what is wrong with it is told along with it. One definition that is wrong
concerns no other.
"""

from collections.abc import Iterable, Mapping, Sequence

from geats_core.first_geats.definitions import Definition, read_definition
from geats_core.first_geats.new_host import NewHost
from geats_core.first_geats.settings import OldHost, read_settings
from geats_core.foreign.notes import Imported, Note, Taken
from geats_core.foreign.pillar_problems import problems_of_pillar
from geats_core.reading.checked import Problem

Settings = Mapping[str, Mapping[str, object]]


def import_first_geats(
    definitions: Sequence[Definition],
    settings: Settings,
    stores: Sequence[str] = (),
    there: frozenset[str] = frozenset(),
) -> Imported:
    """The pillar for VMs of *definitions* on a host with *settings*, each by its file.

    *stores* are the files that definitions were in, and *there* those of ``looked_for`` that the
    host has: the first geats took any overlay that it found, and a file locked a VM.
    """
    new = NewHost(there=there)
    notes, problems = _read(definitions, settings, stores, new)
    geats = new.pillar()
    return Imported(geats=geats, notes=notes, problems=(*problems, *problems_of_pillar(geats)))


def looked_for(definitions: Sequence[Definition], settings: Settings) -> frozenset[str]:
    """The paths for which an import needs to know whether they are there."""
    new = NewHost()
    _read(definitions, settings, (), new)
    return frozenset(new.asked)


def _read(
    definitions: Sequence[Definition], settings: Settings, stores: Sequence[str], new: NewHost
) -> tuple[tuple[Note, ...], list[Problem]]:
    old = OldHost()
    notes: list[Note] = []
    problems: list[Problem] = []
    for file, raw in settings.items():
        taken = Taken(file)
        read_settings(taken, raw, old, new, stores)
        notes += taken.notes
    alone, twice = _each_once(definitions)
    for definition in alone:
        taken = Taken(definition.file)
        problems += read_definition(taken, definition, old, new)
        notes += taken.notes
    return tuple(notes), [*problems, *twice]


def _each_once(definitions: Iterable[Definition]) -> tuple[list[Definition], list[Problem]]:
    """The first definition of each name; and every other of it that says something else."""
    first: dict[str, Definition] = {}
    problems: list[Problem] = []
    for definition in definitions:
        known = first.setdefault(definition.called, definition)
        if _said(known) != _said(definition):
            why = f"is defined otherwise by {definition.file}: this is what {known.file} says"
            problems.append(Problem(f"vms.{known.called}", why))
    return [*first.values()], problems


def _said(definition: Definition) -> Mapping[str, object]:
    """What a definition says, with what the first geats added to each."""
    name = definition.called
    return {"description": name, **definition.written, "name": name}
