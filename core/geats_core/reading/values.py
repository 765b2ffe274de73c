"""Frozen dataclasses whose methods are compiled when one is first used.

Theory of operation
-------------------
Python compiles six methods for each frozen dataclass, which takes longer than all else that there
is to loading it; and a command makes objects of few of the classes that it loads. So a class gets
its fields and its slots at once, and methods that are stubs. The first call of one makes a twin: a
dataclass of Python's own with the same fields, whose methods the class then has. For type checkers
it is a dataclass as any other.
"""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    COMPILED = ("__init__", "__repr__", "__eq__", "__hash__")

    @dataclasses.dataclass(frozen=True, slots=True)
    class _Example:
        """What copying and pickling call is the same for all."""

    def dataclass(*, frozen, slots, kw_only=False):
        """As Python's own, frozen and with slots; it inherits only from others of these."""
        if not (frozen and slots):
            raise TypeError("a value is frozen, and has slots")
        bare = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)

        def made(cls):
            own = {name for name in COMPILED if cls.__dict__.get(name) is not None}
            names = [name for name in COMPILED if name not in own]
            finished = bare(cls)
            for name in names:
                setattr(finished, name, _stub(finished, name, names))
            for name in ("__setattr__", "__delattr__"):
                setattr(finished, name, _refuse)
            for name in ("__getstate__", "__setstate__"):
                setattr(finished, name, getattr(_Example, name))
            finished.__signature__ = _Signature(finished, names)
            return finished

        return made

    def _stub(cls, name, names):
        def first(self, *args, **kwargs):
            _compile(cls, names)
            return getattr(cls, name)(self, *args, **kwargs)

        return first

    def _compile(cls, names):
        """Let the class have the methods of its twin; another thread may do the same."""
        fields = dataclasses.fields(cls)
        body = {each.name: each for each in fields}
        body["__annotations__"] = {each.name: each.type for each in fields}
        body |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": " "}
        if hasattr(cls, "__post_init__"):
            body["__post_init__"] = cls.__post_init__
        twin = dataclasses.dataclass(frozen=True)(type(cls.__name__, (), body))
        for name in names:
            setattr(cls, name, getattr(twin, name))

    def _refuse(self, name, value=None):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    class _Signature:
        """How objects are made, for who asks before one is."""

        def __init__(self, cls, names):
            self.cls, self.names = cls, names

        def __get__(self, instance, owner):
            from inspect import signature

            _compile(self.cls, self.names)
            found = signature(owner.__init__)
            return found.replace(parameters=[*found.parameters.values()][1:])
