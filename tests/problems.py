"""Problems as people read them."""

from collections.abc import Iterable, Mapping

from geats_core.reading.checked import problem_from_plain


def in_words(found: Mapping[str, Iterable[object]]) -> dict[str, list[str]]:
    """The lines of each name's problems."""
    return {name: list(map(str, each)) for name, each in found.items()}


def lines(plain: Iterable[Mapping[str, str]]) -> list[str]:
    """The lines of problems in plain data."""
    return [str(problem_from_plain(each)) for each in plain]
