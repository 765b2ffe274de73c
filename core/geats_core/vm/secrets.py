"""What may be secret is never shown: the values of ``metadata``, of whatever a guest needs to know,
of ``environment``, of the configuration of a minion, and passwords of ``users``.

Whoever shows a spec, or what changes in one, shows this instead. What must be able to make a VM
contains the values themselves: definitions, recorded hosts and saved plans.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from returns.result import Success

from geats_core.guests.minion import NO_CONFIG
from geats_core.reading.shown_lines import HIDDEN, shown_line, shown_lines
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm, to_plain
from geats_core.vm.spec import VMSpec

Plain: TypeAlias = dict[object, object]

HIDDEN_AND_NEW = "(hidden, and another one)"
EACH = "*"
# The fields in which values may be secret, and by which keys one comes to these.
SECRETS: Mapping[str, tuple[str, ...]] = {
    "metadata": (EACH,),
    "environment": (EACH,),
    "from_image": ("environment", EACH),
    "users": (EACH, "password"),
    "minion": ("config", EACH),
}


def shown_spec(spec: VMSpec) -> dict[str, object]:
    """*spec* as plain data that everybody may see."""
    return hidden(to_plain(spec))


def hidden(plain: Mapping[str, object]) -> dict[str, object]:
    """What people write, with something else in place of each value that may be secret."""
    shown = {
        key: _veiled(value, SECRETS[key]) if key in SECRETS else value
        for key, value in plain.items()
    }
    raw = {"raw": [*shown_lines(_lines(plain["raw"]))]} if "raw" in plain else {}
    return {**shown, **raw}


def _lines(raw: object) -> list[str]:
    return [line for line in raw if isinstance(line, str)] if isinstance(raw, list) else []


def shown_change(field: str, old: object, new: object) -> tuple[object, object]:
    """A field before and after a change: what is secret is hidden, and it is said what is new."""
    path = SECRETS.get(field)
    return (old, new) if path is None else (_veiled(old, path), _veiled(new, path, old))


def _veiled(value: object, path: Sequence[str], before: object = None) -> object:
    """*value* without what *path* leads to in it."""
    if not path:
        return HIDDEN if before is None or before == value else HIDDEN_AND_NEW
    if not isinstance(value, Mapping):
        return value
    was = before if isinstance(before, Mapping) else {}
    return {
        key: _veiled(inner, path[1:], was.get(key)) if path[0] in (EACH, key) else inner
        for key, inner in value.items()
    }


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
    return replace(
        spec,
        metadata=(),
        users=tuple(replace(user, password="") for user in spec.users),
        minion=spec.minion and replace(spec.minion, config=NO_CONFIG),
        program=replace(spec.program, environment=()),
        from_image=spec.from_image and replace(spec.from_image, environment=()),
    )


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
    told = _needed(whole, lambda said: _is_same(said, spec))
    said = {str(key): value for key, value in told.items()}
    return said if shows_secrets else hidden(said)


def _is_same(said: Plain, spec: VMSpec) -> bool:
    return parse_vm(spec.name, said, is_recorded=True) == Success(spec)


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
