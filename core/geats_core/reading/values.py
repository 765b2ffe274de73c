"""Frozen dataclasses of which nothing is compiled but how objects are made, when one first is.

Theory of operation
-------------------
Python compiles six methods for each frozen dataclass, one by one, which takes longer than all else
that there is to loading it; and a command makes objects of few of the classes that it loads. So a
class gets its fields and its slots at once. Comparing, hashing and showing look at the fields, and
are the same for all classes. Only ``__init__`` is compiled, by the first call. For type checkers
it is a dataclass as any other.
"""

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    from reprlib import recursive_repr

    @dataclasses.dataclass(init=False, repr=False, eq=False, frozen=True, slots=True)
    class _Example:
        """What copying and pickling call is the same for all."""

    def dataclass(*, frozen, slots, kw_only=False):
        """As Python's own, frozen and with slots; it inherits only from others of these."""
        if not (frozen and slots):
            raise TypeError("a value is frozen, and has slots")
        bare = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)

        def made(cls):
            own = {name for name, what in cls.__dict__.items() if what is not None}
            finished = bare(cls)
            for name, method in _methods(finished).items():
                if name not in own:
                    setattr(finished, name, method)
            for name in ("__setattr__", "__delattr__"):
                setattr(finished, name, _refuse)
            for name in ("__getstate__", "__setstate__"):
                setattr(finished, name, getattr(_Example, name))
            return finished

        return made

    def _methods(cls):
        """What is not compiled; and what compiles ``__init__``, and is replaced by it."""
        fields = dataclasses.fields(cls)
        compared = _values([each.name for each in fields if each.compare])
        hashed = _values([each.name for each in fields if _is_hashed(each)])
        shown = [each.name for each in fields if each.repr]

        def init(self, *args, **kwargs):
            cls.__init__ = _compiled(cls)
            cls.__init__(self, *args, **kwargs)

        def eq(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return compared(self) == compared(other)

        @recursive_repr()
        def repr_(self):
            values = ", ".join([f"{name}={getattr(self, name)!r}" for name in shown])
            return f"{self.__class__.__qualname__}({values})"

        return {
            "__init__": init,
            "__eq__": eq,
            "__hash__": lambda self: hash(hashed(self)),
            "__repr__": repr_,
            "__signature__": _Signature(cls),
        }

    def _is_hashed(field):
        return field.compare if field.hash is None else field.hash

    def _values(names):
        """What gives the values of these fields of an object, as a tuple."""
        match names:
            case []:
                return lambda _: ()
            case [name]:
                return lambda self: (getattr(self, name),)
            case _:
                return attrgetter(*names)

    def _compiled(cls):
        """The ``__init__`` that Python's own would have."""
        fields = dataclasses.fields(cls)
        known = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
        lines = [_line(each, known) for each in fields]
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        words = [_word(each) for each in fields if each.init and not each.kw_only]
        by_name = [_word(each) for each in fields if each.init and each.kw_only]
        given = ", ".join(["self", *words, *(["*", *by_name] if by_name else [])])
        text = "\n ".join([f"def __init__({given}):", *(lines or ["pass"])])
        exec(text, known)
        init = known["__init__"]
        init.__annotations__ = {each.name: each.type for each in fields if each.init}
        init.__annotations__["return"] = None
        init.__qualname__ = f"{cls.__qualname__}.__init__"
        init.__module__ = cls.__module__
        return init

    def _word(field):
        """The parameter for a field."""
        if field.default is not dataclasses.MISSING:
            return f"{field.name}=_default_{field.name}"
        if field.default_factory is not dataclasses.MISSING:
            return f"{field.name}=_missing"
        return field.name

    def _line(field, known):
        """What gives an object the value of a field; what it uses is *known* then."""
        name, made = field.name, f"_made_{field.name}()"
        known[f"_default_{name}"], known[f"_made_{name}"] = field.default, field.default_factory
        value = name if field.init else f"_default_{name}"
        if field.default_factory is not dataclasses.MISSING:
            value = f"{made} if {name} is _missing else {name}" if field.init else made
        return f"_set(self, {name!r}, {value})"

    def _refuse(self, name, value=None):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    class _Signature:
        """How objects are made, for who asks before one is."""

        def __init__(self, cls):
            self.cls = cls

        def __get__(self, instance, owner):
            from inspect import signature

            found = signature(_compiled(self.cls))
            return found.replace(parameters=[*found.parameters.values()][1:])
