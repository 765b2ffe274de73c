"""One ``config`` of LXC, line by line: what goes to the VM, what stays, and what is left out."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from returns.result import Failure

from geats_core.containers.cgroups import BASIC, FILE, FILES
from geats_core.containers.hooks import HookKind, hook_of
from geats_core.containers.nics import WITH_OWN_MAC
from geats_core.containers.tmpfs import SAFE, tmpfs_of
from geats_core.foreign.lxc_isolation import NESTING, isolation_of
from geats_core.foreign.lxc_lines import (
    GONE,
    INCLUDE,
    ROOTFS,
    Line,
    OnHost,
    all_lines,
    own_lines,
    settled,
    tree_of,
    unread,
)
from geats_core.foreign.lxc_mounts import (
    ENTRY,
    Entry,
    bind_of,
    device_of,
    doubles,
    entry_of,
    entry_text,
    known_as,
    name_of,
    needs_leave,
)
from geats_core.foreign.lxc_nics import (
    GATEWAYS,
    NIC,
    NIC_NAMES,
    NICS,
    NO_KEY,
    OF_HOST,
    UNSETS,
    in_force,
    is_of_host,
    names_of,
    put,
    said,
    type_of,
    unset,
    with_modes,
    words_of,
    wrong_nics,
)
from geats_core.foreign.lxc_order import in_effect
from geats_core.foreign.lxc_programs import program_of
from geats_core.foreign.lxc_roots import MOUNT_IT, build_of, kind_of_root
from geats_core.foreign.lxc_values import (
    BESIDE,
    NO_LIMIT,
    PERIOD,
    QUOTA,
    SIMPLE,
    counterparts,
    cpus_of,
    of_cgroup2,
)
from geats_core.foreign.notes import Plain, Taken
from geats_core.foreign.settings import root_template
from geats_core.reading import fields
from geats_core.reading.paths import is_within
from geats_core.reading.shown_lines import shown_line
from geats_core.vm import idmap
from geats_core.vm.lxc_config import COMMON, USERNS
from geats_core.vm.lxc_config import UNSET as AGAIN
from geats_core.vm.spec import IdRange

Words: TypeAlias = Mapping[str, str]

WHOLE = re.compile("-?[0-9]{1,9}")
OF_GEATS = "geats writes what is needed"
NO_NIC = "a VM without NICs has a network of its own, with nothing in it"
IN_HOSTS = "has no effect in the network of the host"
UNSET = "unsets what came before"
OTHER_CGROUPS = "is for another version of cgroups, so it limits nothing here"
TAKEN_BACK = "a later line takes it back"
AS_ALL = "as geats mounts each: without setuid and devices, and where there is nothing yet"
VERSION = "lxc.hook.version"  # which no key says, and others need to be told as they are
NOT_RUN = ("lxc.hook.clone", "lxc.hook.destroy")
CLONE_HOOK = "/usr/share/lxc/hooks/clonehostname"  # of common.conf: geats writes the hostname
UNMANAGED = ("lxc.rootfs.managed", "0")
EPHEMERAL = ("lxc.ephemeral", "1")
ALLOWED = re.compile(r"lxc\.cgroup2?\.devices\.allow")
HOSTNAME = "lxc.uts.name"
OPTIONS, IDMAP = "lxc.rootfs.options", "lxc.idmap"
GROUP = "lxc.group"
PROFILE = "lxc.apparmor.profile"
TOO_MUCH = ("lxc.cgroup", "lxc.cgroup2", "lxc.mount")
USUAL = (("lxc.autodev", "1"), (PROFILE, "generated"), ("lxc.tty.max", "4"))
OF_32_BITS = ("x86", "i386", "i486", "i586", "i686", "athlon", "linux32", "arm", "mips", "ppc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What one ``config`` says. ``vm`` is as in a pillar, without template and volumes.

    ``keep`` are the lines that no key of geats says, ``root`` is the path of the root filesystem,
    and ``template`` the same if that can be the template of a new VM. If its files have the
    ids that the guest has on the host, ``build`` is the command that makes a template of it.
    ``sources`` are those of the binds. ``told`` is what will be otherwise though no line says so,
    and ``wrong`` what can be neither said nor kept, both by keys of LXC.
    """

    vm: Plain
    keep: tuple[str, ...]
    root: str
    template: str
    build: tuple[str, ...]
    sources: tuple[str, ...]
    told: tuple[tuple[str, str], ...]
    wrong: tuple[tuple[str, str], ...]


