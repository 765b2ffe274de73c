"""Law 9, *true*, for old containers: adopted as it is, a container is what it was, line by line.

``meaning`` says what liblxc comes to for the lines of a config, whoever wrote them; it knows
nothing of geats, and geats nothing of it. What cannot be the same is refused, before anything is
written.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure

from geats_core import HostFacts, Observation, parse_vm
from geats_core.adopting.container_adoption import RootSeen, as_found, plan_adopt, read_found
from geats_core.foreign.lxc_import import import_lxc
from geats_core.foreign.lxc_lines import Includes, OnHost, all_lines, own_lines
from geats_core.vm.by_hand import winning
from geats_core.vm.lxc_config import COMMON, USERNS, LxcFacts, render_lxc_config

ROOT_ONLY = parse_vm("web", {"template": "t"}).unwrap()
TREE, FILE = "/lxc/web/rootfs", "/lxc/web/config"
SITE, MORE = "/etc/lxc/site.conf", "/etc/lxc/more.d/"
DIRECTORIES = {"/srv": True, "/srv/a": True, "/etc/hosts": False, "/data": True}
NET = "lxc.net.0.type = veth\nlxc.net.0.link = br0"
SECOND = "lxc.net.2.type = veth\nlxc.net.2.link = br2"
ENTRIES = (
    "/srv srv none bind,create=dir 0 0",
    "/srv/a srv/a none rbind,create=dir",
    "/srv mnt/a.b none bind,ro,create=dir,optional",
    "/srv mnt/a-b none bind",
    f"/data {TREE}/data/ none rbind,optional,create=dir 0 0",
    "/data /outside none bind",
    "/data data none bind,rslave,create=dir",
    "/etc/hosts etc/hosts none bind,ro 0 0",
    "/dev/fuse dev/fuse none bind,optional,create=file",
    "tmpfs srv tmpfs rw,nodev,mode=755 0 0",
    "proc proc proc nodev 0 0",
    "/data my\\040data none bind,create=dir",
    "/gone gone none bind,optional",
)
LINES = (
    *(f"lxc.mount.entry = {entry}" for entry in ENTRIES),
    *(f"lxc.include = {path}" for path in (COMMON, SITE, MORE)),
    *(f"lxc.net.0.{word}" for word in ("mtu = 1400", "flags = up", "flags =", "name = lan")),
    *(f"lxc.net.0.ipv4.address = {each}" for each in ("10.0.0.2/24 10.0.0.255", "10.0.0.9", "")),
    *(
        f"lxc.net.0.{word}"
        for word in (
            "ipv4.gateway = auto",
            "ipv4.gateway = 10.0.0.1",
            "veth.pair = fw0",
            "ipv6.address =",
        )
    ),
    "lxc.net.0.hwaddr = 00:16:3E:00:00:01",
    "lxc.net.0.type = veth",
    "lxc.net.0.type = empty",
    "lxc.net.2.name = eth0",
    "lxc.net.2.mtu = 1300",
    "lxc.net.2 =",
    "lxc.net =",
    "lxc.net.0.ipv6.address = fd00::2",
    'lxc.uts.name = "web"',
    "lxc.uts.name =",
    "lxc.cap.drop = sys_time sys_boot",
    "lxc.cap.drop =",
    "lxc.environment = A=1",
    "lxc.environment = ' B=2'",
    "lxc.environment =",
    "lxc.mount.auto = proc:rw sys:rw",
    "lxc.mount.auto =",
    "lxc.mount.entry =",
    "lxc.cgroup2.memory.max = 512M",
    "lxc.cgroup2.memory.max = max",
    "lxc.cgroup2.cpu.max = 50000 100000",
    "lxc.cgroup2.pids.max =",
    "lxc.cgroup2.devices.allow = c 10:200 rwm",
    "lxc.cgroup2.devices.allow =",
    "lxc.apparmor.profile = unconfined",
    "lxc.apparmor.profile =",
    "lxc.signal.halt = SIGUSR1",
    "lxc.signal.halt = SIGINT",
    "lxc.tty.max = 2",
    "lxc.start.auto = 1",
    "lxc.kmsg = 0",
    "lxc.aa_profile = old",
    "lxc.limit.nofile = 100",
    "lxc.hook.start = /bin/true",
    "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"
    "lxc.rootfs.options = idmap=container",
    "# lxc.cap.drop = all",
)
included = st.lists(st.sampled_from([*LINES, NET, SECOND]), max_size=4).map("\n".join)


@dataclass
class Meaning:
    """What a container is by its config, as plain values."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    auto: dict[str, str] = field(default_factory=dict)
    nets: dict[int, dict[str, list[str]]] = field(default_factory=dict)
    mounts: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)


