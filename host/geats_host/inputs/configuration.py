"""Where a host's configuration comes from: a YAML file, or what Salt holds."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import TypeAlias

from geats_core.reading.checked import Problem, shown
from geats_core.reading.mappings import merge
from geats_host.errors import Refused
from geats_host.inputs.yaml_text import WrongYaml, read_yaml

Words: TypeAlias = Mapping[str, object]

DEFAULT_FILE = Path("/etc/geats/geats.yaml")
SAYS_NOTHING = "says nothing under geats: describe this host there, or leave the key out; got"
NOWHERE = (
    "geats: is neither in the pillar nor in the minion's configuration: describe this host in one "
    f"of them; or say geats: {DEFAULT_FILE} in the minion's configuration, to have it in that file"
)
MEND = "nothing is planned or changed until this is corrected; then run saltutil.refresh_pillar"


def from_file(path: Path | None = None) -> object:
    """The mapping under ``geats`` of a YAML file; the default file need not be there."""
    file = path or DEFAULT_FILE
    try:
        raw = read_yaml(file.read_bytes())
    except FileNotFoundError:
        if path is None:
            return {}
        raise Refused(f"{file}: does not exist") from None
    except PermissionError:
        raise Refused(f"{file}: permission denied: only root can read it: try sudo") from None
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    except WrongYaml as error:
        raise Refused(f"{file}: is not valid YAML: {error}") from None
    if raw is None:
        raise Refused(f"{file}: is empty: write geats: {{}} for the defaults")
    if not isinstance(raw, Mapping) or set(raw) != {"geats"}:
        raise Refused(f"{file}: must have one key, geats, with everything under it")
    return raw["geats"]


def from_salt(opts: Words, pillar: Words) -> object:
    """What a minion's configuration (in *opts*) and its pillar have under ``geats``.

    If the minion's configuration has a path, that file is read. Without a master, the default file
    is read if neither has ``geats``. Raises ``Refused`` if Salt could not render all of the pillar,
    because it is not known what is missing; if one of them has ``geats`` with nothing under it; and
    if there is a master and neither has it, because the pillar may have lost it.
    """
    wrong = failed(pillar)
    if wrong:
        raise Refused(*wrong, MEND)
    if "geats" not in opts and "geats" not in pillar and _has_master(opts):
        raise Refused(NOWHERE)
    return as_rendered(opts, pillar)


def as_rendered(opts: Words, pillar: Words) -> object:
    """The same for a pillar that may be incomplete, for callers that only look.

    If it failed to render and has no ``geats``, no other source is used.
    """
    places = {"the minion's configuration": opts, "pillar": pillar}
    # get(): what Salt's own mappings give for [] may be a copy
    said = {place: source.get("geats") for place, source in places.items() if "geats" in source}
    if isinstance(file := opts.get("geats"), str):
        said["the minion's configuration"] = from_file(Path(file))
    full = {place: each for place, each in said.items() if isinstance(each, Mapping) and each}
    if full.keys() < said.keys():
        empty = sorted(said.keys() - full.keys())
        raise Refused(*(Problem(place, f"{SAYS_NOTHING} {shown(said[place])}") for place in empty))
    if "geats" not in pillar and failed(pillar):
        raise Refused(*failed(pillar), MEND)
    return merged(*full.values()) if full else from_file()


def _has_master(opts: Words) -> bool:
    """Whether the pillar is made by a master, as Salt decides that."""
    if opts.get("file_client") == "local":
        return bool(opts.get("use_master_when_local"))
    return opts.get("master_type") != "disable"


def failed(pillar: Words) -> tuple[Problem, ...]:
    """What went wrong when Salt rendered the pillar; empty if it is whole."""
    errors = pillar.get("_errors", ())
    listed = errors if isinstance(errors, list | tuple) else [errors]
    return tuple(Problem("pillar", f"failed to render: {each}") for each in listed)


def merged(*sources: Mapping[object, object]) -> Mapping[object, object]:
    """What *sources* say together, later ones winning."""
    empty: dict[object, object] = {}
    return reduce(merge, sources, empty)
