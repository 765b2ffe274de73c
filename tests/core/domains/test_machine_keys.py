"""The keys below ``hardware``: what is read, and what is refused."""

from dataclasses import replace

import pytest
from returns.result import Success

from geats_core.deciding.planner import plan
from geats_core.domains.host_parts import Cell, HostParts
from geats_core.domains.machine import (
    Boot,
    Bus,
    Cache,
    Card,
    Disk,
    Display,
    Firmware,
    Guest,
    Machine,
    Model,
    Topology,
    Watchdog,
)
from geats_core.domains.machine_keys import KEYS, LACKS, driver_facts, problems, read_machine
from geats_core.planning.action_words import describe_limits
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.offers import Offer
from geats_core.planning.plugin_facts import PoolFacts
from geats_core.planning.spec_changes import changes
from geats_core.plans.explain import explain
from geats_core.vm.observation import Observation, Stage, VolumeSeen
from geats_core.vm.spec import VMSpec
from tests.core.domains.machines import DATA, ROOT, spec

NIC = {"name": "eth0", "bridge": "br0"}


def test_a_vm_that_says_nothing_has_the_defaults() -> None:
    assert read_machine(spec()) == Success(Machine())
    assert Machine().disk("root") == Disk()
    assert Machine().card("eth0") == Card()


def test_every_key_is_read() -> None:
    said = {
        "max_memory": "8GiB",
        "max_cpus": 8,
        "topology": {"sockets": 1, "cores": 4, "threads": 2},
        "cpu": "host-model",
        "machine": "pc",
        "firmware": "uefi-secure",
        "tpm": True,
        "display": "vnc",
        "disks": {"data": {"bus": "scsi", "cache": "none", "discard": False}},
        "nics": {"eth0": {"model": "e1000e", "queues": 2}},
        "cdrom": "/srv/iso/x.iso",
        "boot": ["cdrom", "disk", "network"],
        "watchdog": "reset",
        "rng": False,
        "hotplug_ports": 0,
        "agent": False,
        "guest": "cloud-init",
        "user_data": {"packages": ["vim"]},
        "ssh_keys": ["ssh-ed25519 AAAA me"],
        "hugepages": True,
        "numa": [{"cpus": "0-7", "memory": "8GiB"}],
        "pci": ["0000:01:00.0"],
        "usb": ["046d:c52b"],
        "xml": ["<devices><sound model='ich9'/></devices>"],
    }

    assert set(said) == set(KEYS)
    assert read_machine(spec(hardware=said, volumes=[ROOT, DATA], nics=[NIC])) == Success(
        Machine(
            max_memory_bytes=8 << 30,
            max_cpus=8,
            topology=Topology(sockets=1, cores=4, threads=2),
            cpu="host-model",
            machine="pc",
            firmware=Firmware.UEFI_SECURE,
            tpm=True,
            display=Display.VNC,
            disks={"data": Disk(bus=Bus.SCSI, cache=Cache.NONE, discard=False)},
            nics={"eth0": Card(model=Model.E1000E, queues=2)},
            cdrom="/srv/iso/x.iso",
            boot=(Boot.CDROM, Boot.DISK, Boot.NETWORK),
            watchdog=Watchdog.RESET,
            rng=False,
            hotplug_ports=0,
            agent=False,
            guest=Guest.CLOUD_INIT,
            user_data={"packages": ["vim"]},
            ssh_keys=("ssh-ed25519 AAAA me",),
            xml=("<devices><sound model='ich9'/></devices>",),
            host=HostParts(
                hugepages=True,
                numa=(Cell(cpus="0-7", memory_bytes=8 << 30),),
                pci=("0000:01:00.0",),
                usb=("046d:c52b",),
            ),
        )
    )