LISTS = re.compile(r"lxc\.(cap\..*|environment|hook\..*|idmap|cgroup2?\.devices\..*)")
NETS = re.compile(r"lxc\.net\.([0-9]+)\.(.+)")
IGNORED = re.compile(r"lxc\.(start\..*|group|include|rootfs\.path|kmsg)")  # not of the guest
PREFIXES = {"10.0.0.9": "10.0.0.9/8", "fd00::2": "fd00::2/64"}  # as liblxc has them
LIMITS = {
    "lxc.cgroup.memory.limit_in_bytes": "memory",
    "lxc.cgroup2.memory.max": "memory",
    "lxc.cgroup.cpu.cfs_quota_us": "cpus",
    "lxc.cgroup2.cpu.max": "cpus",
    "lxc.cgroup.pids.max": "processes",
    "lxc.cgroup2.pids.max": "processes",
}


def meaning(text: str, includes: Includes) -> Meaning:
    made = Meaning()
    for key, value in (line.pair for line in all_lines([*own_lines(text)], includes)):
        if net := NETS.fullmatch(key):
            _net(made.nets.setdefault(int(net[1]), {}), net[2], value)
        elif key == "lxc.net":
            made.nets.clear()
        elif key.startswith("lxc.net."):
            made.nets.pop(int(key.removeprefix("lxc.net.")), None)
        elif key == "lxc.mount.entry":
            _mount(made.mounts, value)
        elif key == "lxc.mount.auto":
            made.auto = {**made.auto, **{w.partition(":")[0]: w for w in value.split()}}
            made.auto = made.auto if value else {}
        elif LISTS.fullmatch(key):
            words = value.split() if key.startswith("lxc.cap.") else [value]
            before = made.lists.get(key, [])
            made.lists[key] = [*(w for w in before if w not in words), *words] if value else []
        elif key in LIMITS:
            made.values.pop(LIMITS[key], None)
            if value and not value.startswith("max"):
                made.values[LIMITS[key]] = value.split()[0].replace("512M", f"{512 << 20}")
        elif not IGNORED.fullmatch(key):
            made.values.pop(key, None)
            made.values |= {key: value} if value else {}
    made.nets = dict(enumerate(_made(made.nets)))
    return made


def _made(nets: Mapping[int, dict[str, list[str]]]) -> Iterator[dict[str, list[str]]]:
    """The interfaces of the guest as liblxc makes them: each of no name is called by the kernel."""
    taken: set[str] = set()
    for _, net in sorted(nets.items()):
        if net.get("type", ["empty"]) != ["empty"]:
            free = next(f"eth{at}" for at in range(9) if f"eth{at}" not in taken)
            net["name"] = net.get("name") or [free]
            taken.add(net["name"][0])
            yield net


def _net(net: dict[str, list[str]], word: str, value: str) -> None:
    if word == "type":
        net.clear()
    several = word.endswith("address")
    if several and value:
        value = value.split()[0]  # then comes the broadcast, which is that of the prefix
    value = PREFIXES.get(value, value.lower() if word == "hwaddr" else value)
    before = net.get(word, []) if several else []
    net[word] = [*before, value] if value else []


def _mount(mounts: list[tuple[str, str, tuple[str, ...]]], value: str) -> None:
    if not value:
        mounts.clear()
        return
    source, target, fstype, options = value.split()[:4]
    target = target.removeprefix(TREE).strip("/") if target.startswith(TREE) else target
    if not target.startswith("/"):
        words = {*options.split(","), fstype} - {"rw", "create=dir"}
        mounts.append((source, target, tuple(sorted(words))))


def same(old: Meaning, new: Meaning) -> Mapping[str, object]:
    """What is not the same in *new*."""
    found: dict[str, object] = {}
    for number, net in [*new.nets.items()]:
        was = old.nets.get(number, {})
        drawn = [word for word in ("hwaddr", "veth.pair") if not was.get(word)]
        new.nets[number] = {word: each for word, each in net.items() if word not in drawn}
    if old.auto != new.auto:
        found["auto"] = (old.auto, new.auto)
    for part in ("lists", "nets"):
        one, other = _said(getattr(old, part)), _said(getattr(new, part))
        if one != other:
            found[part] = (one, other)
    if not old.values.get("lxc.uts.name"):  # a VM has a hostname in any case
        new.values.pop("lxc.uts.name", None)
    if old.values != new.values:
        found["values"] = (old.values, new.values)
    if sorted(old.mounts) != sorted(new.mounts):
        found["mounts"] = (old.mounts, new.mounts)
    elif _order(old.mounts) != _order(new.mounts):
        found["order"] = (old.mounts, new.mounts)
    return found


