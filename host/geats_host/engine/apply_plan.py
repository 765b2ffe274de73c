"""A plan applied to its host: what callers use to change anything."""

from threading import Event
from typing import TYPE_CHECKING

from returns.result import Success

from geats_core.plans.plan_files import SavedPlan
from geats_host.engine.outcomes import Applied
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.planning.facts import places_of
from geats_host.step_listeners import Progress, silent

if TYPE_CHECKING:
    from geats_core.planning.steps import Step
    from geats_host.engine import apply, locked_plan
    from geats_host.registry import Outcome
else:  # most plans have nothing to do
    apply = later("geats_host.engine.apply")
    locked_plan = later("geats_host.engine.locked_plan")


def apply_plan(
    host: Host, planned: SavedPlan, progress: Progress = silent, over: Event | None = None
) -> Applied:
    """Carry out a plan; refused if a VM is no longer what the plan was made from.

    Once somebody sets *over*, no other step begins.
    """
    places = places_of(host)
    places.remember()
    if planned.plan.is_empty:
        return Success(())
    over = over or Event()
    listening = host.listening(host.config.events, host.origin)
    with listening as listener, locked_plan.locked(host, planned):

        def tell(step: "Step", outcome: "Outcome", detail: str) -> None:
            progress(step, outcome, detail)
            listener(step, outcome, detail)

        applied = apply.apply_steps(
            planned.plan.steps,
            locked_plan.performing(host, planned, places, over),
            host.registry,
            tell,
            host.origin,
            apply.Onlooker(planned.observations, host.observe),
            over,
            locked_plan.unpacks(host, planned),
        )
        locked_plan.bound_journal(host)
        places.remember()  # a pool has its identity from its first volume on
        return applied
