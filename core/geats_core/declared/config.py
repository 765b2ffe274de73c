"""A host's configuration: pools, templates, profiles, paths and the VMs declared on it."""

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from returns.result import Failure, Success

from geats_core.declared.access import Access, parse_access
from geats_core.declared.policy import HostPolicy, parse_policy
from geats_core.declared.shared_pools import Shared, parse_shared
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, Problems, problem
from geats_core.reading.fields import Reader, each, named, of_mapping, one_of, printable
from geats_core.reading.mappings import Raw, shorthand
from geats_core.reading.schemas import Described, Schema, taking
from geats_core.reading.values import dataclass

if TYPE_CHECKING:
    from geats_core.declared.template import Template

DEEPEST_STACK = 8
VMS, GONE = "vms", "gone"
WHERE = frozenset({"state_dir", "run_dir", "registry", "lock", "drivers"})
APART = ("drivers", "pools", "templates", "profiles", VMS, GONE)  # each entry is of some VMs only
# A driver or a pool whose name is wrong may be what was meant to say where all VMs are.
WHERE_NAMED = ("drivers", "pools")
A_VM, A_PROFILE, A_LAYER = (
    {"$ref": f"#/definitions/{each}"} for each in ("vm", "profile", "layer")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin, and its options, as the plugin itself will parse them."""

    type: str
    options: Raw = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackLayer:
    """A named plugin and its options, as the plugin itself will parse them.

    Only the uppermost says whether, and how, the whole pool is ``shared`` with other hosts.
    """

    type: str
    options: Raw
    on: "StackLayer | None" = None
    shared: Shared | None = None


class Events(StrEnum):
    """Where an event is sent for each applied step, if a minion applies it."""

    NONE = "none"
    MINION = "minion"  # those who listen on the minion's own bus
    MASTER = "master"  # and on the master's


class Gone(StrEnum):
    """How to remove a VM: off, but everything stays; its definition deleted; or destroyed with its
    data."""

    STOPPED = "stopped"
    UNDEFINED = "undefined"
    DEPROVISIONED = "deprovisioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """The configuration of one host. VMs stay raw, so that a wrong one does not affect the others.

    ``gone`` are the VMs to remove from the host, by name, because a missing description removes
    nothing. ``wrong`` says why drivers, pools, templates, profiles and entries of ``gone`` are left
    out, by names such as ``pools.fast``; see also ``read_in_part``.
    """

    state_dir: str = "/var/lib/geats"
    run_dir: str = "/run/geats"
    registry: Plugin = Plugin(type="sqlite")
    lock: Plugin = Plugin(type="flock")
    bind_sources: tuple[str, ...] = ()
    device_sources: tuple[str, ...] = ()
    hook_directories: tuple[str, ...] = ()
    policy: HostPolicy = field(default_factory=HostPolicy)
    events: Events = Events.MINION
    agent: Access = field(default_factory=Access)
    drivers: Mapping[str, Plugin] = field(default_factory=dict)
    pools: Mapping[str, StackLayer] = field(default_factory=dict)
    templates: "Mapping[str, Template]" = field(default_factory=dict)
    profiles: Mapping[str, Raw] = field(default_factory=dict)
    vms: Mapping[str, object] = field(default_factory=dict)
    gone: Mapping[str, Gone] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> frozenset[str]:
        """The VMs that the configuration names, under ``vms`` or ``gone``."""
        return frozenset({*self.vms, *self.gone, *self.unclear})

    @property
    def unsound(self) -> tuple[str, ...]:
        """What is wrong with whole keys, that are left out: see ``read_in_part``."""
        return tuple(why for entry, why in self.wrong.items() if "." not in entry)

    @property
    def misnamed(self) -> Mapping[str, str]:
        """The entries of ``vms`` whose names are not allowed, if they can be shown, and why."""
        return self._wrong_of(VMS)

    @property
    def unclear(self) -> Mapping[str, str]:
        """The VMs for which it is not clear whether they should be removed, and why: they stay."""
        return self._wrong_of(GONE)

    def _wrong_of(self, which: str) -> dict[str, str]:
        split = {entry.partition("."): why for entry, why in self.wrong.items()}
        return {name: why for (key, _, name), why in split.items() if key == which and name}


def parse_config(raw: object) -> Checked[HostConfig]:
    """Read the mapping under ``geats``; report everything that is wrong with it at once."""
    if raw is None:
        return problem("", "is empty: leave the key out, or write {} for the defaults")
    return _config("", raw)


def read_config(raw: object) -> Checked[HostConfig]:
    """The same, without the entries that are wrong and concern some VMs only: see ``wrong``."""
    return _leaving_out(raw, partial(_wrong_entry, raw))


def read_in_part(raw: object) -> Checked[HostConfig]:
    """The same without the keys that are wrong, for callers that do not plan from it.

    Keys that say where VMs are must be right, and so must keys that look like a misspelling of one.
    """
    return _leaving_out(raw, lambda one: _wrong_entry(raw, one) or _wrong_key(one))


def _leaving_out(raw: object, part_of: Callable[[Problem], str]) -> Checked[HostConfig]:
    match parse_config(raw):
        case Failure(problems) if isinstance(raw, Mapping):
            wrong = _wrong_parts(problems, part_of)
            match parse_config(_without(raw, wrong)):
                case Success(config) if wrong:
                    return Success(replace(config, wrong=wrong))
                case _:
                    return Failure(problems)
        case checked:
            return checked


def _wrong_parts(problems: Problems, part_of: Callable[[Problem], str]) -> dict[str, str]:
    """What is wrong with each part that can be left out."""
    found: dict[str, list[str]] = {}
    for one in problems:
        if part := part_of(one):
            found.setdefault(part, []).append(f"geats.{one}")
    return {part: "; ".join(said) for part, said in found.items()}


def _wrong_entry(raw: object, one: Problem) -> str:
    """The entry that a problem is about; empty if it is about more."""
    key = one.path.partition(".")[0]
    entries = raw.get(key) if isinstance(raw, Mapping) and key in APART else None
    if not isinstance(entries, Mapping):
        return ""
    about = (each for each in map(printable, entries) if _is_about(one, f"{key}.{each}"))
    found = max(about, key=len, default="")  # one name may begin as another, with a dot after it
    if key in WHERE_NAMED and not fields.NAME.fullmatch(found):
        return ""
    return f"{key}.{found}" if found else ""


def _is_about(one: Problem, entry: str) -> bool:
    return one.path == entry or one.path.startswith((f"{entry}.", f"{entry}["))


def _wrong_key(one: Problem) -> str:
    """The key that a problem is about; empty if that says where VMs are, or tried to."""
    from difflib import get_close_matches  # only what is wrong needs it

    key = one.path.partition(".")[0].partition("[")[0]
    meant = get_close_matches(key, HostConfig.__dataclass_fields__, n=1)
    return "" if WHERE.intersection([key, *meant]) else key


def _without(raw: Raw, wrong: Mapping[str, str]) -> Raw:
    return {
        key: {name: said for name, said in given.items() if f"{key}.{printable(name)}" not in wrong}
        if key in APART and isinstance(given, Mapping)
        else given
        for key, given in raw.items()
        if printable(key) not in wrong
    }


def config_schema() -> Schema:
    """What ``parse_config`` accepts, as JSON Schema, without the definitions that it refers to."""
    return _config.schema()


@of_mapping
def _config(read: Reader) -> Checked[HostConfig]:
    default = HostConfig()
    config = HostConfig(
        state_dir=read.take("state_dir", fields.absolute_path, default.state_dir),
        run_dir=read.take("run_dir", fields.absolute_path, default.run_dir),
        registry=read.take("registry", _plugin, default.registry),
        lock=read.take("lock", _plugin, default.lock),
        bind_sources=read.take("bind_sources", each(fields.bind_source), ()),
        device_sources=read.take("device_sources", each(fields.bind_source), ()),
        hook_directories=read.take("hook_directories", each(fields.bind_source), ()),
        policy=read.take("policy", parse_policy, default.policy),
        events=read.take("events", one_of("kind of events", Events), default.events),
        agent=read.take("agent", parse_access, default.agent),
        drivers=_named_themselves(read.take("drivers", named(_driver), NO_DRIVERS)),
        pools=read.take("pools", named(layers(DEEPEST_STACK)), {}),
        templates=read.take("templates", named(Described(_template, _template_schema)), {}),
        profiles=read.take("profiles", named(_profile), {}),
        vms=read.take(VMS, named(_vm, fields.vm_name), {}),
        gone=read.take(GONE, named(one_of("way to be gone", Gone), fields.vm_name), {}),
    )
    read.problems += [
        Problem(
            read.at(f"{GONE}.{printable(name)}"),
            "is under vms as well: remove it from one of the two",
        )
        for name in _in_both(read.raw.get(VMS), read.raw.get(GONE))
    ]
    return read.done(config)


@of_mapping
def _driver(read: Reader) -> Checked[Plugin]:
    """One that says no type is of that which it is named after: see ``_named_themselves``."""
    options = read.rest("type")
    return read.done(Plugin(type=read.take("type", fields.name, ""), options=options))


def _named_themselves(drivers: Mapping[str, Plugin]) -> Mapping[str, Plugin]:
    return {name: replace(each, type=each.type or name) for name, each in drivers.items()}


@of_mapping
def _plugin_with_options(read: Reader) -> Checked[Plugin]:
    options = read.rest("type")
    return read.done(Plugin(type=read.need("type", fields.name, ""), options=options))


_plugin = shorthand(str, fields.name.schema(), "type", _plugin_with_options)
NO_DRIVERS: Mapping[str, Plugin] = {}


def _in_both(vms: object, gone: object) -> list[str]:
    if not (isinstance(vms, Mapping) and isinstance(gone, Mapping)):
        return []  # those that are wrong as a whole are told by their readers
    return [each for each in gone if isinstance(each, str) and each in vms]


def _template(path: str, raw: object) -> "Checked[Template]":
    from geats_core.declared.template import parse_template  # it takes long to load

    return parse_template(path, raw)


def _template_schema() -> Schema:
    from geats_core.declared.template import parse_template

    return parse_template.schema()


@taking(A_PROFILE)
def _profile(path: str, raw: object) -> Checked[Raw]:
    return fields.mapping(path, raw)


@taking(A_VM)
def _vm(_: str, raw: object) -> Checked[object]:
    return Success(raw)


def layers(at_most: int) -> Described[StackLayer]:
    """A stack of *at_most* so many layers: YAML's mappings may contain themselves."""

    @taking(A_LAYER)
    def next_layer(path: str, raw: object) -> Checked[StackLayer | None]:
        return layers(at_most - 1)(path, raw)

    @of_mapping
    def parse(read: Reader) -> Checked[StackLayer]:
        if not at_most:
            return problem(read.path, f"is more than {DEEPEST_STACK} layers deep")
        read.raw = _with_on(read.raw)
        is_top = at_most == DEEPEST_STACK
        options = read.rest("type", "on", *(["shared"] if is_top else []))
        below = read.take("on", next_layer, None)
        shared = read.take("shared", parse_shared, None) if is_top else None
        kind = read.need("type", fields.name, "")
        return read.done(StackLayer(type=kind, options=options, on=below, shared=shared))

    return parse


def _with_on(raw: Raw) -> Raw:
    """The same; for YAML 1.1 the key ``on`` is the boolean (https://yaml.org/type/bool.html)."""
    if "on" in raw:
        return raw
    return {"on" if key is True else key: value for key, value in raw.items()}
