"""A format that changes has a new number: what each holds is kept in ``shapes.json``.

``python -m tests.formats.test_shapes`` writes that file, for numbers that it does not have yet.
Until a version is released with a number, its shape may be taken out of the file and written again.
"""

import json
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from geats_core.declared.shared_pools import UNKNOWN, owner_to_json
from geats_core.declared.template import Files, Template
from geats_core.jobs.manifests import Manifest
from geats_core.plans.plan_files import Recorded, SavedPlan
from geats_core.reading import file_formats
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config
from geats_core.vm.observation import SnapshotSeen, Stage, VolumeSeen
from geats_core.vm.parse import parse_vm, to_plain
from geats_core.vm.spec import VMSpec
from geats_host.guest_trees.folders import open_directory
from geats_host.observing.known_places import Machine
from geats_host.registry import sqlite
from geats_host.storage import identity
from geats_host.storage.marks import write_marks
from geats_host.templates import verified
from geats_host.templates.store import Store

SHAPES = Path(__file__).parent / "shapes.json"
SPEC = parse_vm(
    "web01",
    {
        "template": "debian",
        "volumes": [{"name": "root"}],
        "nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}],
        "binds": {"a": {"source": "/srv/a", "mount": "/a"}},
        "shared_volumes": {"films": {"vm": "nas", "mount": "/films"}},
    },
).unwrap()


def shapes() -> dict[str, object]:
    """By the name of each format, what it holds."""
    return {
        "REGISTRY": _tables(),
        "SPEC": _spec_keys(),
        "CONFIG": _head(),
        "MARKS": _marks(),
        "POOL": _pool(),
        "OWNER": sorted(json.loads(owner_to_json(UNKNOWN))),
        "RECORDED": sorted({*_fields(Recorded), *_spec_keys()}),
        "PLAN": sorted({*_fields(SavedPlan), *_spec_keys()}),
        "ARCHIVE": sorted({*_fields(Manifest), *_spec_keys()}),
        "MACHINE": sorted(_fields(Machine)),
        "TEMPLATES": _record(),
        "VERIFIED": _verified(),
    }


NAMES = (
    *("REGISTRY", "SPEC", "CONFIG", "MARKS", "POOL", "OWNER"),
    *("RECORDED", "PLAN", "ARCHIVE", "MACHINE", "TEMPLATES", "VERIFIED"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_format_that_has_changed_has_a_new_number(name: str) -> None:
    known = json.loads(SHAPES.read_text())[name]
    assert known.get(f"{getattr(file_formats, name)}") == shapes()[name], "see README.md"


def test_every_format_has_a_shape() -> None:
    numbers = {name for name, value in vars(file_formats).items() if type(value) is int}
    assert numbers - {"OLDEST_PLAN"} == set(shapes()) == set(NAMES)


def _tables() -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        sqlite.open_registry({}, Path(directory)).set_locked("web01", locked=True)
        with closing(sqlite3.connect(sqlite.file_in(Path(directory)))) as database:
            rows = database.execute("select sql from sqlite_master where sql not null").fetchall()
    return sorted(re.sub(r"\s+", " ", text) for (text,) in rows)


def _spec_keys() -> list[str]:
    return sorted(_paths("spec", to_plain(SPEC)))


def _paths(path: str, plain: object) -> Iterator[str]:
    match plain:
        case dict():
            for key, value in plain.items():
                yield from _paths(f"{path}.{key}", value)
        case [first, *_]:
            yield from _paths(f"{path}[]", first)
        case _:
            yield path


def _head() -> list[str]:
    paths = {"root": "/p/root", "films": "/p/films"}
    text = render_lxc_config(SPEC, LxcFacts(volume_paths=paths))
    ours = [line for line in text.split("\n") if line.startswith("# geats-")]
    return [re.sub(r"[0-9a-f]{12}|\{.*\}", "…", line).split("… …")[0].strip() for line in ours]


def _marks() -> list[str]:
    taken = SnapshotSeen(name="s", taken_s=1, stage=Stage.INSTALLED)
    seen = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, snapshots=(taken,))
    with tempfile.TemporaryDirectory() as directory, open_directory(directory) as at:
        write_marks(at, seen)
        return sorted(_paths("marks", json.loads((Path(directory) / "geats.json").read_text())))


def _pool() -> list[str]:
    with tempfile.TemporaryDirectory() as directory, open_directory(directory) as at:
        identity.ensure(at, "directory")
        return sorted(_paths("pool", json.loads((Path(directory) / identity.FILE).read_text())))


def _record() -> dict[str, object]:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory), Path(directory) / "run")
        store.write_record("source", {"tar": "a"})
        read: dict[str, object] = json.loads((store.root / "records/source.json").read_text())
    return {**read, file_formats.FORMAT: "a number"}


def _verified() -> list[str]:
    template = Template(name="t", source=Files(path=sys.executable))  # old enough
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory), Path(directory) / "run")
        verified.remember(template, store, "key", verified.files_now(template, store))
        return sorted(json.loads(verified.file_of(template, store).read_text()))


def _fields(kind: Any) -> set[str]:
    """The fields of a dataclass, and of all that are in it."""
    found: set[str] = set()
    todo, seen = [kind], set[Any]()
    while todo:
        each = todo.pop()
        if each in seen:
            continue
        seen.add(each)
        todo += get_args(each)
        if is_dataclass(each) and each is not VMSpec:
            hints, name = get_type_hints(each), getattr(each, "__name__", "")
            found |= {f"{name}.{field.name}" for field in fields(each)} or {name}
            todo += hints.values()
    return found


def main() -> None:
    """Write the shapes of numbers that have none."""
    known: dict[str, Mapping[str, object]] = {}
    if SHAPES.exists():
        known = json.loads(SHAPES.read_text())
    for name, shape in shapes().items():
        known[name] = {f"{getattr(file_formats, name)}": shape, **known.get(name, {})}
    SHAPES.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
