"""Frozen dataclasses of which nothing is compiled but how objects are made."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, field

import pytest

from geats_core.reading.values import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """Two numbers."""

    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class Named(Point):
    """With a name, which nobody compares."""

    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Its own ways to be shown and made."""

    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names.append("made")

    def __repr__(self) -> str:
        return "kept"


USES: Mapping[str, tuple[Callable[[object], object], object]] = {
    "shown": (str, "New(x=1, y=0)"),
    "hashed": (hash, hash((1, 0))),
    "compared": (lambda new: new == Point(1), False),
}


@pytest.mark.parametrize(("use", "wanted"), USES.values(), ids=USES)
def test_the_first_use_is_that_of_a_dataclass(
    use: Callable[[object], object], wanted: object
) -> None:
    class New:
        """Nobody has used it."""

        x: int
        y: int = 0

    New.__qualname__ = "New"
    new_class = dataclass(frozen=True, slots=True)(New)
    new = object.__new__(new_class)  # as what makes copies does: ``__init__`` is not called
    object.__setattr__(new, "x", 1)
    object.__setattr__(new, "y", 0)

    assert use(new) == wanted


def test_a_value_is_compared_with_its_own_class_only() -> None:
    assert Point(1, 2) == Point(x=1, y=2)
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert Named(1, name="a") == Named(1, name="b")
    assert {Point(1), Point(1)} == {Point(1)}


def test_a_value_says_what_it_is_made_of() -> None:
    assert repr(Named(1, 2, "a")) == "Named(x=1, y=2, name='a')"
    assert [each.name for each in dataclasses.fields(Named)] == ["x", "y", "name"]
    assert Named.__match_args__ == ("x", "y", "name")


def test_what_a_class_has_itself_stays() -> None:
    assert repr(Kept()) == "kept"
    assert Kept(names=["a"]).names == ["a", "made"]
    with pytest.raises(TypeError, match="positional"):
        Kept(["a"])  # type: ignore[call-arg]


@dataclass(frozen=True, slots=True)
class Nothing:
    """No field."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is not given when it is made, and what only counts for one thing."""

    name: str = field(hash=False)
    ways: list[str] = field(default_factory=list, init=False, compare=False)
    made_by: str = field(default="geats", init=False, repr=False)


def test_what_is_not_given_is_as_the_class_says() -> None:
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(())
    assert str(Nothing()) == "Nothing()"
    assert (Counted("a").ways, Counted("a").made_by) == ([], "geats")
    assert str(Counted("a")) == "Counted(name='a', ways=[])"
    assert hash(Counted("a")) == hash(Counted("b")) == hash(("geats",))
    assert Counted("a") != Counted("b")


def test_a_value_that_is_made_wrongly_is_told_of_by_its_class() -> None:
    with pytest.raises(TypeError, match=r"Counted.__init__\(\) missing 1 required .*: 'name'"):
        Counted()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'ways'"):
        Counted("a", ways=[])  # type: ignore[call-arg]


def test_a_value_in_itself_is_shown_once() -> None:
    kept = Counted("a")
    kept.ways.append(kept)  # type: ignore[arg-type]

    assert str(kept) == "Counted(name='a', ways=[...])"


def test_how_it_is_made_is_known_before_one_is() -> None:
    @dataclass(frozen=True, slots=True)
    class New:
        """Nobody has used it."""

        x: int
        y: str = "a"

    assert str(inspect.signature(New)) == "(x: int, y: str = 'a') -> None"


@pytest.mark.parametrize("name", ["x", "y"])
def test_no_field_is_changed(name: str) -> None:
    point = Point(1)

    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field {name!r}"):
        setattr(point, name, 2)
    with pytest.raises(FrozenInstanceError, match=f"field {name!r}"):
        delattr(point, name)
    assert point == Point(1)


def test_a_value_is_copied_and_pickled() -> None:
    named = Named(1, 2, "a")

    assert copy.deepcopy(named) == pickle.loads(pickle.dumps(named)) == copy.copy(named) == named
    assert dataclasses.replace(named, x=3) == Named(3, 2)


def test_what_is_not_frozen_or_has_no_slots_is_refused() -> None:
    with pytest.raises(TypeError, match="a value is frozen, and has slots"):
        dataclass(frozen=True, slots=False)