def container(
    taken: Taken, name: str, text: str, host: OnHost, *, in_place: bool = False
) -> Container:
    """What one ``config`` says; each line of it leaves a note in *taken*.

    If the container stays *in_place*, its lines can stay as well. So files and devices of the host
    are then no binds, which the host would have to allow.
    """
    own = settled([*own_lines(text)], host.standard, COMMON)
    reading = _Reading(taken, name, host, in_place, own)
    for line, its_lines in reading.groups:
        if line.key == INCLUDE:
            reading.note_include(line)
        for each in its_lines:
            reading.take(each)
    return reading.finished()


@dataclass(slots=True)
class _Reading:
    """One config, while its lines are taken.

    ``groups`` are its own lines, each with what it comes to: itself, or what it includes. ``last``
    is what counts of each key, and ``names`` are the interfaces, by their numbers.
    """

    taken: Taken
    name: str
    host: OnHost
    in_place: bool
    own: Sequence[Line]
    vm: Plain = field(default_factory=dict)
    nics: dict[str, Plain] = field(default_factory=dict)
    keep: list[str] = field(default_factory=list)
    template: str = ""
    build: tuple[str, ...] = ()
    sources: list[str] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    groups: list[tuple[Line, list[Line]]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    in_force: frozenset[int] = frozenset()
    last: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    entries: list[tuple[Line, Entry]] = field(default_factory=list)
    isolated: Mapping[int, str] = field(default_factory=dict)
    of_program: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.groups = [(line, [*all_lines([line], self.host.includes)]) for line in self.own]
        lines = self.lines = [each for _, its_lines in self.groups for each in its_lines]
        counting = in_force(lines)
        self.in_force = frozenset(map(id, counting))
        self.last = {line.key: line.value for line in counting}
        self.names = names_of(self.last)
        if is_of_host(self.last, self.names):
            self.vm["host_network"], self.names = True, {}
        if not self.last.get(IDMAP):
            self.vm["privileged"] = True
        elif (ranges := self._ranges(lines)) is not None:
            self.vm["idmap"] = idmap.to_plain(ranges)
        else:
            self.wrong.append((IDMAP, f"cannot be read: {self.last[IDMAP]!r}"))
        isolation, self.isolated = isolation_of(lines)
        self.vm |= isolation
        program, self.of_program = program_of(lines)
        self.vm |= program
        said = [line.value for line in self.own if line.key == INCLUDE and line.value]
        if not self._is_usual(said):
            self.vm["includes"] = said
        for line in lines:
            if line.key == ENTRY and not line.value:
                self._clear_mounts()
            elif line.key == ENTRY and (entry := entry_of(line.value, self._roots)) is not None:
                self.entries.append((line, entry))

    def note_include(self, line: Line) -> None:
        """Where an include of the config itself goes."""
        if "includes" not in self.vm or not line.value:
            self.taken.left(INCLUDE, "geats includes it by itself")
            return
        missing = unread([line], self.host.includes)
        why = f"what it sets is not known: {', '.join(missing)}: not found" if missing else ""
        self._went(line, "includes", why)

    def take(self, line: Line) -> None:
        """One line, own or included: into the VM, to those that stay, or nowhere."""
        key, value = line.pair
        if (to := self.of_program.get(id(line))) is not None:
            self._went(line, to) if to else self._left(line, TAKEN_BACK)
        elif found := NIC.fullmatch(key):
            self._nic(line, found[1], found[2])
        elif NICS.fullmatch(key) and not value:
            self._left(line, UNSET)
        elif key in SIMPLE and self._is_passed_over(key):
            self._passed_over(line, *SIMPLE[key])
        elif key in SIMPLE:
            self._simple(line, *SIMPLE[key])
        elif key == PERIOD:
            self._period(line)
        elif key.startswith("lxc.start."):
            self._start(line)
        elif key == GROUP:
            self._groups(line)
        elif not line.included or key == OPTIONS:
            self._own(line)

    def finished(self) -> Container:
        """All of it; with what geats writes though no key says it, as it was, said or not."""
        if self.in_place:
            if "apparmor" not in self.vm:
                self._keep_as_it_was(PROFILE, self.last.get(PROFILE, ""))
            if "privileged" not in self.vm and self.last.get(PROFILE) == "generated":
                self._keep_as_it_was(NESTING, self.last.get(NESTING) or "0")
            for at, number in enumerate(self.names):
                if self.last.get(f"lxc.net.{number}.flags", "") != "up":
                    self._keep_as_it_was(f"lxc.net.{at}.flags", "")
        self.wrong += wrong_nics(self.last, self.names)
        nics = [*with_modes({number: self.nics[number] for number in self.names})]
        vm = {**self.vm, "nics": nics} if nics else self.vm
        return Container(
            vm=vm,
            keep=tuple(self.keep),
            root=tree_of(self.last.get(ROOTFS, "")),
            template=self.template,
            build=self.build,
            sources=tuple(self.sources),
            told=tuple(self._otherwise()),
            wrong=tuple(self.wrong),
        )

    def _otherwise(self) -> Iterator[tuple[str, str]]:
        """What differs from then on though no line says it, by keys of LXC."""
        if not self.last.get(HOSTNAME):
            yield HOSTNAME, f"its hostname is {self.name}, as its config says none"
        for number, name in self.names.items():
            hwaddr = self.last.get(f"lxc.net.{number}.hwaddr", "")
            own = type_of(words_of(self.last, number)) in WITH_OWN_MAC
            if (own and not hwaddr) or "x" in hwaddr.lower():
                drawn = f"{name} has one MAC address, and no longer another after each start"
                yield f"lxc.net.{number}.hwaddr", drawn
            if not self.in_place and not self.last.get(f"lxc.net.{number}.flags"):
                yield f"lxc.net.{number}.flags", f"{name} is up, and was down until the guest acted"
        for key in NOT_RUN:
            if self.last.get(key, CLONE_HOOK) not in ("", CLONE_HOOK):
                yield key, f"nothing runs {key}"
        if self.last.get(UNMANAGED[0]) == UNMANAGED[1]:
            yield UNMANAGED[0], f"deprovision deletes its files in spite of {UNMANAGED[0]}"

    def _own(self, line: Line) -> None:
        key, value = line.pair
        if key == ROOTFS:
            self._rootfs(line)
        elif key == ENTRY:
            self._mount(line)
        elif key == IDMAP:
            self._went(line, "idmap")
        elif key in GONE:
            self._left(line, "has no effect since LXC 3")
        elif (to := self.isolated.get(id(line))) is not None:
            self._went(line, to) if to else self._left(line, TAKEN_BACK)
        elif ALLOWED.fullmatch(key) and not self.in_place and self._is_of_a_device(value):
            self._went(line, "devices", "each device has leave to be used")
        elif not self.in_place and (hook := hook_of(key, value)) and VERSION not in self.last:
            hooks = _mapping(self.vm.get("hooks"))
            there = hooks.get(hook[0])
            before = there if isinstance(there, list) else []
            self.vm["hooks"] = {**hooks, hook[0]: [*before, hook[1]]}
            why = "" if hook[0] == HookKind.START else "hook_directories must have it"
            self._went(line, f"hooks.{hook[0]}", why)
        elif (key, value) == (NESTING, "1") and not self.in_place:
            self.vm["nesting"] = True
            self._went(line, "nesting")
        elif (file := file_of(key)) and value and not self._is_passed_over(key):
            self._file(line, *file)
        elif key in TOO_MUCH and not value:
            self.wrong.append((key, "unsets all that geats writes: unset the single keys"))
            self._left(line, "unsets all that geats writes")
        elif (key, value) == (OPTIONS, "idmap=container") or (
            not self.in_place and is_usual(key, value)
        ):
            self._left(line, OF_GEATS)
        else:
            self._by_hand(line)

    def _by_hand(self, line: Line) -> None:
        """It stays, as far as it is still in effect if all that is included comes first."""
        if line.included:
            self._stays(line, NO_KEY)
            return
        at = next(at for at, each in enumerate(self.lines) if each is line)
        found = in_effect(line, self.lines[:at], self.lines[at + 1 :])
        match found:
            case Line():
                self._stays(found, NO_KEY)
            case None:
                self._left(line, "what is included after it has another, or unsets it")
            case _:
                self.wrong.append((line.key, found))
                self._left(line, found)

    def _nic(self, line: Line, number: str, key: str) -> None:
        """What it says of an interface, which is known by its place among them from now on."""
        if id(line) not in self.in_force:
            self._left(line, TAKEN_BACK)
            return
        if number not in self.names:
            self._no_nic(line, key)
            return
        at, word = [*self.names].index(number), NIC_NAMES.get(key, key)
        line = replace(line, key=f"lxc.net.{at}.{key}")
        self.keep = [each for each in self.keep if key_of(each) != line.key]  # the last one counts
        name = self.names[number]
        nic = self.nics.setdefault(number, {"name": name})
        to = f"nics[{at}]"
        if not line.value and word in UNSETS:
            unset(nic, word)
            nic.setdefault("name", name)
            self._left(line, UNSET)
            return
        if word in GATEWAYS:
            unset(nic, word)
        words = words_of(self.last, number)
        found = said(word, line.value, words, f"{self.name}/{name}")
        if found.key:
            put(nic, found.key, found.value)
            self._went(line, f"{to}.{found.key}", found.why)
        elif found.stays:
            self._stays(line, found.why)
        else:
            self._left(line, found.why)

    def _no_nic(self, line: Line, key: str) -> None:
        """A line of what is no interface."""
        if "host_network" not in self.vm:
            self._left(line, NO_NIC)
        elif (key, line.value) == ("type", OF_HOST):
            self._went(line, "host_network")
        else:
            self._left(line, IN_HOSTS)

    def _simple(self, line: Line, key: str, read: Callable[[str], object]) -> None:
        self.keep = [each for each in self.keep if key_of(each) != line.key]
        value = read(self._whole(line)) if line.value else None
        if value is not None:
            self.vm[key] = value
            self._went(line, key)
        elif not line.value or line.value.startswith(NO_LIMIT):
            self.vm.pop(key, None)
            self._left(line, OF_GEATS if line.value else UNSET)
        else:
            self.vm.pop(key, None)
            self._stays(line, NO_KEY)

    def _file(self, line: Line, key: str, file: str) -> None:
        """Another file of its cgroup: the last line for it counts."""
        self.vm[key] = {**_mapping(self.vm.get(key)), file: line.value}
        self._went(line, f"{key}.{file}")

    def _whole(self, line: Line) -> str:
        """Its value, with that of another key which says what it is of."""
        beside = BESIDE.get(line.key)
        return line.value if beside is None else f"{line.value} {self.last.get(beside, '')}"

    def _is_passed_over(self, key: str) -> bool:
        """Whether it is a limit for another version of cgroups than the host has."""
        meant = of_cgroup2(key)
        return None not in (meant, self.host.cgroup2) and meant is not self.host.cgroup2

    def _passed_over(self, line: Line, key: str, read: Callable[[str], object]) -> None:
        """It limits nothing here: a container that stays must not become another by it."""
        value = read(self._whole(line)) if line.value else None
        said_ = [self.last.get(each, "") for each in counterparts(line.key)]
        here = [read(each) for each in said_ if each]
        if value is not None and value in here:
            self._went(line, key)
        elif self.in_place:
            self._stays(line, OTHER_CGROUPS)
        elif here or value is None:
            self._left(line, OTHER_CGROUPS)
        else:
            self.vm[key] = value
            self._went(line, key, f"{OTHER_CGROUPS}, but in the new VM")

    def _period(self, line: Line) -> None:
        """What the quota is of: without one it says nothing, and stays."""
        quota = self.last.get(QUOTA, "")
        stays = self.in_place and self._is_passed_over(line.key)
        if quota and not stays and cpus_of(f"{quota} {line.value}") is not None:
            self._went(line, "cpus")
        else:
            self._by_hand(line)

    def _start(self, line: Line) -> None:
        """LXC starts the lowest order first, geats the highest priority."""
        word = line.key.removeprefix("lxc.start.")
        if word not in ("auto", "order", "delay") or not WHOLE.fullmatch(line.value):
            self._stays(line, NO_KEY)
            return
        said_: Mapping[str, Plain] = {
            "auto": {"enabled": line.value == "1"},
            "order": {"priority": -int(line.value)},
            "delay": {"delay": int(line.value)},
        }
        before = _mapping(self.vm.get("autostart"))
        self.vm["autostart"] = {"enabled": False, **before, **said_[word]}
        self._went(line, "autostart")

    def _groups(self, line: Line) -> None:
        """Names with commas between them, in a line or several; an empty one takes all away."""
        autostart: Plain = {"enabled": False, **_mapping(self.vm.get("autostart"))}
        named = [each.strip() for each in line.value.split(",") if each.strip()]
        if any(isinstance(fields.name("", each), Failure) for each in named):
            self._stays(line, "has a name that no group of geats can have")
            return
        had = autostart.pop("groups", [])
        if named:
            before = had if isinstance(had, list) else []
            autostart["groups"] = [*dict.fromkeys([*before, *named])]
        self.vm["autostart"] = autostart
        self._went(line, "autostart.groups")

    def _rootfs(self, line: Line) -> None:
        """The root filesystem becomes the template that the new one is copied from."""
        path = tree_of(line.value)
        ranges = idmap.from_plain(self.vm.get("idmap"))
        shifted = ranges and "idmap=container" not in self.last.get(OPTIONS, "")
        if not path.startswith("/"):
            self._left(line, f"{kind_of_root(line.value)}: {MOUNT_IT}")
        elif shifted:
            self.build = build_of(path, ranges)
            to = f"templates.{root_template(self.name)}.build"
            self.taken.went(line.said, to, "its files have ids of the host: a copy has the guest's")
        else:
            self.template = path
            why = "the new VM gets a copy: stop the old one before, and keep it until all is well"
            self.taken.went(line.said, f"templates.{root_template(self.name)}.path", why)

    def _mount(self, line: Line) -> None:
        """A bind, if one does the same; else it stays, with its target wherever the root is."""
        entry = next((entry for known, entry in self.entries if known is line), None)
        if entry is None or entry.target is None:
            self._left(line, UNSET if not line.value else "liblxc mounts nothing for it")
            return
        others = [other for known, other in self.entries if known is not line]
        at = next(at for at, (known, _) in enumerate(self.entries) if known is line)
        if any(known.included and entry.overlaps(o) for known, o in self.entries[at:]):
            self.wrong.append((ENTRY, f"{entry.target} is mounted before what is included there"))
        bind = bind_of(entry, others, self.host.kinds)
        if not self.in_place and (device := device_of(entry)) is not None:
            self._device(line, device)
            return
        if (tmpfs := self._tmpfs_of(entry, others)) is not None:
            self.vm["tmpfs"] = {**_mapping(self.vm.get("tmpfs")), **tmpfs}
            self._went(line, f"tmpfs.{entry.target}", "" if self.in_place else AS_ALL)
            return
        can_stay = self.in_place and any(entry.is_both_ways(other) for other in others)
        if bind is not None and not can_stay and not (self.in_place and needs_leave(bind)):
            binds = _mapping(self.vm.get("binds"))
            name = name_of(entry.target, binds)
            self.vm["binds"] = {**binds, name: bind}
            self.sources.append(f"{bind['source']}")
            self._went(line, f"binds.{name}")
        elif doubles(entry) and not self.in_place and "includes" not in self.vm:
            self._left(line, "LXC mounts it by itself")
        else:
            self._stays(replace(line, value=entry_text(line.value, self._roots)), NO_KEY)

    def _tmpfs_of(self, entry: Entry, others: Iterable[Entry]) -> Plain | None:
        """What a tmpfs becomes: where it stays in place, only what is just the same."""
        if (entry.source, entry.fstype) != ("tmpfs", "tmpfs") or entry.target is None:
            return None
        if any(entry.overlaps(other) for other in others):
            return None
        if self.in_place and not {*entry.options} >= {"create=dir", *SAFE}:
            return None
        made = tmpfs_of(entry.target, entry.options)
        return None if made is None else _mapping(made["tmpfs"])

    def _is_of_a_device(self, value: str) -> bool:
        """Whether a device of the VM is what the rule lets it use, by the numbers known of all."""
        found = [device_of(entry) for _, entry in self.entries]
        sources = [f"{device['source']}" for device in found if device is not None]
        known = known_as(value)
        return bool(known) and any(is_within(source, [known]) for source in sources)

    def _device(self, line: Line, device: Mapping[str, object]) -> None:
        devices = _mapping(self.vm.get("devices"))
        name = name_of(f"{device['source']}".removeprefix("/dev"), devices)
        self.vm["devices"] = {**devices, name: device}
        self._went(line, f"devices.{name}", "device_sources must have it")

    def _clear_mounts(self) -> None:
        """What was said before counts no more; but what is included cannot be taken back."""
        if any(line.included for line, _ in self.entries):
            self.wrong.append((ENTRY, "unsets mounts of what is included: include something else"))
        self.entries.clear()

    def _ranges(self, lines: Sequence[Line]) -> tuple[IdRange, ...] | None:
        """The ids of the guest; an empty line takes back what was said before."""
        values: list[str] = []
        for line in lines:
            if line.key == IDMAP:
                values = [*values, line.value] if line.value else []
        return idmap.from_lxc_values(values)

    @property
    def _roots(self) -> tuple[str, ...]:
        own = tree_of(self.last.get(ROOTFS, ""))
        return f"{self.taken.file.rpartition('/')[0]}/rootfs", own

    def _is_usual(self, said_: Sequence[str]) -> bool:
        """Whether the config includes what geats does: by name, or by what it comes to."""
        usual = [COMMON] if "privileged" in self.vm else [COMMON, USERNS]
        if said_ == usual:
            return True
        here, there = [[Line(INCLUDE, each, INCLUDE) for each in names] for names in (said_, usual)]
        known = not unread([*here, *there], self.host.includes)
        pairs = [
            [line.pair for line in all_lines(lines, self.host.includes)] for lines in (here, there)
        ]
        return bool(said_) and known and pairs[0] == pairs[1]

    def _keep_as_it_was(self, key: str, value: str) -> None:
        text = Line(key, value, key).text
        before = [line for line in self.keep if key_of(line) == key]
        if before[-1:] != [text]:
            self.keep.append(text)

    def _went(self, line: Line, to: str, why: str = "") -> None:
        """An included line is the business of its include, and is shown as such."""
        came = f"from the include {line.included}" if line.included else ""
        whole = "; ".join(each for each in (came, why) if each)
        self.taken.went(line.said, f"vms.{self.name}.{to}", whole)

    def _left(self, line: Line, why: str) -> None:
        if not line.included:
            self.taken.left(line.said, why)

    def _stays(self, line: Line, why: str) -> None:
        """It stays where it is; of what is included, only what geats unsets has to be repeated."""
        if not line.included or NIC.fullmatch(line.key) or f"{line.key} =" in AGAIN:
            self.keep.append(line.text)
            self.taken.left(line.said, _advice(line) if why == NO_KEY else why)


def _advice(line: Line) -> str:
    """What to do with a line that has no key; as it was written, it may be of LXC 2."""
    if (line.key, line.value) == EPHEMERAL:
        return "would have it destroyed once it is off"
    if line.key in NOT_RUN:
        return "geats runs no such hook"
    return (
        NO_KEY
        if line.said == line.key
        else NO_KEY.replace("it to", f"{shown_line(line.text)!r} to", 1)
    )


def file_of(key: str) -> tuple[str, str] | None:
    """The key of a VM for a file of its cgroup that has none of its own, and the file."""
    _, layout, file = (*key.split(".", 2), "", "")[:3]
    known = file in FILES or BASIC.fullmatch(file)
    is_one = layout in ("cgroup", "cgroup2") and FILE.fullmatch(file) and not known
    return (layout, file) if is_one else None


def key_of(text: str) -> str:
    """The key of a line as it stays."""
    return text.partition("=")[0].strip()


def is_usual(key: str, value: str) -> bool:
    """Whether every container that geats makes is so."""
    return (key, value) in USUAL or (key == "lxc.arch" and value not in OF_32_BITS)


def _mapping(there: object) -> Plain:
    return there if isinstance(there, dict) else {}