def _said(part: Mapping[Any, Any]) -> dict[object, object]:
    """Without what is empty; of each of these lists, the order does not matter to the guest."""
    found: dict[object, object] = {}
    for key, value in part.items():
        said = _said(value) if isinstance(value, dict) else sorted(value)
        found |= {key: said} if said else {}
    return found


def _order(mounts: list[tuple[str, str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    """Of each two of which one is mounted in the other, which comes first."""
    return sorted(
        (str(one), str(other))
        for at, one in enumerate(mounts)
        for other in mounts[at + 1 :]
        if f"{one[1]}/".startswith(f"{other[1]}/") or f"{other[1]}/".startswith(f"{one[1]}/")
    )


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, Includes]:
    """A config, and what there is to include."""
    files: Includes = {
        COMMON: (
            (COMMON, "lxc.tty.max = 4\nlxc.cap.drop = sys_time\nlxc.mount.auto = proc:mixed"),
        ),
        USERNS: ((USERNS, "lxc.cap.drop =\n"),),
        SITE: ((SITE, draw(included)),),
        MORE: (("a.conf", draw(included)), ("b.conf", draw(included))),
    }
    lines = draw(st.lists(st.sampled_from([*LINES, NET, SECOND]), max_size=12))
    return "\n".join([*lines, f"lxc.rootfs.path = dir:{TREE}"]), files


@settings(max_examples=300, deadline=None)
@given(configs())
def test_an_old_container_that_is_adopted_as_it_is_stays_what_it_was(
    case: tuple[str, Includes],
) -> None:
    text, includes = case
    found = read_found("web", FILE, text, OnHost(includes=includes, kinds=DIRECTORIES))
    if isinstance(found, Failure):
        event(f"refused: {found.failure()[0].path}")
        return
    said = found.unwrap()
    spec = as_found(said, ROOT_ONLY).value_or(None)
    if spec is None:
        event("refused: as a VM")
        return
    written = render_lxc_config(spec, LxcFacts(volume_paths={"root": TREE}), said.kept(spec))
    assert same(meaning(text, includes), meaning(written, includes)) == {}, written
    event("adopted")


DESCRIBED: tuple[dict[str, object], ...] = (
    {},
    {"memory": "64MiB"},
    {"hostname": "other"},
    {"init": "openrc", "cpus": 2},
    {"processes": 7},
)
OF_VALUES = {
    "memory": "memory",
    "cpus": "cpus",
    "processes": "processes",
    "lxc.uts.name": "hostname",
    "lxc.signal.halt": "init",
}


def of_values(made: Meaning) -> dict[str, str]:
    """What is in effect of each key of the spec that is one value."""
    return {key: made.values.get(word, "") for word, key in OF_VALUES.items()}


@settings(max_examples=300, deadline=None)
@given(configs(), st.sampled_from(DESCRIBED))
def test_an_adoption_with_a_description_changes_what_the_plan_says_and_nothing_else(
    case: tuple[str, Includes], described: dict[str, object]
) -> None:
    """What the description has is in effect, or a kept line wins over it, which is told as well."""
    text, includes = case
    read = read_found("web", FILE, text, OnHost(includes=includes, kinds=DIRECTORIES))
    if isinstance(read, Failure):
        event("refused")
        return
    found = read.unwrap()
    parsed = parse_vm("web", {**found.vm, "template": "t", **described})
    if isinstance(parsed, Failure):
        event("refused: as a VM")
        return
    want = parsed.unwrap()
    root = RootSeen(owner=0, volume=TREE, others={})
    made = plan_adopt(found, want, root, Observation(foreign=True), HostFacts(), {})
    if isinstance(made, Failure):
        event(f"refused: {made.failure()[0].path}")
        return
    plan = made.unwrap()
    changed = {change.field for change in plan.changes} | {key for _, key in plan.wins}
    written = render_lxc_config(want, LxcFacts(volume_paths={"root": TREE}), plan.by_hand)
    was, now = of_values(meaning(text, includes)), of_values(meaning(written, includes))
    told = {key for key in was if was[key] != now[key]} - {"hostname"} | {
        key for key in ("hostname",) if was[key] not in ("", now[key])
    }
    assert told <= changed, written
    plainly = of_values(meaning(render_lxc_config(want, LxcFacts(volume_paths={"root": TREE})), {}))
    beaten = {key for key in now if plainly[key] and now[key] != plainly[key]}
    assert beaten <= {key for _, key in plan.wins}, written
    event("adopted")


WON = (
    "lxc.uts.name = other",
    "lxc.uts.name = web",
    "lxc.uts.name =",
    "lxc.cgroup2.memory.max = 512M",
    "lxc.cgroup2.memory.max = 67108864",
    "lxc.cgroup2.pids.max = max",
    "lxc.cgroup2.pids.max = 7",
    "lxc.cgroup2.cpu.max = 100000 100000",
    "lxc.signal.halt = SIGTERM",
    "lxc.signal.halt = SIGINT",
    "lxc.environment = A=1",
    f"lxc.include = {SITE}",
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(DESCRIBED), st.lists(st.sampled_from(WON), max_size=3))
def test_a_line_by_hand_is_told_as_winning_exactly_if_it_does(
    described: dict[str, object], lines: list[str]
) -> None:
    want = parse_vm("web", {"template": "t", **described}).unwrap()
    files: Includes = {SITE: ((SITE, "lxc.uts.name = site\nlxc.cgroup2.memory.max = 1M"),)}
    facts = LxcFacts(volume_paths={"root": TREE})
    plainly = of_values(meaning(render_lxc_config(want, facts), files))
    now = of_values(meaning(render_lxc_config(want, facts, lines), files))
    beaten = {key for key in now if plainly[key] and now[key] != plainly[key]}
    event(", ".join(sorted(beaten)))
    told = {key for _, key in winning(lines, want)}
    assert beaten <= told
    last = {line.split(" =")[0]: line for line in lines}  # of several for one key, the last counts
    assert {key for _, key in winning(last.values(), want)} <= beaten


SAID_AS = {"memory": "lxc.cgroup2.memory.max", "cpus": "lxc.cgroup2.cpu.max"} | {
    "processes": "lxc.cgroup2.pids.max"
}
OF_EVERY_VM = {"lxc.apparmor.profile", "lxc.uts.name"}  # geats says them where nobody does


def _bare_mounts(made: Meaning) -> list[tuple[str, str, tuple[str, ...]]]:
    """Whether a file that is mounted on is made first is all the same, once it is there."""
    return [
        (one, two, tuple(w for w in words if w != "create=file")) for one, two, words in made.mounts
    ]


def lost(old: Meaning, new: Meaning) -> Iterator[str]:
    """The keys of a config by which *new* is not as *old*; those of all interfaces are one."""
    for part in ("values", "lists"):
        one, other = _said(getattr(old, part)), _said(getattr(new, part))
        for key in map(str, {*one, *other}):
            if one.get(key) != other.get(key) and (key in one or key not in OF_EVERY_VM):
                yield SAID_AS.get(key, key)
    if old.auto != new.auto:
        yield "lxc.mount.auto"
    was, now = _bare_mounts(old), _bare_mounts(new)
    if sorted(was) != sorted(now) or _order(was) != _order(now):
        yield "lxc.mount.entry"
    for number in {*old.nets, *new.nets}:
        one, other = _said(old.nets.get(number, {})), _said(new.nets.get(number, {}))
        drawn = {"hwaddr", "veth.pair"} if one else set()
        for word in {*one, *other}:
            if one.get(word) != other.get(word) and (one.get(word) or word not in drawn):
                yield f"lxc.net.{word}"


@settings(max_examples=300, deadline=None)
@given(configs(), st.sampled_from(DESCRIBED))
def test_an_import_with_a_description_loses_nothing_without_a_word(
    case: tuple[str, Includes], described: dict[str, object]
) -> None:
    """What the new VM is not as the old container was is left out with a note, or described."""
    text, includes = case
    made = import_lxc({FILE: ("web", text)}, OnHost(includes=includes, kinds=DIRECTORIES))
    if made.problems:
        event("still wrong")
        return
    vms = made.geats["vms"]
    assert isinstance(vms, dict)
    (vm,) = vms.values()
    parsed = parse_vm("web", {**vm, **described})
    if isinstance(parsed, Failure):
        event("refused: as a VM")
        return
    want = parsed.unwrap()
    written = render_lxc_config(want, LxcFacts(volume_paths={"root": TREE}))
    left = [note for note in made.notes if note.to is None or note.why]
    newer = (each for note in left for each in re.findall(r"'(lxc\.\S+) = ", note.why))
    said = {*newer, *(note.key for note in left)}
    told = {re.sub(r"^lxc\.net\.[0-9]+", "lxc.net", key) for key in said}
    asked = {word for word, key in OF_VALUES.items() if key in described}
    missing = set(lost(meaning(text, includes), meaning(written, includes)))
    assert missing - told <= {SAID_AS.get(word, word) for word in asked}, (written, made.notes)
    event("told" if missing else "all of it")
