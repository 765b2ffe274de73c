"""Decide what to do; never do it.

The planner and everything that it needs: pure functions of plain values, without root, LXC or Salt.

>>> from geats_core import Goal, Observation, Target, explain, parse_vm, plan
>>> want = parse_vm("web01", {"template": "debian", "memory": "512MiB"}).unwrap()
>>> goal = Goal(name="web01", target=Target.DEFINED, spec=want)
>>> print(explain(plan(goal, Observation()).unwrap()))
1. define web01 because web01 is not defined (impact: none)

By theme:

- what is wanted: ``parse_vm``, ``parse_config``, ``to_plain``
- what there is: ``Observation``, ``after``, ``follow``
- plans: ``plan`` for one VM, ``plan_host`` for all of a host
- goals of a whole host: ``boot_goals``, ``halt_goals``, ``rebuild_goals``
- what a change costs: ``COST``, ``Cost``, ``EntryCost``, ``LIVE_LIMITS``, ``changes``, ``Impact``
- plans explained: ``explain``, ``why``, ``table``, ``mermaid``, ``dot``, ``plan_to_plain``
- plans in files: ``saved``, ``to_json``, ``plan_from_json``, ``recorded_from_json``, ``moved``
- plans undone: ``reverse``, ``reverse_host``, ``with_snapshots``, ``snapshots_first``
- several hosts: ``place``, ``drain``, ``rebalance``, ``duplicates``, ``migration``
- snapshots: ``plan_snapshot``, ``plan_restore``, ``plan_delete``, ``plan_kept``, ``snapshots_of``
- another name: ``plan_rename``
- single volumes: ``plan_removal`` of one that is no longer wanted, ``plan_volume_move``
- copies: ``plan_clone``, ``plan_export``, ``plan_import``, ``copied``, ``Manifest``
- a template: ``plan_publish``
- arrivals from other hosts: ``plan_accept``, ``Arrival``
- which snapshots stay: ``retain``, ``Keep``

Everything else is internal, except two modules: the parts of a ``VMSpec`` are in
``geats_core.vm.spec``, the single actions in ``geats_core.planning.actions``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geats_core.everyday import *
    from geats_core.on_demand import *
else:

    def __getattr__(name):
        """Names are loaded with the first that is asked for; those that few plans need, later."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from geats_core import everyday

        if not hasattr(everyday, name):
            from geats_core import on_demand

            return getattr(on_demand, name)
        return getattr(everyday, name)


__all__ = [
    "COST",
    "LIVE_LIMITS",
    "Action",
    "Arrival",
    "Asked",
    "ByHand",
    "Candidate",
    "Change",
    "Checked",
    "Cost",
    "DataLoss",
    "DriverFacts",
    "Duplicate",
    "EntryCost",
    "Goal",
    "Gone",
    "HostConfig",
    "HostFacts",
    "HostPlan",
    "HostPolicy",
    "Impact",
    "Keep",
    "Kept",
    "Manifest",
    "Migration",
    "Move",
    "NoStart",
    "Observation",
    "Offer",
    "PackedVolume",
    "Parts",
    "Placement",
    "Plan",
    "PoolFacts",
    "Power",
    "PowerOff",
    "Problem",
    "Problems",
    "Recorded",
    "Restart",
    "Retained",
    "Retention",
    "Rules",
    "SavedPlan",
    "Snapshot",
    "SnapshotSeen",
    "Stage",
    "Step",
    "Strategy",
    "Stray",
    "Strays",
    "Target",
    "Undoable",
    "VMSnapshot",
    "VMSpec",
    "VolumeMissing",
    "VolumeSeen",
    "after",
    "boot_goals",
    "changes",
    "copied",
    "describe",
    "dot",
    "drain",
    "duplicates",
    "explain",
    "follow",
    "halt_goals",
    "host_plan_to_plain",
    "manifest_from_json",
    "manifest_to_json",
    "mermaid",
    "migration",
    "moved",
    "name_at",
    "parse_config",
    "parse_keep",
    "parse_rules",
    "parse_vm",
    "place",
    "plan",
    "plan_accept",
    "plan_clone",
    "plan_delete",
    "plan_export",
    "plan_from_json",
    "plan_host",
    "plan_import",
    "plan_kept",
    "plan_publish",
    "plan_removal",
    "plan_rename",
    "plan_restore",
    "plan_snapshot",
    "plan_to_plain",
    "plan_volume_move",
    "rebalance",
    "rebuild_goals",
    "recorded_from_json",
    "retain",
    "reverse",
    "reverse_host",
    "saved",
    "snapshots_first",
    "snapshots_of",
    "table",
    "to_json",
    "to_plain",
    "why",
    "with_snapshots",
]
