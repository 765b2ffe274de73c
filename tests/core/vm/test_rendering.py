"""What is written to the host and into the guest: as text, to the letter."""

import re
import shlex
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure

from geats_core import Problem, VMSpec, parse_vm, to_plain
from geats_core.vm.guest_files import guest_digest, guest_files
from geats_core.vm.lxc_config import (
    BY_HAND,
    LxcConfig,
    LxcFacts,
    cgroup_items,
    live_items,
    read_lxc_config,
    render_lxc_config,
    spec_line,
    spec_of_lxc_config,
    unwritable,
    veth_name,
)
from geats_core.vm.spec import Limits
from tests.property.strategies import lxc_facts, specs

RAW: dict[object, object] = {
    "template": "debian",
    "memory": "1GiB",
    "cpus": 1.5,
    "processes": 100,
    "volumes": [
        {"name": "root"},
        {"name": "data", "mount": "/srv/data"},
        {"name": "docs", "mount": "/srv/docs", "read_only": True},
    ],
    "nics": [
        {"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01", "addresses": ["fd00::2/64"]},
        {
            "name": "eth1",
            "bridge": "br1",
            "mac": "02:00:00:00:00:02",
            "addresses": ["fd00:1::2/64", "10.0.0.2/24", "10.0.0.3/24"],
            "gateways": ["fd00:1::1", "10.0.0.1"],
        },
    ],
}
BINDS = {
    "media": {"source": "/srv/a \\#b", "mount": "/srv/data/media"},
    "up": {"source": "/srv/up", "mount": "/mnt", "read_only": False},
}
FACTS = LxcFacts(volume_paths={"root": "/p/web/root", "data": "/p/a b", "docs": "/p/d\\\t"})


def read_alike(line: str) -> str:
    """Equal for lines that liblxc reads alike."""
    return re.sub("[ \t]*=[ \t]*", "=", line.strip(" \t"), count=1)


def web(**changed: object) -> VMSpec:
    return parse_vm("web", RAW | changed).unwrap()


def test_what_a_bind_is_of_is_in_its_line() -> None:
    kinds: dict[str, dict[str, object]] = {
        "a": {"recursive": True, "read_only": False},
        "b": {"optional": True, "file": True},
    }
    kinds |= {
        "c": {"recursive": True, "read_only": False, "propagation": "slave"},
        "d": {"read_only": False, "propagation": "slave"},
    }
    binds = {
        key: {"source": f"/srv/{key}", "mount": f"/{key}", **kind} for key, kind in kinds.items()
    }
    lines = render_lxc_config(web(binds=binds), FACTS).splitlines()
    assert "lxc.mount.entry = /srv/a a none rbind,rw,create=dir 0 0" in lines
    assert "lxc.mount.entry = /srv/c c none rbind,rw,create=dir,rslave 0 0" in lines
    assert "lxc.mount.entry = /srv/d d none bind,rw,create=dir,slave 0 0" in lines
    assert parse_vm("web", to_plain(web(binds=binds))).unwrap() == web(binds=binds)
    assert "lxc.mount.entry = /srv/b b none bind,ro,create=file,optional 0 0" in lines


def test_volumes_of_others_are_mounted_as_the_own_ones_are() -> None:
    spec = web(
        volumes=[{"name": "root"}],
        shared_volumes={
            "films": {"vm": "nas", "mount": "/srv/films"},
            "up": {"vm": "nas", "mount": "/srv/up", "read_only": False},
        },
    )
    paths = {"root": "/p/web/root", "films": "/p/nas/films", "up": "/p/nas/up"}
    text = render_lxc_config(spec, LxcFacts(volume_paths=paths, shifted=frozenset({"up"})))
    assert [line for line in text.splitlines() if line.startswith("lxc.mount.entry")] == [
        "lxc.mount.entry = /p/nas/films srv/films none bind,ro,create=dir,idmap=container 0 0",
        "lxc.mount.entry = /p/nas/up srv/up none bind,rw,create=dir 0 0",
    ]


