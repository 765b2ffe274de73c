"""What a user's program looks like to a type checker: it uses every public name of geats_core.

``test_library_typing`` checks it as a user would, in pyright's strict mode, and runs it.
"""

from collections.abc import Mapping
from dataclasses import replace

from returns.result import Failure, Success

from geats_core import (
    COST,
    LIVE_LIMITS,
    Action,
    Arrival,
    Asked,
    ByHand,
    Candidate,
    Change,
    Checked,
    Cost,
    DataLoss,
    DriverFacts,
    Duplicate,
    EntryCost,
    Goal,
    Gone,
    HostConfig,
    HostFacts,
    HostPlan,
    HostPolicy,
    Impact,
    Keep,
    Kept,
    Manifest,
    Migration,
    Move,
    NoStart,
    Observation,
    Offer,
    PackedVolume,
    Parts,
    Placement,
    Plan,
    PoolFacts,
    Power,
    PowerOff,
    Problem,
    Problems,
    Recorded,
    Restart,
    Retained,
    Retention,
    Rules,
    SavedPlan,
    Snapshot,
    SnapshotSeen,
    Stage,
    Step,
    Strategy,
    Stray,
    Strays,
    Target,
    Undoable,
    VMSnapshot,
    VMSpec,
    VolumeMissing,
    VolumeSeen,
    after,
    boot_goals,
    changes,
    copied,
    describe,
    dot,
    drain,
    duplicates,
    explain,
    follow,
    halt_goals,
    host_plan_to_plain,
    manifest_from_json,
    manifest_to_json,
    mermaid,
    migration,
    moved,
    name_at,
    parse_config,
    parse_keep,
    parse_rules,
    parse_vm,
    place,
    plan,
    plan_accept,
    plan_clone,
    plan_delete,
    plan_export,
    plan_from_json,
    plan_host,
    plan_import,
    plan_kept,
    plan_publish,
    plan_removal,
    plan_rename,
    plan_restore,
    plan_snapshot,
    plan_to_plain,
    plan_volume_move,
    rebalance,
    rebuild_goals,
    recorded_from_json,
    retain,
    reverse,
    reverse_host,
    saved,
    snapshots_first,
    snapshots_of,
    table,
    to_json,
    to_plain,
    why,
    with_snapshots,
)

ENTRIES = {"nics": EntryCost(live=frozenset({"bridge"}))}
COSTS = {**LIVE_LIMITS, "cpus": Cost(rises=Impact.LIVE, falls=Impact.RESTART)}
TAKES = frozenset({Offer.DIRECTORY})
PARSER = NoStart(why="AppArmor has no parser: install apparmor", unless="lxc.apparmor.profile")
DRIVERS = {
    "lxc": DriverFacts(roots=TAKES, volumes=TAKES, costs=COSTS, entries=ENTRIES),
    "confined": DriverFacts(roots=TAKES, volumes=TAKES, no_start=PARSER),
}
POOLS = {"default": PoolFacts(location="/srv/{vm}/{volume}", size_bytes=2**40, snapshots=True)}
FACTS = HostFacts(drivers=DRIVERS, pools=POOLS, memory_bytes=2**34, cpus=8.0)


def declared(raw: object) -> Checked[tuple[VMSpec, ...]]:
    """Every VM of a configuration, or all that is wrong with it."""
    specs: list[VMSpec] = []
    problems: Problems = ()
    match parse_config(raw):
        case Success(config):
            for name, vm in vms_of(config).items():
                match parse_vm(name, vm, config.profiles):
                    case Success(spec):
                        specs.append(spec)
                    case Failure(found):
                        problems += found
        case Failure(found):
            problems += found
    return Failure(problems) if problems else Success(tuple(specs))


def vms_of(config: HostConfig) -> Mapping[str, object]:
    leaving = {name for name, end in config.gone.items() if end is Gone.DEPROVISIONED}
    return {name: raw for name, raw in config.vms.items() if name not in leaving}


