"""Containers and profiles out of files of Salt 3006: pillars, minions' options, states, cloud maps.

Theory of operation
-------------------
Profiles are under ``lxc.container_profile`` and ``lxc.network_profile`` (or ``lxc.profile`` and
``lxc.nic``), as one mapping or as a key each, such as ``lxc.network_profile.web``. Containers are
states, as files have them or as ``state.show_sls`` prints them, and maps of salt-cloud with the
profiles that these name. What comes later has the last word: a container's own arguments, then
those of its profile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from geats_core.automation.arguments import is_rendered
from geats_core.foreign.settings import text_of
from geats_core.reading.checked import Problem
from geats_core.reading.mappings import merge

Raw: TypeAlias = Mapping[object, object]

CONTAINERS = ("lxc.profile", "lxc.container_profile")
NETWORKS = ("lxc.nic", "lxc.network_profile")
STATES = ("present", "running", "stopped", "frozen", "absent")
SHOW = "'salt-call state.show_sls SLS --out=yaml' shows it in full"
AROUND = ("local", "pillar", "cloud.profiles", "cloud.maps")  # what may be around all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was said of one container, in *file*: its arguments, and the function, if a state."""

    file: str
    name: str
    arguments: Raw
    function: str = ""


@dataclass(slots=True)
class Documents:
    """What all files hold; ``networks`` are profiles of NICs by their names."""

    containers: list[Said] = field(default_factory=list)
    profiles: dict[str, Raw] = field(default_factory=dict)
    networks: dict[str, Raw] = field(default_factory=dict)
    clouds: dict[str, Raw] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_documents(documents: Mapping[str, object]) -> Documents:
    """All that is said in *documents* of containers, and each that says nothing of any."""
    made = Documents()
    wholes: list[tuple[str, Raw]] = []
    for file, raw in documents.items():
        if not isinstance(raw, Mapping):
            made.problems.append(Problem(file, "must be a mapping, as pillars and states are"))
        elif not is_rendered(raw):
            made.problems.append(Problem(file, f"needs rendering, as it has variables: {SHOW}"))
        else:
            wholes += [(file, each) for each in _unwrapped(raw)]
    for _, raw in wholes:
        _add_profiles(made, raw)
    for file, raw in wholes:
        made.containers += _states(file, raw)
        made.containers += _maps(file, raw, made.clouds)
    for file in dict.fromkeys(file for file, _ in wholes):
        own = [raw for of, raw in wholes if of == file]
        if not any(_is_of_lxc(raw, made.clouds) for raw in own):
            made.problems.append(Problem(file, "says nothing of containers of LXC"))
    return made


def _unwrapped(raw: Raw) -> Iterator[Raw]:
    inner = [each for key in AROUND if isinstance(each := raw.get(key), Mapping)]
    yield raw
    for each in inner:
        yield from _unwrapped(each) if each is not raw else ()


def _add_profiles(made: Documents, raw: Raw) -> None:
    for keys, into in ((CONTAINERS, made.profiles), (NETWORKS, made.networks)):
        for key in keys:
            into |= _by_name(raw.get(key))
            for dotted, each in raw.items():
                name = text_of(dotted).removeprefix(f"{key}.")
                if name != text_of(dotted) and isinstance(each, Mapping):
                    into[name] = each
    made.clouds |= {name: each for name, each in _by_name(raw).items() if _is_cloud(each)}


def _by_name(raw: object) -> dict[str, Raw]:
    if not isinstance(raw, Mapping):
        return {}
    return {text_of(key): each for key, each in raw.items() if isinstance(each, Mapping)}


def _is_cloud(raw: Raw) -> bool:
    return "provider" in raw and any(
        key in raw for key in ("lxc_profile", "profile", "network_profile", "minion", "backing")
    )


def _states(file: str, raw: Raw) -> Iterator[Said]:
    """Each state of ``lxc``: its arguments are a list of mappings, and its function one of them."""
    for ident, states in _by_name(raw).items():
        for key, listed in states.items():
            module, _, function = text_of(key).partition(".")
            items = listed if isinstance(listed, list) else []
            if module != "lxc":
                continue
            functions = [function, *(each for each in items if isinstance(each, str))]
            arguments: Raw = {}
            for each in items:
                arguments = merge(arguments, each) if isinstance(each, Mapping) else arguments
            called = next((each for each in functions if each in STATES), "")
            if called:
                name = text_of(arguments.get("name")) or ident
                yield Said(file=file, name=name, arguments=arguments, function=called)


def _maps(file: str, raw: Raw, clouds: Mapping[str, Raw]) -> Iterator[Said]:
    """Containers of a map of salt-cloud: names below a profile, perhaps with arguments."""
    for profile, listed in raw.items():
        base = clouds.get(text_of(profile))
        if base is None or not isinstance(listed, list):
            continue
        for each in listed:
            if isinstance(each, Mapping):
                for name, own in _by_name(each).items():
                    yield Said(file=file, name=name, arguments=merge(base, own))
            elif text_of(each):
                yield Said(file=file, name=text_of(each), arguments=base)


def _is_of_lxc(raw: Raw, clouds: Mapping[str, Raw]) -> bool:
    keys = [text_of(key) for key in raw]
    profiles = any(key.startswith((*CONTAINERS, *NETWORKS)) for key in keys)
    found = any(key in clouds for key in keys) or any(True for _ in _states("", raw))
    return profiles or found