def test_an_lxc_config_says_all_of_a_spec() -> None:
    spec = web(binds=BINDS)

    # 12 hexadecimal digits for a sum, title, format, spec and each of the 37 lines below
    wrote = render_lxc_config(spec, FACTS).split("# geats-wrote: ")[1].split("\n")[0]
    assert re.fullmatch("[0-9a-f]{12}( [0-9a-f]{12}){39}", wrote)
    assert render_lxc_config(spec, FACTS) == (
        "# Written by geats. Lines added by hand stay; what geats wrote, it writes again.\n"
        "# geats-format: 1\n"
        f"{spec_line(spec)}\n"
        f"# geats-wrote: {wrote}\n"
        "lxc.include = /usr/share/lxc/config/common.conf\n"
        "lxc.include = /usr/share/lxc/config/userns.conf\n"
        "lxc.idmap = u 0 100000 65536\n"
        "lxc.idmap = g 0 100000 65536\n"
        "lxc.uts.name = web\n"
        "lxc.apparmor.profile = unconfined\n"
        "lxc.rootfs.path = dir:/p/web/root\n"
        "lxc.rootfs.options = idmap=container\n"
        "lxc.mount.entry = /srv/up mnt none bind,rw,create=dir 0 0\n"
        "lxc.mount.entry = /p/a\\040b srv/data none bind,rw,create=dir,idmap=container 0 0\n"
        "lxc.mount.entry = /srv/a\\040\\134#b srv/data/media none bind,ro,create=dir 0 0\n"
        "lxc.mount.entry = /p/d\\134\\011 srv/docs none bind,ro,create=dir,idmap=container 0 0\n"
        "lxc.net.0.type = veth\n"
        "lxc.net.0.link = br0\n"
        "lxc.net.0.flags = up\n"
        "lxc.net.0.name = eth0\n"
        "lxc.net.0.hwaddr = 02:00:00:00:00:01\n"
        f"lxc.net.0.veth.pair = {veth_name('web', 0)}\n"
        "lxc.net.0.ipv6.address = fd00::2/64\n"
        "lxc.net.1.type = veth\n"
        "lxc.net.1.link = br1\n"
        "lxc.net.1.flags = up\n"
        "lxc.net.1.name = eth1\n"
        "lxc.net.1.hwaddr = 02:00:00:00:00:02\n"
        f"lxc.net.1.veth.pair = {veth_name('web', 1)}\n"
        "lxc.net.1.ipv6.address = fd00:1::2/64\n"
        "lxc.net.1.ipv4.address = 10.0.0.2/24 10.0.0.255\n"
        "lxc.net.1.ipv4.address = 10.0.0.3/24 10.0.0.255\n"
        "lxc.net.1.ipv6.gateway = fd00:1::1\n"
        "lxc.net.1.ipv4.gateway = 10.0.0.1\n"
        "lxc.cgroup.memory.limit_in_bytes = 1073741824\n"
        "lxc.cgroup2.memory.max = 1073741824\n"
        "lxc.cgroup.cpu.cfs_quota_us = 150000\n"
        "lxc.cgroup2.cpu.max = 150000 100000\n"
        "lxc.cgroup.pids.max = 100\n"
        "lxc.cgroup2.pids.max = 100\n"
    )


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("10.88.0.78/24", "10.88.0.78/24 10.88.0.255"),
        ("10.1.2.3/8", "10.1.2.3/8 10.255.255.255"),
        ("10.0.0.5/30", "10.0.0.5/30 10.0.0.7"),
        ("10.0.0.4/31", "10.0.0.4/31 0.0.0.0"),
        ("10.0.0.4/32", "10.0.0.4/32 0.0.0.0"),
    ],
)
def test_an_ipv4_address_is_written_with_its_broadcast(address: str, written: str) -> None:
    """liblxc 5 makes a wrong one of an address without; two hosts, or one, have none."""
    spec = web(nics=[{"name": "eth0", "bridge": "br0", "addresses": [address]}])
    assert f"lxc.net.0.ipv4.address = {written}\n" in render_lxc_config(spec, FACTS)