def goal_of(spec: VMSpec) -> Goal:
    return Goal(
        name=spec.name,
        target=Target.RUNNING,
        spec=spec,
        restart=Restart.IF_NEEDED,
        power_off=PowerOff.SHUTDOWN,
        asked=Asked.NAMED,
        data_loss=DataLoss.REFUSED,
        by_hand=ByHand.KEPT,
        max_impact=Impact.RESTART,
    )


def actions_of(steps: tuple[Step, ...]) -> list[str]:
    actions: list[tuple[str, Action]] = [(step.vm, step.action) for step in steps]
    return [describe(action, vm) for vm, action in actions]


def one_vm(spec: VMSpec) -> list[str]:
    """Plan one VM, follow the plan, change the spec, plan again, and undo that."""
    first: Plan = plan(goal_of(spec), Observation(), FACTS).unwrap()
    have: Observation = follow(first, Observation()).unwrap()
    for step in first.steps[:1]:
        match after(step.action, Observation()):
            case Success(there):
                assert there.power is Power.STOPPED
            case Failure(reason):
                print(reason.capitalize())
    new = replace(spec, hostname="www")
    found: tuple[Change, ...] = changes(spec, new, FACTS.driver(spec.driver).costs)
    dear = [change.field for change in found if change.impact is COST[change.field]]
    second = plan(goal_of(new), have, FACTS).unwrap()
    safe: Undoable = with_snapshots(second, have, FACTS, "before", 0)
    back = reverse(safe.plan, have, FACTS).unwrap()
    plain: dict[str, object] = plan_to_plain(back.plan)
    answer = why(second, "restart").value_or("nothing restarts")
    return [*dear, *back.warnings, answer, explain(back.plan), *plain, *to_plain(new)]


def whole_host(specs: tuple[VMSpec, ...]) -> list[str]:
    """Plan all VMs, keep the plan in a file, read it again, and undo it."""
    policy = HostPolicy(memory_overcommit=1.5, strays=(("tmp*", Strays.IGNORE),))
    match plan_host(map(goal_of, specs), {}, FACTS, policy):
        case Failure(problems):
            wrong: list[Problem] = list(problems)
            return [f"{each.path}: {each.message}" for each in wrong]
        case Success(made):
            return about(made)


def about(made: HostPlan) -> list[str]:
    strays: tuple[Stray, ...] = made.strays
    kept: SavedPlan = saved(made, {})
    read = plan_from_json(to_json(kept)).unwrap()
    safe = snapshots_first(read, FACTS, "before", 0).unwrap()
    back = reverse_host(safe, FACTS).unwrap()
    return [
        *actions_of(back.plan.steps),
        *(stray.name for stray in strays),
        *(problem.message for problem in moved(read, {})),
        *host_plan_to_plain(made),
        table(made),
        mermaid(made),
        dot(made),
    ]


def recording() -> Recorded:
    taken = SnapshotSeen(name="nightly", taken_s=0, stage=Stage.INSTALLED, template="debian")
    root = VolumeSeen(name="root", pool="default", stage=Stage.INSTALLED, snapshots=(taken,))
    data = VolumeMissing(name="data", pool="default", place="/srv/old/data")
    seen = {"old": Observation(volumes=(root,), missing=(data,))}
    return recorded_from_json(to_json(Recorded(observations=seen, facts=FACTS))).unwrap()


def retained(host: Recorded) -> Retention:
    seen = [each for have in host.observations.values() for each in have.volumes]
    taken = [Snapshot(each.name, each.taken_s) for volume in seen for each in volume.snapshots]
    return retain(taken, parse_keep("keep", {"daily": 7}).value_or(Keep(last=1)), 0)


