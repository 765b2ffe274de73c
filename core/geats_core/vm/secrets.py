"""What may be secret is never shown: the values of ``metadata``, of whatever a guest needs to know,
and of ``environment``.

Whoever shows a spec, or what changes in one, shows this instead. What must be able to make a VM
contains the values themselves: definitions, recorded hosts and saved plans.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from returns.result import Success

from geats_core.reading.shown_lines import HIDDEN, shown_line, shown_lines
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm, to_plain
from geats_core.vm.spec import VMSpec

Plain: TypeAlias = dict[object, object]

HIDDEN_AND_NEW = "(hidden, and another one)"
SECRETS = ("metadata", "environment")  # the fields whose values may be secret


def shown_spec(spec: VMSpec) -> dict[str, object]:
    """*spec* as plain data that everybody may see."""
    return hidden(to_plain(spec))


def hidden(plain: Mapping[str, object]) -> dict[str, object]:
    """What people write, with something else in place of each value that may be secret."""
    names = {key: plain[key] for key in SECRETS if key in plain}
    shown = {
        key: dict.fromkeys(each, HIDDEN) for key, each in names.items() if isinstance(each, dict)
    }
    raw = {"raw": [*shown_lines(_lines(plain["raw"]))]} if "raw" in plain else {}
    return {**plain, **shown, **raw}


def _lines(raw: object) -> list[str]:
    return [line for line in raw if isinstance(line, str)] if isinstance(raw, list) else []


def shown_change(old: object, new: object) -> tuple[object, object]:
    """A secret field before and after a change: its keys, and which values are others now."""
    before = old if isinstance(old, Mapping) else {}
    now = new if isinstance(new, Mapping) else {}
    other = {key for key in now if key in before and before[key] != now[key]}
    return (
        None if old is None else dict.fromkeys(before, HIDDEN),
        None if new is None else {key: HIDDEN_AND_NEW if key in other else HIDDEN for key in now},
    )


def shown_raw(old: object, new: object) -> tuple[object, object]:
    """Lines of LXC before and after a change, without what of them may be secret."""
    before, now = _lines(old), _lines(new)
    known = {shown_line(line) for line in before}

    def after(line: str) -> str:
        text = shown_line(line)
        other = line not in before and text in known
        return text.replace(HIDDEN, HIDDEN_AND_NEW) if other else text

    return (
        old if old is None else [shown_line(line) for line in before],
        new if new is None else [after(line) for line in now],
    )


def without_secrets(spec: VMSpec) -> VMSpec:
    """*spec* for those who have to reckon with it, and need not make it."""
    return replace(spec, metadata=(), program=replace(spec.program, environment=()))


def observed_without_secrets(have: Observation) -> Observation:
    """The same for everything that is known about a VM."""
    return replace(
        have,
        by_hand=shown_lines(have.by_hand),
        recorded=have.recorded and without_secrets(have.recorded),
        defined=have.defined and without_secrets(have.defined),
        in_effect=have.in_effect and without_secrets(have.in_effect),
    )


def declaration(spec: VMSpec, *, shows_secrets: bool = False) -> dict[str, object]:
    """What declares *spec*, without the keys, at any depth, that it has by default.

    Read by ``parse_vm``, it is the same spec again, unless there are secrets, and they are hidden.
    """
    whole: Plain = dict(to_plain(spec).items())
    told = _needed(whole, lambda said: parse_vm(spec.name, said) == Success(spec))
    said = {str(key): value for key, value in told.items()}
    return said if shows_secrets else hidden(said)


def _needed(said: Plain, is_same: Callable[[Plain], bool]) -> Plain:
    """*said* without the keys, at any depth, without which *is_same* finds the same."""
    for key in [*said]:
        rest = {other: value for other, value in said.items() if other != key}
        if is_same(rest):
            said = rest
        else:
            said = {**said, key: _inner(said[key], partial(_same_with, is_same, said, key))}
    return said


def _same_with(is_same: Callable[[Plain], bool], said: Plain, key: object, value: object) -> bool:
    return is_same({**said, key: value})


def _inner(value: object, is_same: Callable[[object], bool]) -> object:
    match value:
        case dict():
            kept = _needed(value, is_same)
            return True if not kept and is_same(True) else kept
        case list():
            items = _needed(dict(enumerate(value)), lambda some: is_same([*some.values()]))
            return [*items.values()]
        case _:
            return value
