"""Devices of the host that a container may open: their keys, and their lines of LXC.

A device is a node below ``/dev``, or a directory of such nodes, that is mounted into the guest. To
open it the guest also needs leave of its cgroup: by number, which the host finds out. Privileged
guests may open nothing else (``common.conf``). Any other may open all that is in its ``/dev``, as
it cannot make nodes itself; of that is only taken what ``access`` lacks.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import Reader, named, of_mapping
from geats_core.reading.mappings import shorthand
from geats_core.reading.schemas import taking, text_matching
from geats_core.reading.values import dataclass

ALL = "rwm"  # to read, to write, to make the node: see cgroups v1, devices
OF_ALL = frozenset(
    {"c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 5:0", "c 5:1", "c 5:2", "c 10:229"}
)
ACCESS = re.compile("(?=.)r?w?m?")
BELOW = "/dev/"
PATH = re.compile(r"/dev(/[A-Za-z0-9_:][A-Za-z0-9_.:@+-]*)+")
# What LXC makes or mounts in each guest's /dev: see lxc.container.conf(5), lxc.autodev.
OWN = frozenset({"console", "full", "null", "ptmx", "pts", "random", "tty", "urandom", "zero"})
EVERY = "a"  # all devices, in a rule
OPPOSITE = {"devices.allow": "devices.deny", "devices.deny": "devices.allow"}
NOTHING_SEEN: Mapping[str, "Nodes"] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of the host, ``source``, that is at ``mount`` in the guest.

    ``access`` is some of ``rwm``. If it is ``optional``, and not there, the guest starts without.
    """

    name: str
    source: str
    mount: str
    access: str = ALL
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Nodes:
    """What a source is on the host: the numbers of its nodes, such as ``c 10:200``."""

    numbers: tuple[str, ...]
    is_directory: bool = False


@taking(text_matching(ACCESS.pattern, "some of the letters rwm"))
def _access(path: str, raw: object) -> Checked[str]:
    letters = "".join(sorted(raw, key=ALL.find)) if isinstance(raw, str) else ""
    if ACCESS.fullmatch(letters):
        return fields.text(path, letters)
    return problem(path, f"must be some of the letters rwm, got {shown(raw)}")


_path = fields.matching(PATH, "a path below /dev such as /dev/net/tun")


@of_mapping
def _device(read: Reader) -> Checked[Device]:
    source = read.need("source", _path, "")
    return read.done(
        Device(
            name="",
            source=source,
            mount=read.take("mount", _path, source),
            access=read.take("access", _access, ALL),
            optional=read.take("optional", fields.boolean, False),
        )
    )


_devices = named(shorthand(str, _path.schema(), "source", _device))
NONE: Mapping[str, Device] = {}


def read_devices(read: Reader, others: Mapping[str, str]) -> tuple[Device, ...]:
    """Take ``devices``; problems are kept in *read*. *others* are other mounts, by their paths."""
    given = read.take("devices", _devices, NONE)
    devices = tuple(replace(given[name], name=name) for name in sorted(given))
    mounts = {**others, **{f"devices.{each.name}.mount": each.mount for each in devices}}
    for device in devices:
        own = f"devices.{device.name}.mount"
        for path, mount in mounts.items():
            if path != own and f"{device.mount}/".startswith(f"{mount}/"):
                message = f"{device.mount!r} is within what {path.rpartition('.')[0]} mounts"
                read.problems.append(Problem(own, message))
    return devices


def stand_ins(devices: Iterable[Device]) -> Iterable[Problem]:
    """Devices in the place of those that each guest has."""
    for each in devices:
        if each.mount != each.source and each.mount.removeprefix(BELOW) in OWN:
            why = f"each guest has its own {each.mount}, which {each.source} would be instead of"
            yield Problem(f"devices.{each.name}.mount", why)


def devices_to_plain(devices: Iterable[Device]) -> dict[str, object]:
    """As people write it, without what is usual; nothing if there is none."""
    plain: dict[str, object] = {
        device.name: {
            "source": device.source,
            **({} if device.mount == device.source else {"mount": device.mount}),
            **({} if device.access == ALL else {"access": device.access}),
            **({"optional": True} if device.optional else {}),
        }
        for device in devices
    }
    return {"devices": plain} if plain else {}


def device_lines(
    devices: Iterable[Device], seen: Mapping[str, Nodes], *, denied: bool
) -> Iterable[str]:
    """The lines of them; *seen* is what each is, by name, and *denied* as of ``device_rules``."""
    for version in ("cgroup", "cgroup2"):
        for key, value in device_rules(devices, seen, denied=denied, cgroup2=version == "cgroup2"):
            yield f"lxc.{version}.{key} = {value}"
    for device in devices:
        made = seen.get(device.name, Nodes(())).is_directory
        options = f"bind,create={'dir' if made else 'file'}{',optional' if device.optional else ''}"
        yield f"lxc.mount.entry = {device.source} {device.mount[1:]} none {options} 0 0"


def device_rules(
    devices: Iterable[Device], seen: Mapping[str, Nodes], *, denied: bool, cgroup2: bool
) -> Iterable[tuple[str, str]]:
    """What the cgroup of a guest is told, to which all other devices are *denied*, or none is.

    With cgroup v2, the first rule of liblxc denies all others, unless all are allowed before.
    """
    lacking = [(d, without(d.access)) for d in devices if without(d.access) and not denied]
    if lacking and cgroup2:
        yield "devices.allow", EVERY
    for device, letters in lacking:
        for number in seen.get(device.name, Nodes(())).numbers:
            yield "devices.deny", f"{number} {letters}"
    for device in devices if denied else ():
        for number in seen.get(device.name, Nodes(())).numbers:
            if number not in OF_ALL:  # which common.conf allows anyway
                yield "devices.allow", f"{number} {device.access}"


def rule_changes(
    was: Collection[tuple[str, str]], now: Collection[tuple[str, str]]
) -> Iterable[tuple[str, str]]:
    """What the cgroup of a guest is told that has the rules of before, so that it has those of now.

    Two devices may have one number: what goes with one of them is said again for the other.
    """
    gone = [(key, value) for key, value in was if (key, value) not in now and value != EVERY]
    touched = {value.rpartition(" ")[0] for _, value in gone}
    yield from ((OPPOSITE[key], value) for key, value in gone)
    for key, value in now:
        if (key, value) not in was or (value != EVERY and value.rpartition(" ")[0] in touched):
            yield key, value


def without(access: str) -> str:
    """The letters that it lacks. To make a node is nothing that an unprivileged guest could."""
    return "".join(letter for letter in "rw" if letter not in access)


def device_differences(old: Collection[Device], new: Collection[Device]) -> Iterable[str]:
    """What is done to bring a guest from these to those devices, in words."""
    had, has = ({device.name: device for device in each} for each in (old, new))
    for name, device in has.items():
        if name not in had:
            yield f"attach device {name}"
        elif device != had[name]:
            yield f"change device {name}"
    yield from (f"detach device {name}" for name in had if name not in has)


def device_warnings(devices: Iterable[Device]) -> Iterable[tuple[str, str]]:
    """What each opens."""
    for device in devices:
        yield f"devices.{device.name}", f"the guest can use {device.source} of the host"
