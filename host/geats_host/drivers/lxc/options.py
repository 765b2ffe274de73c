"""The options of the driver of containers: where they are, which Python, which ids."""

import os
from collections.abc import Mapping
from pathlib import Path

from returns.result import Failure, Success

from geats_core.reading import fields
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader
from geats_core.reading.values import dataclass
from geats_host.drivers import options as driver_options
from geats_host.drivers.options import AUTO
from geats_host.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where containers are, and how long liblxc may take; ``settle_s`` is how long is "a moment".

    ``idmap`` is the first id and the number of ids of unprivileged guests; None is root's own
    range in /etc/subuid and /etc/subgid. ``python`` is the one whose binding is used, and what is
    found of it is remembered in ``state_dir``: see ``binding``.
    """

    path: Path
    state_dir: Path
    python: str = AUTO
    timeout_s: int = 30
    settle_s: float = 1.0
    idmap: tuple[int, int] | None = None


def read_options(options: Mapping[object, object], state_dir: Path) -> Options:
    """Options from path, python, timeout and settle (seconds), idmap_first, idmap_count."""
    read = Reader("", options)
    path = read.take("path", fields.absolute_path, str(state_dir / "lxc"))
    first = read.take("idmap_first", fields.positive_int, 0)
    count = read.take("idmap_count", fields.positive_int, 65_536 if first else 0)
    if count and not first:
        read.problems.append(Problem(read.at("idmap_first"), "is missing"))
    if os.path.normpath(path) != path:
        read.problems.append(Problem(read.at("path"), f"must be a plain path, got {path!r}"))
    checked = read.done(
        Options(
            path=Path(path),
            state_dir=state_dir,
            python=read.take("python", driver_options.python, AUTO),
            timeout_s=read.take("timeout", fields.positive_int, 30),
            settle_s=read.take("settle", driver_options.seconds, 1.0),
            idmap=(first, count) if first else None,
        )
    )
    match checked:
        case Success(parsed):
            return parsed
        case Failure(problems):
            raise Refused(*problems)
