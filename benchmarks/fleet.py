"""The runner over a simulated fleet: what each question costs the master, in time and in memory.

usage: python benchmarks/fleet.py [HOSTS [VMS_EACH]]

Each minion answers as a host of so many VMs does; nothing is sent. Every figure is of a process of
its own, because memory that was used is not given back.
"""

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from geats_core import DriverFacts, PoolFacts, parse_vm
from geats_core.fleet.placement import Candidate
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.plans.codec import encode
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen
from geats_host.for_salt.fleet import Fleet, answers

GIB = 1 << 30
NEW: dict[object, object] = {
    "template": "debian",
    "memory": "512MiB",
    "volumes": [{"name": "root", "size": "1GiB"}],
}


def host(number: int, vms: int) -> Candidate:
    """A host whose VMs run as they are declared; every tenth has more of them than the others."""
    specs = [
        parse_vm(
            f"vm{number}-{each}",
            {
                **NEW,
                "labels": {"owner": f"team{each % 7}"},
                "nics": [
                    {
                        "name": "eth0",
                        "bridge": "br0",
                        "addresses": [f"10.{number >> 8}.{number & 255}.{each + 1}/8"],
                    }
                ],
            },
        ).unwrap()
        for each in range(vms if number % 10 else vms * 2)
    ]
    root = VolumeSeen(
        name="root", pool="default", stage=Stage.INSTALLED, active=True, template="debian"
    )
    return Candidate(
        goals=tuple(Goal(name=spec.name, target=Target.RUNNING, spec=spec) for spec in specs),
        observations={
            spec.name: Observation(
                power=Power.RUNNING,
                defined=spec,
                recorded=spec,
                in_effect=spec,
                volumes=(root,),
            )
            for spec in specs
        },
        facts=HostFacts(
            drivers={"lxc": DriverFacts()},
            pools={"default": PoolFacts()},
            templates=frozenset({"debian"}),
            bridges=frozenset({"br0"}),
            memory_bytes=256 * GIB,
            cpus=64,
        ),
    )


class Minions:
    """Answers as Salt returns them: by the names of minions, in full."""

    def __init__(self, hosts: int, vms: int) -> None:
        self.hosts, self.vms = hosts, vms

    def ask(self, target: Any, function: str, *args: object, **_: object) -> Mapping[str, Any]:
        """What all of them return, or those that are told something."""
        if function == "geats.elsewhere":
            return {name: {"ret": args[0], "retcode": 0} for name in target}
        names = range(self.hosts)
        return {
            f"host{number}": {"ret": encode(host(number, self.vms)), "retcode": 0}
            for number in names
        }


def measured(name: str, question: Callable[[], object]) -> None:
    """Ask in a process of its own, and say what it took beside the answers themselves."""
    sys.stdout.flush()
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.process_time()
    question()
    took = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    more = (after.ru_maxrss - before.ru_maxrss) / 1024
    print(f"{name:<24} {took:8.1f} s of a processor {more:8.0f} MiB more")
    os._exit(0)


def main() -> None:
    """All questions of the runner, one after the other."""
    hosts, vms = (int(each) for each in [*sys.argv[1:], "1000", "50"][:2])
    minions = Minions(hosts, vms)
    began = time.process_time()
    fleet = Fleet.asked(minions.ask, "*")
    there = sum(len(each.vms) for each in fleet.hosts.values())
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = time.process_time() - began
    print(f"{len(fleet.hosts)} hosts, {there} VMs: read in {took:.1f} s, {size:.0f} MiB")
    measured("find 'vm7-*'", lambda: fleet.find("vm7-*"))
    measured("duplicates", fleet.duplicates)
    measured("tell", lambda: fleet.tell(minions.ask))
    measured("place a new VM", lambda: fleet.place("new", NEW, {}))
    measured("drain a host", lambda: fleet.drain("host0", {}))
    measured("rebalance", lambda: fleet.rebalance({}))
    measured("list", lambda: answers(minions.ask("*", "geats.list")))


if __name__ == "__main__":
    main()