@pytest.mark.parametrize(
    ("keys", "hardware", "wrong"),
    [
        ({"memory": "none"}, {}, "memory: is missing: a virtual machine has some, such as 2GiB"),
        ({"memory": "1023KiB"}, {}, "memory: must be at least 1MiB"),
        (
            {},
            {"max_memory": "256MiB"},
            "hardware.max_memory: must be at least the memory, which is 512MiB, got 256MiB",
        ),
        ({"cpus": 1.5}, {}, "cpus: must be whole for a virtual machine, got 1.5"),
        (
            {"cpus": 4},
            {"max_cpus": 2},
            "hardware.max_cpus: must be at least the cpus, which are 4, got 2",
        ),
        (
            {"cpus": 4},
            {"topology": {"cores": 2}},
            "hardware.topology: must be at least the cpus, which are 4, got 2",
        ),
        (
            {},
            {"max_cpus": 8, "topology": {"cores": 2}},
            "hardware.topology: has 2 cpus, and max_cpus is 8: they must be equal",
        ),
        ({}, {"disks": {"data": {}}}, "hardware.disks.data: the VM has no such volume"),
        (
            {},
            {"disks": {"root": {"bus": "scsi", "iothread": True}}},
            "hardware.disks.root.iothread: is only for disks on the bus virtio, and this one is on"
            " scsi",
        ),
        (
            {},
            {"disks": {"root": {"bus": "ide"}}},
            "hardware.disks.root.bus: ide needs a machine of the kind pc, and this one is q35: take"
            " sata",
        ),
        (
            {"volumes": [ROOT, *({"name": f"d{number}", "size": "1GiB"} for number in range(4))]},
            {
                "machine": "pc",
                "disks": {name: {"bus": "ide"} for name in ("root", "d0", "d1", "d2", "d3")},
            },
            "hardware.disks: the bus ide has room for 4 disks, got 5",
        ),
        (
            {"volumes": [ROOT, {**DATA, "read_only": True}]},
            {"disks": {"data": {"bus": "sata"}}},
            "volumes[data].read_only: there are no disks on the bus sata that the guest cannot"
            " write to: take scsi",
        ),
        ({}, {"nics": {"eth1": {}}}, "hardware.nics.eth1: the VM has no such NIC"),
        (
            {},
            {"boot": ["cdrom"]},
            "hardware.boot: names the cdrom, and there is none: give cdrom a file",
        ),
        (
            {"timezone": "UTC", "users": {"ada": {}}},
            {"guest": "none"},
            "hardware.guest: is none, so nobody reads timezone and users",
        ),
        (
            {},
            {"guest": "none", "ssh_keys": ["x"]},
            "hardware.guest: is none, so nobody reads user_data and ssh_keys",
        ),
        (
            {"volumes": [ROOT, {"name": "a" * 21, "mount": "/a"}]},
            {},
            f"volumes[{'a' * 21}].name: its name must have at most 20 characters: the guest sees"
            " no more",
        ),
        (
            {},
            {"xml": ["<devices>"]},
            "hardware.xml[0]: must be an element of XML as it is below <domain>, got '<devices>'",
        ),
        (
            {},
            {"xml": ["<!DOCTYPE a []><a/>"]},
            "hardware.xml[0]: must be an element of XML as it is below <domain>,"
            " got '<!DOCTYPE a []><a/>'",
        ),
        ({}, {"tpm": "yes"}, "hardware.tpm: must be true or false, got 'yes'"),
        (
            {},
            {"firmwre": "uefi"},
            "hardware.firmwre: unknown key 'firmwre', did you mean 'firmware'?",
        ),
    ],
)
def test_what_makes_no_machine_is_told(
    keys: dict[str, object], hardware: dict[str, object], wrong: str
) -> None:
    assert [str(each) for each in problems(spec(hardware=hardware, **keys))] == [wrong]


def test_the_planner_refuses_by_the_same_words() -> None:
    want = spec(hardware={"max_cpus": "four", "tpm": 1}, privileged=True)
    facts = HostFacts(
        drivers={"qemu": driver_facts("qemu:///system", "qemu")},
        pools={"default": PoolFacts(offers=Offer.FILE)},
    )

    refused = plan(Goal(name="db01", target=Target.RUNNING, spec=want), Observation(), facts)

    assert {str(each) for each in refused.failure()} == {
        "db01.hardware.max_cpus: must be a whole number from 1 to 4096, got 'four'",
        "db01.hardware.tpm: must be true or false, got 1",
        "db01.privileged: the driver 'qemu' has no such key: leave it out",
    }


