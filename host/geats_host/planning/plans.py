"""Plans for the VMs of this host: from one look at it, and from what the configuration says.

Every function here takes the ``Host``, only looks at it, and raises ``Refused`` if there is no
such plan. ``engine.apply_plan`` carries plans out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from geats_core.deciding.planner import plan
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.host_planner import (
    HostPlan,
    Setting,
    arranged,
    boot_goals,
    halt_goals,
    rebuild_goals,
    without_idle_probes,
)
from geats_core.hostwide.recheck import takes
from geats_core.hostwide.registry_upgrade import with_places, with_upgrade
from geats_core.hostwide.shared_volumes import wrong_sharing
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.plans.plan_files import SavedPlan, alone
from geats_core.plans.plan_files import saved as as_saved
from geats_core.vm.observation import Observation
from geats_core.vm.secrets import observed_without_secrets, without_secrets
from geats_core.vm.spec import VMSpec
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.observing.other_hosts import Told
from geats_host.planning.facts import Facts, facts_by_driver, facts_of
from geats_host.planning.from_values import as_many_as_can, plan_goals, plan_wished
from geats_host.planning.goals import Scope, Wishes, goals, groups_of, in_groups
from geats_host.planning.sources import check_sources

if TYPE_CHECKING:
    from geats_core.fleet import placement
else:
    placement = later("geats_core.fleet.placement")

P = ParamSpec("P")


def _reading_at_once(
    make: Callable[Concatenate[Host, P], SavedPlan],
) -> Callable[Concatenate[Host, P], SavedPlan]:
    """Have the registry opened once for all that *make* asks of it."""

    @wraps(make)
    def made(host: Host, /, *args: P.args, **kwargs: P.kwargs) -> SavedPlan:
        with host.registry.read_at_once():
            return make(host, *args, **kwargs)

    return made


@_reading_at_once
def plan_vm(host: Host, goal: Goal, have: Observation | None = None) -> SavedPlan:
    """The plan that brings one VM to *goal*; what other VMs have it must not take."""
    have = host.observe(goal.name) if have is None else have
    facts = facts_by_driver(host)
    made = accepted(plan(goal, have, facts(_drivers([goal]))))
    if not (takes(made) or _concerns_others(goal, have)):
        check_sources(host, made.steps, {goal.name: have}, facts.told)
        return _saved_alone(with_upgrade(made, facts(()).upgrade), have)
    seen = {**host.observe_all(), goal.name: have}
    together = plan_vms(host, [goal], seen, Scope.SOME, facts=facts)
    return _saved_alone(together.of_vm, have)


@_reading_at_once
def plan_alone(host: Host, goal: Goal, have: Observation) -> SavedPlan:
    """The same, whatever other VMs there are."""
    look, seen = facts_by_driver(host), {goal.name: have}
    facts = look(_drivers([goal]))
    made = accepted(plan(goal, have, facts))
    check_sources(host, made.steps, seen, look.told)
    return saved_alone(host, have, with_places(made, facts.moved, seen, whole_host=False))


def plan_vms(
    host: Host,
    wanted: Sequence[Goal],
    seen: Mapping[str, Observation],
    scope: Scope,
    policy: HostPolicy | None = None,
    facts: Facts | None = None,
) -> SavedPlan:
    """The plan that brings VMs to their goals, on a host where *seen* is all there is.

    The *policy* is that of the configuration, if none is given, and *facts* are asked for.
    """
    facts = facts or facts_by_driver(host)
    of_host = facts(_drivers(wanted))
    others = _after_vms_of_others(facts.told, wanted, {*seen, *of_host.declared})
    of_host = replace(of_host, declared=of_host.declared | others) if others else of_host
    wanted = in_groups(wanted, host.config)
    policy = policy or host.config.policy
    made = plan_goals(wanted, seen, of_host, policy, scope, groups_of(host.config))
    check_sources(host, made.plan.steps, seen, facts.told)
    return made


@_reading_at_once
def plan_wishes(host: Host, wishes: Wishes) -> SavedPlan:
    """The plan for the VMs that are named, else for the whole host.

    One of the configuration's that is elsewhere on this machine is not taken for gone.
    """
    there, facts = host.observe_all(), facts_by_driver(host)
    lost = host.config.known.intersection(facts(()).elsewhere)
    seen = {**dict.fromkeys(sorted(lost), Observation()), **there}
    policy = wishes.policy(host.config.policy)
    return plan_wished(
        wishes,
        host.config,
        seen,
        lambda wanted: plan_vms(host, wanted, seen, wishes.scope, policy, facts),
    )


@_reading_at_once
def plan_boot(host: Host) -> SavedPlan:
    """The plan that starts every VM which is to run after the host's own start.

    One that cannot start keeps no other from it: ``refused`` says why it cannot. One that is to be
    gone stays off. That a VM is ready is waited for only where another comes after it.
    """
    seen = host.observe_all()
    wanted = [goal for goal in boot_goals(seen) if goal.name not in host.config.gone]
    made = plan_each(host, wanted, seen)
    return replace(made, plan=without_idle_probes(made.plan))


@_reading_at_once
def plan_halt(host: Host) -> SavedPlan:
    """The plan that powers off every VM, before the host does; ``refused`` as at its start."""
    seen = host.observe_all()
    return plan_each(host, halt_goals(seen), seen)


@_reading_at_once
def plan_rebuild(host: Host) -> SavedPlan:
    """The plan that records again what the registry lost, and marks locks where they are not.

    No VM is touched, and nothing of volumes. One that cannot be recorded is refused alone.
    """
    seen = host.observe_all()
    return plan_each(host, rebuild_goals(seen), seen)


def plan_each(host: Host, wanted: Sequence[Goal], seen: Mapping[str, Observation]) -> SavedPlan:
    """One plan for as many VMs as have one together; ``refused`` says why the others have none."""
    facts = facts_by_driver(host)
    return as_many_as_can(wanted, lambda some: plan_vms(host, some, seen, Scope.SOME, facts=facts))


def saved_alone(host: Host, have: Observation, made: Plan) -> SavedPlan:
    """The plan of one VM of this host, with what the host needs first, and nothing else to do."""
    return _saved_alone(with_upgrade(made, host.registry.outdated()), have)


def saved(
    host: Host,
    made: HostPlan,
    observations: Mapping[str, Observation],
    warnings: tuple[str, ...] = (),
) -> SavedPlan:
    """A plan that was made for VMs of this host, with what the host needs first."""
    return as_saved(with_upgrade(made, host.registry.outdated()), observations, warnings)


def check_sharing(wanted: Goal, seen: Mapping[str, Observation], plans: Sequence[Plan]) -> None:
    """Refuse *plans* that bring one VM to *wanted*, if another VM shares volumes with it."""
    wrong = wrong_sharing({wanted.name: wanted}, seen, plans)
    if wrong:
        raise Refused(*wrong)


def saved_with_others(
    host: Host,
    made: Plan,
    spec: VMSpec,
    seen: Mapping[str, Observation],
    facts: HostFacts,
    about: Mapping[str, Observation],
) -> SavedPlan:
    """The plan *made* for the new VM *spec*, on a host where *seen* is all there is.

    It is *about* these VMs, which must stay as they are until it is applied. Refused if it takes
    what others have, or shares what it must not.
    """
    check_sharing(Goal(name=spec.name, target=Target.DEFINED, spec=spec), seen, [made])
    setting = Setting({spec.name: spec}, seen, facts, host.config.policy)
    return saved(host, accepted(arranged([made], setting)), about)


def candidate(host: Host) -> "placement.Candidate":
    """All that has to be known of this host to place VMs on it, or on others: no secrets."""
    seen = host.observe_all()
    wanted, _ = goals(Wishes(Goal(name="", target=Target.DECLARED)), host.config, seen)
    return placement.Candidate(
        goals=tuple(
            replace(goal, spec=without_secrets(goal.spec)) if goal.spec else goal
            for goal in (each.settled for each in wanted)
        ),
        observations={name: observed_without_secrets(have) for name, have in seen.items()},
        facts=facts_of(host, host.drivers),
        policy=host.config.policy,
    )


def _after_vms_of_others(told: Told, wanted: Iterable[Goal], here: set[str]) -> frozenset[str]:
    """The names in ``after`` that are VMs of other hosts: then they are no order here."""
    named = {other for goal in wanted if goal.spec for other in goal.spec.after} - here
    return frozenset(named.intersection(told.vms))


def _saved_alone(made: Plan, have: Observation) -> SavedPlan:
    return as_saved(alone(made), {made.name: have} if have.exists else {})


def _drivers(wanted: Iterable[Goal]) -> set[str]:
    return {goal.spec.driver for goal in wanted if goal.spec is not None}


def _concerns_others(goal: Goal, have: Observation) -> bool:
    """Whether the VM shares volumes, or mounts those of others; before, or as it is to be."""
    known = [spec for spec in (goal.spec, have.recorded, have.in_effect) if spec]
    return any(
        spec.shared_volumes or any(volume.shared for volume in spec.volumes) for spec in known
    )
