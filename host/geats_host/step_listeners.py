"""Who hears of the steps of a plan while it is applied."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeAlias

from geats_core.declared.config import Events

if TYPE_CHECKING:  # who only looks at VMs has no steps
    from geats_core.planning.steps import Step
    from geats_host.registry import Outcome

Progress: TypeAlias = "Callable[[Step, Outcome, str], None]"  # and what the journal says of it
Listening: TypeAlias = "Callable[[Events, str], AbstractContextManager[Progress]]"  # by who asked


def nobody(_: Events, __: str) -> AbstractContextManager[Progress]:
    """Nobody listens."""
    return nullcontext(silent)


def silent(step: "Step", outcome: "Outcome", detail: str) -> None:
    """Report no progress."""