def test_a_privileged_container_has_no_id_map() -> None:
    spec = web(
        privileged=True, init="busybox", nics=[], memory="none", cpus="none", processes="none"
    )
    facts = LxcFacts(volume_paths=FACTS.volume_paths, apparmor=True)

    assert render_lxc_config(spec, facts).splitlines()[4:] == [
        "lxc.include = /usr/share/lxc/config/common.conf",
        "lxc.uts.name = web",
        "lxc.signal.halt = SIGUSR1",
        "lxc.apparmor.profile = generated",
        "lxc.rootfs.path = dir:/p/web/root",
        "lxc.mount.entry = /p/a\\040b srv/data none bind,rw,create=dir 0 0",
        "lxc.mount.entry = /p/d\\134\\011 srv/docs none bind,ro,create=dir 0 0",
    ]


@pytest.mark.parametrize(
    ("privileged", "apparmor", "nests"),
    [(False, True, True), (True, True, False), (False, False, False)],
)
def test_services_of_systemd_may_mount_where_root_of_the_guest_is_nobody_on_the_host(
    privileged: bool, apparmor: bool, nests: bool
) -> None:
    facts = replace(FACTS, apparmor=apparmor)
    text = render_lxc_config(web(privileged=privileged), facts)
    assert ("lxc.apparmor.allow_nesting = 1\n" in text) is nests


def test_the_ids_of_a_volume_that_is_shifted_already_are_not_mapped_again() -> None:
    told = render_lxc_config(web(), FACTS).splitlines()
    facts = replace(FACTS, shifted=frozenset({"root", "docs"}))

    assert set(told[4:]) - set(render_lxc_config(web(), facts).splitlines()) == {
        "lxc.rootfs.options = idmap=container",
        "lxc.mount.entry = /p/d\\134\\011 srv/docs none bind,ro,create=dir,idmap=container 0 0",
    }


@pytest.mark.parametrize("text", ["", "lxc.uts.name = x\n"])
def test_a_config_by_another_hand_is_no_spec(text: str) -> None:
    problem = Problem("config", "was not written by geats")

    assert spec_of_lxc_config(text) == Failure((problem,))


@pytest.mark.parametrize("held", ["", "web", "web {", "web " + "[" * 100_000])
def test_a_spec_line_that_was_cut_or_made_up_is_no_spec(held: str) -> None:
    problem = Problem("", "must be JSON")

    assert spec_of_lxc_config(f"# geats-spec: {held}") == Failure((problem,))


hand_lines = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffd")
    | st.just("\t")
).map(lambda text: f"lxc.{text}") | st.sampled_from(
    [
        "lxc.environment = A=B",
        "lxc.net.0.flags = up",
        "  lxc.uts.name=x",
        "# why: ticket 12",
        BY_HAND,
        "not a key\u2028at all",
    ]
)
keeps = st.lists(hand_lines, max_size=4).map(tuple)


@given(specs, lxc_facts, keeps)
def test_a_config_is_read_back_with_the_lines_that_were_kept(
    spec: VMSpec, facts: LxcFacts, keep: tuple[str, ...]
) -> None:
    text = render_lxc_config(spec, facts, keep)

    assert unwritable(keep) == ()
    assert read_lxc_config(text, spec.name) == LxcConfig(spec=spec, by_hand=keep)


@given(st.data(), specs, lxc_facts, keeps)
def test_lines_inserted_anywhere_are_those_added_by_hand(
    data: st.DataObject, spec: VMSpec, facts: LxcFacts, keep: tuple[str, ...]
) -> None:
    """Also a copy of a line of geats: then one of the two is by hand, and both read alike."""
    lines = render_lxc_config(spec, facts, keep).split("\n")
    place = st.integers(0, len(lines) - 1)
    inserted = data.draw(st.lists(hand_lines | st.sampled_from(lines[4:-1]), max_size=3))
    for line in inserted:
        lines.insert(data.draw(place), line)
    lines.insert(data.draw(place), "")
    read = read_lxc_config("\n".join(lines), spec.name)

    assert read.spec == spec
    assert Counter(map(read_alike, read.by_hand)) == Counter(map(read_alike, [*inserted, *keep]))
    assert [line for line in read.by_hand if line in keep and line not in inserted] == [
        line for line in keep if line not in inserted
    ]


