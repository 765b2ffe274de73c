"""A host of the first geats, read from disk: files, whole directories, and the store they name."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from returns.result import Failure, Success

from geats_core.first_geats.definitions import Definition
from geats_core.first_geats.importing import import_first_geats, looked_for
from geats_core.first_geats.ini import Section, parse_ini
from geats_core.first_geats.settings import store_of
from geats_core.first_geats.store import definitions_in
from geats_core.foreign.notes import Imported
from geats_core.reading.checked import Problem, shown
from geats_host.errors import Refused
from geats_host.inputs.pickled import WrongPickle, is_pickle, read_pickle
from geats_host.inputs.text_files import read_file
from geats_host.inputs.yaml_text import WrongYaml, read_documents

OF_DEFINITIONS = (".yaml", ".yml", ".json")
IN_DIRECTORIES = (*OF_DEFINITIONS, ".conf", ".ini", ".pickle", ".pkl")


@dataclass(slots=True)
class _Read:
    """What files hold so far, and what is wrong with some of them."""

    settings: dict[str, Section] = field(default_factory=dict)
    stored: list[Definition] = field(default_factory=list)
    written: list[Definition] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def take(self, file: str) -> None:
        """Read one file; what is wrong with it concerns no other."""
        try:
            data = read_file(file)
            if is_pickle(data):
                self._store(file, data)
            elif Path(file).suffix in OF_DEFINITIONS:
                self._definitions(file, data)
            else:
                self._settings(file, data)
        except Refused as refused:
            self.problems += [Problem("", str(each)) for each in refused.problems]
        except (WrongYaml, WrongPickle) as error:
            self.problems.append(Problem(file, f"cannot be read: {error}"))
        except UnicodeDecodeError:
            self.problems.append(Problem(file, "is not text"))

    def _store(self, file: str, data: bytes) -> None:
        match definitions_in(file, read_pickle(data)):
            case Success((found, wrong)):
                self.stores.append(file)
                self.stored += found
                self.problems += wrong
            case Failure(problems):
                self.problems += problems

    def _settings(self, file: str, data: bytes) -> None:
        match parse_ini(file, data.decode()):
            case Success(section):
                self.settings[file] = section
            case Failure(problems):
                self.problems += problems

    def _definitions(self, file: str, data: bytes) -> None:
        documents = [each for each in read_documents(data.decode()) if each is not None]
        for number, raw in enumerate(documents, start=1):
            at = file if len(documents) == 1 else f"{file}, document {number}"
            name = Path(file).stem if len(documents) == 1 else ""
            if not isinstance(raw, Mapping):
                why = f"must be the definition of a VM, got {shown(raw)}"
                self.problems.append(Problem(at, why))
            elif not (raw.get("name") or name):
                self.problems.append(Problem(at, "must say the name of its VM"))
            else:
                self.written.append(Definition(file=at, name=name, written=raw))


def imported(paths: Iterable[str]) -> Imported:
    """The pillar out of *paths*: files named ``.yaml`` or ``.json`` define VMs, pickles are stores.

    Other files are configurations; the store that one names is read too, if it is there. Of a
    directory, everything below it counts that is named like one of these.
    """
    read = _Read()
    for path in paths:
        for file in _files(path):
            read.take(file)
    named = [name for name in map(store_of, read.settings.values()) if name is not None]
    for file in named:
        if file not in read.stores and os.path.isfile(file):
            read.take(file)
    definitions = [*read.stored, *read.written]
    there = frozenset(
        path for path in looked_for(definitions, read.settings) if os.path.isfile(path)
    )
    made = import_first_geats(definitions, read.settings, read.stores, there)
    problems = (*read.problems, *made.problems)
    return Imported(geats=made.geats, notes=made.notes, problems=problems)


def _files(path: str) -> Iterator[str]:
    """The file at *path*; or those below it, in the order of their names."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (
            f"{Path(folder, name)}" for name in sorted(names) if name.endswith(IN_DIRECTORIES)
        )