def whole_vm(spec: VMSpec) -> list[str]:
    """Keep a VM as it is, go back to that, and give it up by rules."""
    off = Goal(name=spec.name, target=Target.STOPPED, spec=spec)
    have = follow(plan(off, Observation(), FACTS).unwrap(), Observation()).unwrap()
    name = name_at(0)
    have = follow(
        plan_snapshot(spec.name, name, 0, have, FACTS, Parts.SOME).unwrap(), have
    ).unwrap()
    back = plan_restore(spec.name, name, have, FACTS, DataLoss.ALLOWED).unwrap()
    gone = plan_delete(spec.name, name, have).unwrap()
    thinned: Retained = plan_kept(spec.name, Keep(last=1), have, 0).unwrap()
    there: tuple[VMSnapshot, ...] = snapshots_of(have)
    lines = [explain(made) for made in (back, gone, thinned.plan)]
    return [*lines, *elsewhere(spec, have), *(each.name for each in there)]


def elsewhere(spec: VMSpec, have: Observation) -> list[str]:
    """Write a VM to an archive, and make another one of it."""
    packed = tuple(
        PackedVolume(name=volume.name, sha256="0" * 64, size_bytes=1) for volume in spec.volumes
    )
    written = Manifest(spec=spec, template=spec.template, volumes=packed, taken_s=0)
    manifest = manifest_from_json("a.tar", manifest_to_json(written)).unwrap()
    copy = copied(manifest.spec, "web02", {"memory": "2GiB"}).unwrap()
    there = plan_import("/a.tar", manifest, copy, Observation(), FACTS, {spec.name: spec})
    arrival = Arrival("host1")
    comes = plan_import("/a.tar", manifest, spec, Observation(), FACTS, {}, arrival).unwrap()
    here = plan_accept(spec.name, follow(comes, Observation()).unwrap()).unwrap()
    beside = plan_clone(spec.name, copy, {spec.name: have}, FACTS).unwrap()
    other = plan_rename(spec.name, "web03", {spec.name: have}, FACTS).value_or(beside.plans[0])
    gone = plan_removal(spec.name, "data", {spec.name: have}, FACTS).value_or(other)
    moves = plan_volume_move(spec.name, "root", "fast", {spec.name: have}).value_or(other)
    plans = (
        plan_export(spec.name, "/a.tar", have).unwrap(),
        plan_publish(spec.name, "/a.tar.zst", have, FACTS).unwrap(),
        there.unwrap(),
        here,
        *beside.plans,
        other,
        gone,
        moves,
    )
    return [explain(each) for each in plans]


def several_hosts(wanted: Goal) -> list[str]:
    group = frozenset({wanted.name, "db01"})
    rules = Rules(strategy=Strategy.PACK, together=(group,), reserve=0.1)
    hosts = {"a": Candidate(facts=FACTS), "b": Candidate(goals=(wanted,))}
    chosen: Placement = place(replace(wanted, name="db01"), {"a": hosts["a"]}, rules).unwrap()
    moves: tuple[Move, ...] = (*drain("b", hosts, rules).unwrap(), *rebalance(hosts))
    twice: tuple[Duplicate, ...] = duplicates(hosts)
    owners = [owner for each in twice for owner in each.owners]
    moving: Migration | None = migration("db01", "b", hosts).value_or(None)
    phases = moving.phases if moving else ()
    strategy = parse_rules({}).unwrap().strategy
    return [
        chosen.host,
        *(f"{move.vm} to {move.target}" for move in moves),
        *owners,
        *phases,
        strategy,
    ]


def main() -> None:
    specs = declared({"vms": {"web01": {"template": "debian", "memory": "1GiB"}}}).unwrap()
    host = recording()
    stay: tuple[Kept, ...] = retained(host).kept
    goals = [*boot_goals(host.observations), *halt_goals(host.observations)]
    goals += rebuild_goals(host.observations)
    lines = [*one_vm(specs[0]), *whole_host(specs), *(reason for k in stay for reason in k.reasons)]
    lines += [*whole_vm(specs[0]), *several_hosts(goal_of(specs[0]))]
    print("\n".join([*lines, *(goal.name for goal in goals)]))


if __name__ == "__main__":
    main()
