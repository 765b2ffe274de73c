"""Plugins of other packages: whatever they raise, and must not, is a problem of theirs.

Ours are proven to raise ``Refused`` and ``HostError`` only. One of another package is wrapped when
it is opened, and looks the same to its callers.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import getattr_static
from typing import TypeVar

from geats_host.plugins.opened import guarded

T = TypeVar("T")
K = TypeVar("K")
MISSING = object()


def watched(plugin: T, who: str) -> T:
    """The *plugin*, each call of which is ``guarded``; *who* names it."""
    return _Watched(plugin, who)  # type: ignore[return-value]  # it has all that the plugin has


def lacking(plugin: object, protocol: type) -> tuple[str, ...]:
    """The names of the *protocol* that the plugin does not have; none of it is called."""
    names = [name for name in vars(protocol) if not name.startswith("_")]
    return tuple(n for n in names if getattr_static(plugin, n, MISSING) is MISSING)


def of_kind(kind: type[T], answer: object, asked: str) -> T:
    """The answer of a plugin, if it is of that *kind*; ``TypeError`` says what it is instead."""
    if not isinstance(answer, kind):
        given = type(answer).__name__
        raise TypeError(f"{asked} must give a {kind.__name__}, and gave a {given}")
    return answer


def mapping_of(keys: type[K], values: type[T], answer: object, asked: str) -> Mapping[K, T]:
    """The same of one that must be a mapping, and of all that is in it."""
    if not isinstance(answer, Mapping):
        raise TypeError(f"{asked} must give a mapping, and gave a {type(answer).__name__}")
    return {of_kind(keys, k, asked): of_kind(values, v, asked) for k, v in answer.items()}


class _Watched:
    """Stands for a plugin of another package, which may raise anything."""

    def __init__(self, plugin: object, who: str) -> None:
        self._plugin, self._who = plugin, who

    def __getattr__(self, name: str) -> object:
        if getattr_static(self._plugin, name, MISSING) is MISSING:
            raise AttributeError(name)
        with guarded(self._who):
            found: object = getattr(self._plugin, name)
        return _guarding(found, self._who) if callable(found) else found


def _guarding(method: Callable[..., object], who: str) -> Callable[..., object]:
    @wraps(method)
    def call(*given: object, **named: object) -> object:
        with guarded(who):
            return method(*given, **named)

    return call
