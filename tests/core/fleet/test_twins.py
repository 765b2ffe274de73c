"""Which VMs a host must not create, because another one has them."""

from dataclasses import replace

from geats_core import Candidate, Observation, Target
from geats_core.fleet.twins import owners
from geats_core.jobs.arrivals import Arrival
from tests.core.hosts import at, goals, vm

HERE = at(Target.STOPPED, vm("web"), vm("mail"))
ARRIVES = replace(HERE["web"], copy_of=Arrival("a").copy_of("web", "5a"))
VOLUMES_ONLY = replace(HERE["mail"], recorded=None, defined=None)


def test_a_vm_is_of_the_first_host_that_has_it() -> None:
    hosts = {
        "a": Candidate(observations=HERE),
        "b": Candidate(goals=tuple(goals(Target.RUNNING, vm("web")))),
        "c": Candidate(observations={"web": Observation(), "mail": HERE["mail"]}),
    }
    assert owners(hosts) == {"web": "a", "mail": "a"}


def test_what_only_arrives_or_what_is_left_does_not_count() -> None:
    hosts = {
        "a": Candidate(observations={"mail": HERE["mail"]}),
        "b": Candidate(observations={"web": ARRIVES, "mail": VOLUMES_ONLY}),
    }
    assert owners(hosts) == {"mail": "a"}
