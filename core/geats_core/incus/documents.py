"""Instances and profiles out of what ``incus`` prints as JSON or YAML, and what it exports.

Theory of operation
-------------------
A document is one instance or profile, or a list of them: ``incus list``, ``incus profile list``,
``incus config show``, an answer of the API, a preseed, or the ``index.yaml`` of an export. An
instance that does not say what its profiles come to needs these: each adds its ``config`` and its
``devices`` to those before, and the instance has the last word.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from geats_core.foreign.settings import text_of
from geats_core.reading.checked import Problem, Problems, shown
from geats_core.reading.fields import printable

Raw: TypeAlias = Mapping[object, object]
Words: TypeAlias = Mapping[str, str]

MOST = 10_000  # instances and profiles of one document
OF_INSTANCE = ("architecture", "profiles", "type", "expanded_config", "ephemeral", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance with its profiles: ``file`` is where it was said, for notes."""

    file: str
    name: str
    project: str
    is_container: bool
    ephemeral: bool
    description: str
    status: str
    config: Words
    devices: Mapping[str, Words]


@dataclass(slots=True)
class Documents:
    """What the documents hold; ``problems`` are those that hold something else."""

    instances: list[Instance] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_documents(documents: Mapping[str, tuple[str, object]]) -> Documents:
    """The instances of all *documents*: each is the name of who says none, and what was parsed."""
    made = Documents()
    found: list[tuple[str, str, Raw]] = []
    profiles: dict[str, Raw] = {}
    for file, (stem, raw) in documents.items():
        entries = [*_entries(raw)][: MOST + 1]
        if len(entries) > MOST:
            made.problems.append(Problem(file, f"must have at most {MOST} instances and profiles"))
            continue
        for entry in entries:
            if not isinstance(entry, Mapping) or not _is_ours(entry):
                what = f"must be an instance or a profile of Incus, got {shown(entry)}"
                made.problems.append(Problem(file, what))
            elif any(key in entry for key in OF_INSTANCE):
                found.append((file, text_of(entry.get("name")) or stem, entry))
            else:
                profiles[text_of(entry.get("name")) or stem] = entry
    for file, name, entry in found:
        made.problems += _lacking(file, name, entry, profiles)
        made.instances.append(_instance(file, name, entry, profiles))
    return made


def _entries(raw: object) -> Iterator[object]:
    """The instances and profiles of one document, out of whatever is around them."""
    match raw:
        case list():
            yield from raw
        case {"metadata": list() | dict() as answer} if not _is_ours(raw):  # of the API
            yield from _entries(answer)
        case {"config": {"instance": dict() as one} | {"container": dict() as one} as export}:
            yield one
            yield from _entries(export.get("profiles") or [])
        case {"profiles": [dict(), *_] as profiles}:  # a preseed
            yield from profiles
        case _:
            yield raw


def _is_ours(entry: object) -> bool:
    keys = ("config", "devices", "expanded_config")
    return isinstance(entry, Mapping) and any(isinstance(entry.get(k), Mapping) for k in keys)


def _instance(file: str, name: str, entry: Raw, profiles: Mapping[str, Raw]) -> Instance:
    layers = [*(profiles[each] for each in _profiles(entry) if each in profiles), entry]
    config: dict[str, str] = {}
    devices: dict[str, Words] = {}
    for layer in layers:
        config |= _words(layer.get("config"))
        devices |= _devices(layer.get("devices"))
    if isinstance(entry.get("expanded_config"), Mapping):
        config = {**_words(entry["expanded_config"])}
        devices = {**_devices(entry.get("expanded_devices"))}
    return Instance(
        file=f"{file}: {printable(name)}",
        name=name,
        project=text_of(entry.get("project")) or "default",
        is_container=text_of(entry.get("type")) in ("", "container"),
        ephemeral=entry.get("ephemeral") is True,
        description=text_of(entry.get("description")),
        status=text_of(entry.get("status")),
        config=config,
        devices={key: device for key, device in devices.items() if device.get("type") != "none"},
    )


def _lacking(file: str, name: str, entry: Raw, profiles: Mapping[str, Raw]) -> Problems:
    """The profiles that are needed and not there; who has a root has had them expanded."""
    is_whole = isinstance(entry.get("expanded_config"), Mapping) or any(
        device.get("path") == "/" for device in _devices(entry.get("devices")).values()
    )
    missing = [] if is_whole else [each for each in _profiles(entry) if each not in profiles]
    if not missing:
        return ()
    how = "give what 'incus profile list --format json' prints as well, or what --expanded shows"
    return (Problem(file, f"{printable(name)} has profiles that are missing: {how}"),)


def _profiles(entry: Raw) -> list[str]:
    names = entry.get("profiles")
    return [each for each in names if isinstance(each, str)] if isinstance(names, list) else []


def _devices(raw: object) -> dict[str, Words]:
    if not isinstance(raw, Mapping):
        return {}
    return {printable(text_of(key)): _words(device) for key, device in raw.items()}


def _words(raw: object) -> dict[str, str]:
    """Keys and values as Incus keeps them, as text: YAML may have made numbers of some."""
    if not isinstance(raw, Mapping):
        return {}
    return {printable(text_of(key)): text_of(value) for key, value in raw.items()}
