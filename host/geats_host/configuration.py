"""Where a host's configuration comes from: a YAML file, or what Salt holds."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import yaml

from geats_core.parse import merge
from geats_host.errors import Refused

DEFAULT_FILE = Path("/etc/geats/geats.yaml")


def from_file(path: Path | None = None) -> object:
    """The mapping under ``geats`` of a YAML file; the default file need not be there."""
    file = path or DEFAULT_FILE
    try:
        raw: object = yaml.safe_load(file.read_bytes())
    except FileNotFoundError:
        if path is None:
            return {}
        raise Refused(f"{file}: does not exist") from None
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Refused(f"{file}: is not valid YAML: {yaml_problem(error)}") from None
    if raw is None:
        return {}
    if not isinstance(raw, Mapping) or set(raw) != {"geats"}:
        raise Refused(f"{file}: must hold one key, geats, and everything under it")
    return raw["geats"]


def from_salt(minion: object, pillar: object) -> object:
    """What a minion's configuration and pillar hold under ``geats``; else what the file does."""
    raw = merged(minion, pillar)
    return from_file() if raw is None else raw


def yaml_problem(error: Exception) -> str:
    """What is wrong, and where; not the line itself, which may be secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it cannot be read"
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"


def merged(*sources: object) -> object:
    """What *sources* say together, later ones winning; None where none of them says anything."""
    present = [source for source in sources if source]
    mappings: list[Mapping[object, object]] = [
        source for source in present if isinstance(source, Mapping)
    ]
    if len(mappings) < len(present):
        return next(source for source in present if not isinstance(source, Mapping))
    empty: dict[object, object] = {}
    return reduce(merge, mappings, empty) if mappings else None