@given(st.data(), specs, lxc_facts, keeps)
def test_a_line_of_geats_that_was_removed_or_changed_is_missed(
    data: st.DataObject, spec: VMSpec, facts: LxcFacts, keep: tuple[str, ...]
) -> None:
    """What else was added by hand is known as long as the list of lines is there."""
    lines = render_lxc_config(spec, facts, keep).removesuffix("\n").split("\n")
    count = len(lines) - len(keep)
    position = data.draw(st.integers(0, count - 1))
    removed = lines.pop(position)
    edited = data.draw(st.sampled_from(["", f"{removed}x"]))
    lines.insert(position, edited)
    read = read_lxc_config("\n".join(lines), spec.name)

    if removed in keep:
        assert read.spec == spec  # the line by hand stands in for it
        return
    assert (read.spec, read.foreign) == (None, False)
    if edited.startswith("# geats-format"):
        assert read.unreadable
    elif not removed.startswith("# geats-wrote"):
        added = () if removed.startswith("# geats-") else tuple(filter(None, [edited]))
        assert sorted(read.by_hand) == sorted((*added, *keep))
    else:
        assert read.by_hand == ()


def test_a_config_of_a_newer_geats_is_known_to_be_of_geats_and_nothing_else_of_it_is() -> None:
    text = render_lxc_config(web(), FACTS, ("lxc.environment = X=1",))
    why = "was written by a newer geats (format 2, and this one knows 1)"
    newer = text.replace("# geats-format: 1", "# geats-format: 2")
    assert read_lxc_config(newer, "web") == LxcConfig(unreadable=why)
    odd = text.replace("# geats-format: 1", "# geats-format: soon")
    assert "never used: 'soon'" in read_lxc_config(odd, "web").unreadable


def test_a_config_says_where_it_has_each_volume_and_the_last_line_counts() -> None:
    text = render_lxc_config(web(), FACTS)
    assert read_lxc_config(text, "web").places == FACTS.volume_paths
    by_hand = "lxc.rootfs.path=/elsewhere\nlxc.mount.entry = /x\ty\nlxc.mount.entry\n"
    assert read_lxc_config(text + by_hand, "web").places == {
        **FACTS.volume_paths,
        "root": "/elsewhere",
    }
    moved = "lxc.mount.entry = /a\\040b\\011c\\134d srv/data none bind 0 0\n"
    assert read_lxc_config(text + moved, "web").places["data"] == "/a b\tc\\d"


def test_blanks_around_a_key_and_its_value_change_nothing() -> None:
    text = render_lxc_config(web(), FACTS).replace("\nlxc", "\n\t lxc").replace(" = ", " \t=")

    assert read_lxc_config(text, "web") == LxcConfig(spec=web())


WEB = render_lxc_config(web(), FACTS)
NEWER = render_lxc_config(replace(web(), template="not yet a name"), FACTS)
EQUAL = render_lxc_config(web(metadata={"A": "x=y"}), FACTS)
FORGED = "# geats-spec: web {}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LxcConfig(foreign=True)),
        ("lxc.uts.name = web\n", LxcConfig(foreign=True)),
        (
            render_lxc_config(web(), FACTS).replace("spec: web ", "spec: db "),
            LxcConfig(foreign=True),
        ),
        ("# geats-spec: web {", LxcConfig()),
        (f"{FORGED}lxc.uts.name = web\n# geats-sha256: 0\n", LxcConfig()),
        (FORGED + WEB, LxcConfig(spec=web())),
        (
            FORGED + render_lxc_config(replace(web(), name="db"), FACTS),
            LxcConfig(),
        ),
        ("# geats-wrote: 0 0\nlxc.a = b", LxcConfig()),
        (NEWER, LxcConfig()),
        (EQUAL.replace("x=y", "x =y"), LxcConfig()),
        (
            WEB.replace("options = idmap=container", "options = idmap =container"),
            LxcConfig(by_hand=("lxc.rootfs.options = idmap =container",)),
        ),
    ],
    ids=[
        "empty",
        "foreign",
        "copied",
        "cut",
        "old",
        "forged",
        "mixed",
        "bad sum",
        "newer",
        "spec",
        "value",
    ],
)
def test_a_config_is_told_by_its_head(text: str, expected: LxcConfig) -> None:
    assert read_lxc_config(text, "web") == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        " \t",
        "a\nb",
        "a\r",
        "a\0",
        "\x1b[2J",
        "\x7f",
        "\x9b",
        chr(0xD800),
        "\ufffd",
        FORGED[:-1],
    ],
)
def test_a_line_that_would_not_be_read_back_is_named(line: str) -> None:
    assert unwritable(["lxc.a =\tb", line]) == (line,)


