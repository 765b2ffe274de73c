"""No field of a spec can be forgotten: each is drawn by the laws, and a change of it is a change.

The fields are those of the dataclasses that a ``VMSpec`` is made of, found by their types. So one
that is added is here the day it is born.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import product
from typing import TypeAlias, get_args, get_type_hints

import pytest
from hypothesis import Phase, given, settings
from returns.result import Failure, Success

from geats_core import (
    COST,
    DataLoss,
    Goal,
    Impact,
    Observation,
    Power,
    Target,
    VMSpec,
    changes,
    parse_vm,
    plan,
    to_plain,
)
from geats_core.plans.field_changes import differences_of
from tests.property.strategies import specs

Path: TypeAlias = tuple[str, ...]
TELLS_VMS_APART = ("name",)  # of two names there are two VMs, and no change
MANY = 400


def paths(kind: type, before: Path = ()) -> Iterator[Path]:
    """Each field of a dataclass that holds a value, and none of a dataclass: by its way down."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        inner = (hints[field.name], *get_args(hints[field.name]))
        below = [each for each in inner if isinstance(each, type) and is_dataclass(each)]
        way = (*before, field.name)
        yield from (path for each in below for path in paths(each, way)) if below else [way]


PATHS = [path for path in dict.fromkeys(paths(VMSpec)) if path != TELLS_VMS_APART]


def exchanged(here: object, there: object, path: Path) -> Iterator[object]:
    """*here* with the value that *there* has at the end of *path*, wherever both have one."""
    if isinstance(here, tuple) and isinstance(there, tuple):
        for position, each in enumerate(here):
            for other in there:
                for made in exchanged(each, other, path):
                    yield (*here[:position], made, *here[position + 1 :])
        return
    first, *rest = path
    if type(here) is not type(there) or not hasattr(here, first):  # of several, or none
        return
    old, new = getattr(here, first), getattr(there, first)
    for value in exchanged(old, new, tuple(rest)) if rest else [new]:
        if value != old:
            yield replace(here, **{first: value})  # type: ignore[type-var]


def drawn() -> list[VMSpec]:
    """Specs as the laws draw them, the same ones in each run."""
    found: list[VMSpec] = []

    @settings(max_examples=MANY, phases=[Phase.generate], derandomize=True, database=None)
    @given(specs)
    def collect(spec: VMSpec) -> None:
        found.append(spec)

    collect()
    return [*found, *map(renamed, found)]


def renamed(spec: VMSpec) -> VMSpec:
    """*spec* with other values of the few fields that other laws have to know."""
    volumes = [each if each is spec.root else replace(each, name="logs") for each in spec.volumes]
    shared = [replace(s, name="series", vm="nas2", mount="/shows") for s in spec.shared_volumes]
    return replace(
        spec,
        driver="memory",
        enabled=False,
        isolation=replace(spec.isolation, host_network=not spec.nics),
        volumes=tuple(volumes),
        binds=tuple(replace(bind, name="music") for bind in spec.binds),
        shared_volumes=tuple(shared),
    )


DRAWN = drawn()


def one_field_apart(path: Path) -> tuple[VMSpec, VMSpec]:
    """Two specs that are equal but for one field; the second has it as some other spec has it."""
    for before, other in product(DRAWN, DRAWN):
        for now in exchanged(before, other, path):
            if isinstance(now, VMSpec) and is_valid(now):
                return before, now
    pytest.fail(f"{'.'.join(path)}: tests/property/strategies.py draws one value of it only")


def is_valid(spec: VMSpec) -> bool:
    """Whether a person could describe such a VM: the root is at ``/``, names are there once."""
    return parse_vm(spec.name, to_plain(spec)) == Success(spec)


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_a_change_of_a_field_is_a_change_with_a_cost(path: Path) -> None:
    before, now = one_field_apart(path)

    assert changes(before, now), f"{'.'.join(path)}: no row of COST stands for it"
    assert all(isinstance(each.impact, Impact) for each in changes(before, now))
    assert {each.field.partition(".")[0] for each in changes(before, now)} <= COST.keys()
    for each in changes(before, now):
        parts = differences_of(each)
        assert parts
        assert all(part.path.startswith(each.field) and part.old != part.new for part in parts)


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_a_change_has_steps_with_a_reason_or_a_refusal_that_names_it(path: Path) -> None:
    before, now = one_field_apart(path)
    have = Observation(recorded=before, defined=before, in_effect=before, power=Power.RUNNING)
    goal = Goal(name=now.name, target=Target.DEFINED, spec=now, data_loss=DataLoss.ALLOWED)

    match plan(goal, have):
        case Success(made):
            assert made.steps
            assert [step for step in made.steps if not step.reason] == []
        case Failure(problems):
            assert [each.path for each in problems] == [f"{now.name}.{path[0]}"]
