"""Devices of a domain that runs, brought to those that are wanted."""

from dataclasses import replace

from geats_core import (
    Goal,
    HostFacts,
    Impact,
    Observation,
    Power,
    Stage,
    Target,
    VolumeSeen,
    plan,
)
from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.live_devices import (
    Doing,
    as_it_runs,
    device_steps,
    lost_sight_of,
    missing_ports,
)
from geats_core.domains.machine_keys import driver_facts, read_machine
from geats_core.planning.actions import SetDevices
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.spec import VMSpec
from tests.core.domains.machines import DATA, FACTS, ROOT, spec

ETH0 = {"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01"}
ETH1 = {"name": "eth1", "bridge": "br0", "mac": "02:00:00:00:00:02"}


def steps(runs: VMSpec, wants: VMSpec, *gone: str) -> list[tuple[Doing, str]]:
    """What is done to which kind of device."""
    xml = {each: domain_xml(each, read_machine(each).unwrap(), FACTS) for each in (runs, wants)}
    found = device_steps(xml[wants], xml[runs], gone)
    return [(each.doing, each.xml.partition(" ")[0].lstrip("<")) for each in found]


def test_what_is_there_already_needs_no_step() -> None:
    have = spec(nics=[ETH0], volumes=[ROOT, DATA], hardware={"cdrom": "/a.iso"})
    assert steps(have, have) == []
    assert device_steps("", "", ()) == ()


def test_what_is_missing_is_attached_and_only_what_is_named_is_detached() -> None:
    one, two = spec(nics=[ETH0]), spec(nics=[ETH0, ETH1], volumes=[ROOT, DATA])
    assert steps(one, two) == [(Doing.ATTACH, "disk"), (Doing.ATTACH, "interface")]
    assert steps(two, one) == []  # somebody else attached them
    assert steps(two, one, "02:00:00:00:00:02", "data", "no more") == [
        *[(Doing.DETACH, "interface"), (Doing.DETACH, "disk")]
    ]
    assert steps(two, two, "data") == []


def test_nics_and_media_change_and_disks_do_not() -> None:
    plain = spec(nics=[ETH0], hardware={"cdrom": "/a.iso"})
    for hardware in (
        {"nics": {"eth0": {"link": False}}},
        {"nics": {"eth0": {"rate_in": "1MiB"}}},
        {"nics": {"eth0": {"rate_out": "1MiB", "rate_in": "2MiB"}}},
    ):
        other = spec(nics=[ETH0], hardware={"cdrom": "/a.iso", **hardware})
        assert steps(plain, other) == steps(other, plain) == [(Doing.CHANGE, "interface")]
    slow = spec(nics=[ETH0], hardware={"nics": {"eth0": {"rate_in": "1MiB", "rate_out": "1MiB"}}})
    half = spec(nics=[ETH0], hardware={"nics": {"eth0": {"rate_in": "1MiB"}}})
    assert steps(slow, half) == [(Doing.CHANGE, "interface")]
    for medium in ("/b.iso", "empty"):
        other = spec(nics=[ETH0], hardware={"cdrom": medium})
        assert steps(plain, other) == steps(other, plain) == [(Doing.CHANGE, "disk")]
    cached: dict[str, object] = {"cdrom": "/a.iso", "disks": {"root": {"cache": "none"}}}
    assert steps(plain, spec(nics=[ETH0], hardware=cached)) == []


def running(*used: int, ports: int = 3) -> str:
    """A domain with a NIC on each of these ports, and with a disk on a bus of its own."""
    made = "".join(
        f"<controller type='pci' index='{n}' model='pcie-root-port'>"
        f"<address type='pci' bus='0x00' slot='0x0{n}'/></controller>"
        for n in range(1, ports + 1)
    )
    nics = "".join(
        f"<interface><mac address='02:00:00:00:00:0{n}'/><address type='pci' bus='0x0{n}'/>"
        "</interface>"
        for n in used
    )
    disk = "<disk><serial>data</serial><address type='drive' controller='0' bus='0'/></disk>"
    return f"<domain><devices>{made}{nics}{disk}<console/></devices></domain>"


def test_what_is_plugged_in_needs_a_port_each() -> None:
    one, two, new = "02:00:00:00:00:01", "02:00:00:00:00:02", {"a", "b"}
    assert missing_ports(running(1), new, ()) == 0
    assert missing_ports(running(1, 2), new, ()) == 1
    assert missing_ports(running(1, 2), {*new, one}, ()) == 1  # which is there
    assert missing_ports(running(1, 2), new, [two, "gone"]) == 0
    assert missing_ports(running(1, 2, 3), new, ()) == 2
    assert missing_ports(running(ports=0), new, ()) == 0
    assert missing_ports("", new, ()) == 0


def test_a_domain_that_was_adopted_has_its_disks_and_nics_under_other_names() -> None:
    wants = spec(nics=[ETH0], volumes=[ROOT, DATA])
    wanted = domain_xml(wants, read_machine(wants).unwrap(), FACTS)
    live = wanted.replace("<serial>data</serial>", "").replace("<serial>root<", "<serial>WD 4711<")
    live = live.replace('dev="gt', 'dev="vnet')
    assert device_steps(wanted, live, ()) == ()
    (step,) = device_steps(wanted, live.replace('bridge="br0"', 'bridge="br1"'), ())
    assert (step.doing, 'dev="vnet' in step.xml) == (Doing.CHANGE, True)
    assert lost_sight_of(wanted, live, ["data"]) == ()
    less = spec(nics=[ETH0], volumes=[ROOT])
    left = domain_xml(less, read_machine(less).unwrap(), FACTS)
    assert lost_sight_of(left, live, ["data"]) == ("data",)
    assert lost_sight_of(left, left, ["data"]) == lost_sight_of("", "", ["data"]) == ()


def test_what_somebody_did_to_nics_is_in_what_runs() -> None:
    def limited(eth1: dict[str, object], **rates: str) -> VMSpec:
        cards: dict[str, object] = {"eth0": {"model": "e1000", **rates}, "eth1": eth1}
        return spec(nics=[ETH0, ETH1], hardware={"nics": cards})

    want, changed = (
        limited({"link": False}, rate_in="2KiB"),
        limited({"link": True}, rate_out="4KiB"),
    )
    plain, pulled = (
        spec(nics=[ETH0]),
        spec(nics=[ETH0], hardware={"nics": {"eth0": {"link": False}}}),
    )
    for usual, now in ((want, changed), (plain, pulled), (want, want), (plain, plain)):
        defined, live = (domain_xml(s, read_machine(s).unwrap(), FACTS) for s in (usual, now))
        assert as_it_runs(usual, defined, live) == now
        assert as_it_runs(usual, defined, "") == usual


def test_a_link_that_somebody_took_down_is_put_up_live() -> None:
    want = spec(nics=[ETH0])
    pulled = replace(want, hardware=spec(hardware={"nics": {"eth0": {"link": False}}}).hardware)
    root = VolumeSeen(
        name="root",
        pool="default",
        stage=Stage.INSTALLED,
        active=True,
        template="debian",
        guest=guest_digest(want),
    )
    have = Observation(
        recorded=want, defined=want, in_effect=pulled, power=Power.RUNNING, volumes=(root,)
    )
    facts = HostFacts(drivers={"qemu": driver_facts("here", "qemu")})
    made = plan(Goal(name="db01", target=Target.RUNNING, spec=want), have, facts).unwrap()
    assert [type(step.action) for step in made.steps] == [SetDevices]
    assert made.impact is Impact.LIVE
