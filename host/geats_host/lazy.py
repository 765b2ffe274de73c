"""Modules that are loaded when something of them is first used.

A call of Salt's is often a process of its own, uses few of our modules, and each takes a while to
load. Those that few calls use are named twice where they are used: for type checkers,
under ``if TYPE_CHECKING``, and for Python.
"""

from importlib import import_module


class _Later:
    """Stands for a module, whose names it looks up there each time."""

    __slots__ = ("_module",)

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> object:
        return getattr(import_module(self._module), name)


def later(module: str) -> _Later:
    """What stands for the *module* of that full name."""
    return _Later(module)