def test_limits_lifted_while_it_runs_are_written_as_unlimited() -> None:
    assert live_items(Limits(), cgroup2=True) == (
        ("memory.max", "max"),
        ("cpu.max", "max 100000"),
        ("pids.max", "max"),
    )
    assert live_items(Limits(memory_bytes=1), cgroup2=False) == (
        ("memory.limit_in_bytes", "1"),
        ("cpu.cfs_quota_us", "-1"),
        ("pids.max", "max"),
    )
    assert cgroup_items(Limits()) == ()


def test_the_hosts_end_of_a_nic_is_short_and_its_own() -> None:
    names = {veth_name(vm, index) for vm in ("web", "db", "x" * 63) for index in (0, 10)}

    assert len(names) == 6
    assert max(map(len, names)) <= 15


HOSTILE = {"A": "$(reboot)", "B": "'; rm -rf / #", "C": 'a "b" \\', "D": "", "NAME": "other"}


def test_guest_files_are_quoted_for_the_shell() -> None:
    files = guest_files(web(metadata=HOSTILE, dns={"nameservers": ["10.0.0.1"], "search": ["lan"]}))

    assert shlex.split(files["etc/firstboot.config"], comments=True) == [
        "NAME=web",
        "IPADDRESS=10.0.0.2",
        "NETMASK=255.255.255.0",
        "GATEWAY=10.0.0.1",
        "A=$(reboot)",
        "B='; rm -rf / #",
        'C=a "b" \\',
        "D=",
    ]
    assert {path: text for path, text in files.items() if "firstboot" not in path} == {
        "etc/hostname": "web\n",
        "etc/resolv.conf": "# written by geats\nnameserver 10.0.0.1\nsearch lan\n",
    }


def test_a_guest_without_network_or_dns_gets_its_name_alone() -> None:
    assert guest_files(web(nics=[])) == {
        "etc/hostname": "web\n",
        "etc/firstboot.config": "# written by geats\nNAME=web\n",
    }
    alone = web(nics=[{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}])
    assert "GATEWAY" not in guest_files(alone)["etc/firstboot.config"]
    only = guest_files(web(dns={"nameservers": ["fd00::1"]}))
    assert only["etc/resolv.conf"] == "# written by geats\nnameserver fd00::1\n"


def test_a_digest_names_the_guests_files() -> None:
    assert guest_digest(web()) == guest_digest(web(memory="2GiB"))
    assert guest_digest(web()) != guest_digest(web(hostname="other"))


def test_what_is_included_stands_first_and_says_nothing_of_what_geats_writes() -> None:
    """Of lines added by hand, those that include something stand there as well."""
    keep = ("lxc.include = /etc/by-hand.conf", "lxc.environment = A=1")
    spec = web(includes=["/etc/lxc/site.conf", "/etc/lxc/a b.d/"])
    written = render_lxc_config(spec, FACTS, keep)
    body = [line for line in written.splitlines() if not line.startswith("#")]
    assert body[:5] == [
        "lxc.include = /etc/lxc/site.conf",
        "lxc.include = /etc/lxc/a b.d/",
        "lxc.include = /etc/by-hand.conf",
        "lxc.net =",
        "lxc.idmap =",
    ]
    assert body[-1] == "lxc.environment = A=1"
    assert (read_lxc_config(written, "web").spec, read_lxc_config(written, "web").by_hand) == (
        spec,
        keep,
    )
    usual = render_lxc_config(web(), FACTS, keep).splitlines()
    assert [line for line in usual if line.startswith("lxc.include")] == [
        "lxc.include = /usr/share/lxc/config/common.conf",
        "lxc.include = /usr/share/lxc/config/userns.conf",
        "lxc.include = /etc/by-hand.conf",
    ]
    assert "lxc.net =" in usual
    assert "lxc.net =" not in render_lxc_config(web(), FACTS)
    assert "lxc.include" not in render_lxc_config(web(includes=[]), FACTS)
