"""Domains that move as they run: why they stay, and as what they arrive."""

import pytest

from geats_core.domains.machine import Machine
from geats_core.jobs.live_moves import as_there, cached, cannot_move

HERE = """<domain type='qemu'><name>web</name><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw' discard='unmap'/>
<source file='/a/root' index='2'/><backingStore/><target dev='vda'/><serial>root</serial></disk>
<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:07'/><source bridge='br0'/></interface>
<interface type='user'><mac address='52:54:00:00:00:08'/></interface>
</devices></domain>"""
THERE = """<domain type='qemu'><name>web</name><devices>
<disk type='block' device='disk'><driver name='qemu' type='qcow2'/>
<source dev='/dev/b/root'/><target dev='vda'/><serial>root</serial></disk>
<disk type='file' device='cdrom'><source file='/other'/><target dev='sda'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:07'/><source bridge='br9'/></interface>
</devices></domain>"""


def test_it_arrives_as_it_is_but_for_where_its_disks_and_nics_are_connected() -> None:
    assert "".join(as_there(HERE, THERE).split("\n")) == (
        '<domain type="qemu"><name>web</name><devices>'
        '<disk type="block" device="disk"><driver name="qemu" type="qcow2" discard="unmap" />'
        '<target dev="vda" /><serial>root</serial><source dev="/dev/b/root" /></disk>'
        '<disk type="file" device="cdrom"><source file="/iso" /><target dev="sda" /></disk>'
        '<interface type="bridge"><mac address="52:54:00:00:00:07" /><source bridge="br9" />'
        "</interface>"
        '<interface type="user"><mac address="52:54:00:00:00:08" /></interface>'
        "</devices></domain>"
    )


def test_what_is_kept_of_its_console_is_kept_where_it_is_there() -> None:
    log = "<log file='/{}' append='on'/>"
    both = "<domain><devices><serial>{0}</serial><console>{0}</console></devices></domain>"
    found = as_there(both.format(log.format("here")), both.format(log.format("there")))
    assert found.count('<log file="/there" append="on" />') == 2
    for here, there in ((log.format("here"), ""), ("", log.format("there"))):
        assert as_there(both.format(here), both.format(there)).count("<log") == 2 * bool(here)


def test_a_disk_is_cached_unless_another_cache_than_the_hosts_is_said() -> None:
    assert cached(HERE.replace("<source file='/iso'/>", "<readonly/>")) == ("root",)
    for cache, found in (("none", ()), ("directsync", ()), ("unsafe", ("root",))):
        here = HERE.replace("discard='unmap'", f"cache='{cache}'").replace(
            "'/iso'/>", "'/iso'/><readonly/>"
        )
        assert cached(here) == found
    bare = "<domain><devices><disk><serial>data</serial></disk></devices></domain>"
    assert (cached(bare), cached("no XML")) == (("data",), ())


def test_disks_whose_names_differ_in_case_only_are_two() -> None:
    two = "<disk><source file='/{}'/><serial>data</serial></disk><disk><serial>Data</serial></disk>"
    there = f"<domain><devices>{two.format('new')}</devices></domain>"
    assert as_there(there.replace("/new", "/old"), there).count("/new") == 1


@pytest.mark.parametrize("texts", [("no XML", THERE), (HERE, "no XML")])
def test_what_is_no_domain_stays_what_it_is(texts: tuple[str, str]) -> None:
    assert as_there(*texts) == texts[0]


@pytest.mark.parametrize(
    ("machine", "kind", "live", "why"),
    [
        (Machine(), "qemu", HERE, []),
        (Machine(cpu="qemu64"), "kvm", HERE, []),
        (Machine(), "kvm", HERE, ["hardware.cpu: is host-model, which another host may not have"]),
        (Machine(cpu="maximum"), "qemu", "", ["hardware.cpu: is maximum"]),
        (
            Machine(),
            "qemu",
            "<domain><devices><tpm/><hostdev/><hostdev/><filesystem/></devices></domain>",
            [
                "hardware: it has a directory of this host (binds)",
                "hardware: it has a device of this host (pci, usb)",
            ],
        ),
    ],
)
def test_what_is_only_on_its_host_keeps_it_there(
    machine: Machine, kind: str, live: str, why: list[str]
) -> None:
    found = [f"{each}" for each in cannot_move(machine, kind, live, ["root"])]
    assert len(found) == len(why)
    assert all(one.startswith(other) for one, other in zip(found, why, strict=True))


DISKS = {
    "root": "<disk device='disk'><target dev='vda'/><serial>root</serial></disk>",
    "read-only": "<disk><target dev='vdb'/><readonly/><serial>data</serial></disk>",
    "by hand": "<disk device='disk'><target dev='vdc'/></disk>",
    "adopted": "<disk><target dev='vdd'/><serial>WD-1</serial></disk>",
    "twice": "<disk><serial> root </serial></disk>",
    "cdrom": "<disk device='cdrom'><target dev='sda'/></disk>",
    "seed": "<disk device='disk'><target dev='vdz'/><readonly/><serial>seed</serial></disk>",
}
NO_VOLUME = "has the serial of no volume, or one that another has too: restart it if it was adopted"


@pytest.mark.parametrize(
    ("disks", "why"),
    [
        (["root", "cdrom", "seed"], []),
        (["root", "read-only"], ["volumes: its volume data is read-only, and is not copied"]),
        (["root", "by hand"], [f"hardware: its disk vdc {NO_VOLUME}"]),
        (["adopted", "cdrom"], [f"hardware: its disk vdd {NO_VOLUME}"]),
        (["root", "twice"], [f"hardware: its disk ? {NO_VOLUME}"]),
    ],
)
def test_a_disk_that_would_be_lost_or_written_over_another_keeps_it_there(
    disks: list[str], why: list[str]
) -> None:
    live = f"<domain><devices>{''.join(DISKS[each] for each in disks)}</devices></domain>"
    found = [f"{each}" for each in cannot_move(Machine(), "qemu", live, ["root", "data"])]
    assert len(found) == len(why)
    assert all(one.startswith(other) for one, other in zip(found, why, strict=True))
