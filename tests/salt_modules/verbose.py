"""Functions of geats as programs call them: all of the answer, not in brief."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Verbose(Mapping[str, Callable[..., Any]]):
    """Salt's loader, whose functions get ``verbose=True`` if they know it and nobody says else.

    ``brief`` is the loader itself.
    """

    def __init__(self, loader: Any) -> None:
        self.brief = loader

    def __getitem__(self, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = self.brief[name]
        if "verbose" not in inspect.signature(function).parameters:
            return function
        return lambda *given, **named: function(*given, **{"verbose": True, **named})

    def __iter__(self) -> Iterator[str]:
        return iter(self.brief)

    def __len__(self) -> int:
        return len(self.brief)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.brief, name)