@pytest.mark.parametrize(
    ("old", "new", "field", "impact"),
    [
        ({"memory": "512MiB"}, {"memory": "1GiB"}, "memory", Impact.LIVE),
        ({"memory": "512MiB"}, {"memory": "4GiB"}, "memory", Impact.RESTART),
        ({"memory": "512MiB"}, {"memory": "256MiB"}, "memory", Impact.LIVE),
        ({"cpus": 1}, {"cpus": 2}, "cpus", Impact.LIVE),
        ({"cpus": 1}, {"cpus": 4}, "cpus", Impact.RESTART),
        ({"cpus": 2}, {"cpus": 1}, "cpus", Impact.RESTART),
    ],
)
def test_what_a_change_costs_depends_on_what_the_machine_can_grow_to(
    old: dict[str, object], new: dict[str, object], field: str, impact: Impact
) -> None:
    most: dict[str, object] = {"max_memory": "2GiB", "max_cpus": 2}
    found = changes(
        spec(hardware=most, **old), spec(hardware=most, **new), driver_facts("here", "qemu").costs
    )

    assert [(each.field, each.impact) for each in found] == [(field, impact)]


def test_a_key_of_the_seed_costs_nothing_and_any_other_a_restart() -> None:
    found = changes(
        spec(), spec(hardware={"ssh_keys": ["x"], "tpm": True}), driver_facts("here", "qemu").costs
    )

    assert [(each.field, each.impact) for each in found] == [
        ("hardware.ssh_keys", Impact.NONE),
        ("hardware.tpm", Impact.RESTART),
    ]


def planned(want: VMSpec, have: Observation, target: Target = Target.RUNNING) -> str:
    facts = HostFacts(drivers={"qemu": driver_facts("qemu:///system", "qemu")})
    return explain(plan(Goal(name="db01", target=target, spec=want), have, facts).unwrap())


def test_the_plan_says_what_only_a_reinit_takes() -> None:
    old, new = spec(), spec(hardware={"ssh_keys": ["x"], "user_data": {"a": 1}}, memory="3GiB")
    late = "(a guest that has booted takes hardware.ssh_keys, hardware.user_data after a reinit)"
    made = Stage.INSTALLED
    root = VolumeSeen(name="root", pool="default", stage=made, template=old.template)
    have = Observation(recorded=old, defined=old, volumes=(root,))
    assert late in planned(new, have)
    assert "reinit" not in planned(spec(memory="3GiB"), have)
    empty = replace(have, volumes=(replace(root, stage=Stage.FORMATTED, template=None),))
    for seen in (Observation(), empty):
        assert "reinit" not in planned(new, seen)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, "uefi", True),
        ("bios", "uefi-secure", True),
        ("uefi", None, True),
        ("uefi", "uefi-secure", False),
        (None, "bios", False),
    ],
)
def test_the_plan_says_that_a_guest_does_not_boot_with_another_firmware(
    old: str | None, new: str | None, told: bool
) -> None:
    was, want = (spec(hardware={"firmware": each} if each else {}) for each in (old, new))
    root = VolumeSeen(
        name="root", pool="default", stage=Stage.INSTALLED, template=was.template, size_bytes=1
    )
    have = Observation(recorded=was, defined=was, volumes=(root,))
    words = "most guests boot only with the kind of firmware that they were installed with"
    assert (words in planned(want, have)) is told
    assert words not in planned(want, Observation())


def test_what_machines_do_not_have_is_not_told_of_them() -> None:
    told = planned(spec(), Observation())
    facts = HostFacts(drivers={"qemu": driver_facts("qemu:///system", "qemu")})
    goal = Goal(name="db01", target=Target.DEFINED, spec=spec())
    fields = {each.field for each in plan(goal, Observation(), facts).unwrap().changes}
    assert "memory" in fields
    assert not fields & LACKS
    assert "init" not in told
    assert describe_limits(spec().limits) == "memory 512MiB, cpus no limit"


def test_the_devices_of_the_host_are_those_that_a_host_allows_by_name() -> None:
    parts = HostParts(pci=("0000:01:00.0",), usb=("046d:c52b",))
    assert parts.devices == ("0000:01:00.0", "046d:c52b")
