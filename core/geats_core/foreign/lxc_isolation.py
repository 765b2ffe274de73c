"""What a container's config says of its isolation: keys of a VM, where they say just the same.

With geats, all that is included comes first. So a key goes into the VM only if a line of the config
itself is the last word on it; where one could not say the same, all lines of that key stay.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from geats_core.containers.isolation import GENERATED, MANY, field_of, read_isolation
from geats_core.foreign.lxc_lines import Line
from geats_core.reading.fields import Reader
from geats_core.reading.mappings import merge
from geats_core.reading.schemas import NONE

AUTO = "lxc.mount.auto"
DROP, KEEP = "lxc.cap.drop", "lxc.cap.keep"
NESTING = "lxc.apparmor.allow_nesting"
SWITCHES = {"no_new_privileges": {"1": True, "0": False}, "keyring": {"1": True, "0": False}}


def isolation_of(lines: Sequence[Line]) -> tuple[dict[str, object], dict[int, str]]:
    """The keys of a VM that say what *lines* do; and where each line went, by its ``id``.

    That is empty for a line that a later one takes back.
    """
    said: dict[str, object] = {}
    went: dict[int, str] = {}
    keys = {line.key for line in lines}
    for key in dict.fromkeys(line.key for line in lines if not line.included):
        field = field_of(key)
        if not field or key.rpartition(".")[0] in keys:  # which unsets all of them
            continue
        found, mine = _single(lines, key, field)
        if key == AUTO:
            found, mine = _mounted(lines)
        elif key in (DROP, KEEP):
            found, mine = _capabilities(lines)
        if found is not None:
            said[field] = merge({field: said.get(field)}, {field: found})[field]
        went |= mine
    return said, went


def _single(lines: Sequence[Line], key: str, field: str) -> tuple[object | None, Mapping[int, str]]:
    """What a key of one value says: the last line counts."""
    own = [line for line in lines if line.key == key and not line.included]
    last = next(line for line in reversed(lines) if line.key == key)
    back = {id(line): "" for line in own if line is not last}
    if last.included:
        return None, back
    value: object = last.value
    for prefix in MANY:
        if key.startswith(prefix):
            value = {key.removeprefix(prefix): last.value}
    if field in SWITCHES:
        value = SWITCHES[field].get(last.value)
    if field == "seccomp":
        value = value or NONE
    if value == GENERATED:  # as geats has it for all
        return None, back
    return (value, {**back, id(last): field}) if _is_read(field, value) else (None, back)


def _is_read(field: str, value: object) -> bool:
    read = Reader("", {field: value})
    read_isolation(read)
    return not read.problems


def _mounted(lines: Sequence[Line]) -> tuple[object | None, Mapping[int, str]]:
    """All that liblxc mounts by itself, which words add to; of two for one kind the last counts."""
    value, included = [*_modes(lines)], [*_modes(line for line in lines if line.included)]
    if value == included or not _is_read("mount_auto", value):
        return None, {}
    return value, _all_own(lines, AUTO)


def _modes(lines: Iterable[Line]) -> Iterator[str]:
    found: dict[str, str] = {}
    for line in lines:
        if line.key == AUTO:
            words = {w.partition(":")[0].removesuffix("-full"): w for w in line.value.split()}
            found = {**found, **words} if line.value else {}
    yield from found.values()


def _capabilities(lines: Sequence[Line]) -> tuple[object | None, Mapping[int, str]]:
    """Those that are dropped besides what is included; or those that alone are kept."""
    dropped, kept = [*_listed(lines, DROP)], [*_listed(lines, KEEP)]
    included = [line for line in lines if line.included]
    base = [*_listed(included, DROP)]
    added = [word for word in _own_words(lines, DROP) if word not in base]
    value: object = None
    if kept and not dropped:
        value = {"keep": kept}
    elif added and not [*kept, *_listed(included, KEEP)] and {*added, *base} == {*dropped}:
        value = {"drop": added}
    if value is None or not _is_read("capabilities", value):
        return None, {}
    return value, _all_own(lines, DROP) | _all_own(lines, KEEP)


def _listed(lines: Sequence[Line], key: str) -> Iterator[str]:
    """The words of a key that adds to a list; a line without a value empties it."""
    found: list[str] = []
    for line in lines:
        if line.key == key:
            found = [*found, *line.value.split()] if line.value else []
    yield from dict.fromkeys(found)


def _own_words(lines: Sequence[Line], key: str) -> Iterator[str]:
    for line in lines:
        if line.key == key and not line.included:
            yield from line.value.split()


def _all_own(lines: Sequence[Line], key: str) -> dict[int, str]:
    return {id(line): field_of(key) for line in lines if line.key == key and not line.included}
