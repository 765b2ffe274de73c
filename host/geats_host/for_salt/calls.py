"""What our execution modules share: the host of a call, and the form of its answer.

Salt has options and a pillar for each call. Here they are those of the running call, whichever of
our modules it is in: names such as ``__opts__`` are what Salt's loader has at the moment.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import salt.utils.msgpack
from returns.result import Failure
from salt.defaults.exitcodes import EX_GENERIC, EX_PILLAR_FAILURE
from salt.exceptions import CommandExecutionError
from salt.loader.context import LoaderContext

from geats_core.declared.config import Events
from geats_core.plans.glance import in_lines, refused_lines
from geats_core.plans.plan_files import SavedPlan
from geats_host.calls import reports
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Applied
from geats_host.for_salt import in_brief
from geats_host.for_salt.errors import salts_errors
from geats_host.for_salt.events import told_of_steps
from geats_host.host import Host
from geats_host.inputs import configuration
from geats_host.step_listeners import Progress

Answer: TypeAlias = dict[str, Any] | list[str]  # all of it, or in brief
NOTHING: Mapping[str, object] = MappingProxyType({})
Checked = TypeVar("Checked")

log = logging.getLogger(__name__)

__opts__ = LoaderContext().named_context("__opts__")
__pillar__ = LoaderContext().named_context("__pillar__")
__context__ = LoaderContext().named_context("__context__")


@contextmanager
def opened() -> Iterator[Host]:
    """The host as it is configured; what it refuses, and its trouble, is Salt's own error."""
    with salts_errors():
        yield Host.from_config(configured(), _origin(), _listening)


@contextmanager
def opened_in_part() -> Iterator[Host]:
    """The same for what goes on if keys of the configuration are wrong: that is told."""
    with salts_errors():
        yield _warned(Host.in_part(configured(), _origin(), _listening))


@contextmanager
def looked_at() -> Iterator[Host]:
    """The same for a call that changes nothing, also if the pillar may not be whole.

    That is logged, and told by the exit code.
    """
    wrong = pillar_problems()
    if wrong:
        log.warning("what is declared may be missing here:\n%s", "\n".join(wrong))
        __context__["retcode"] = EX_PILLAR_FAILURE
    with salts_errors():
        yield _warned(Host.in_part(as_rendered(), _origin()))


def configured() -> object:
    """The configuration of the host; refused if the pillar failed to render."""
    return configuration.from_salt(__opts__, __pillar__)


def as_rendered() -> object:
    """The same, as far as the pillar was rendered."""
    return configuration.as_rendered(__opts__, __pillar__)


def pillar_problems() -> list[str]:
    """Why the pillar may not be whole; empty if it is."""
    return [str(each) for each in configuration.failed(__pillar__)]


def is_test(test: object) -> bool:
    """Whether nothing is to be done: *test*, else as Salt's options say."""
    return bool(__opts__.get("test") if test is None else test)


def words(given: Mapping[str, object]) -> dict[Any, object]:
    """What a caller gave, without what Salt adds."""
    return {key: value for key, value in given.items() if not key.startswith("__")}


def applied(host: Host, planned: SavedPlan, test: object, verbose: object) -> Answer:
    """Carry the plan of one VM out, but in test mode: in brief, or all of it.

    All of it says also who said what of the VM's spec.
    """
    plan = planned.of_vm
    if is_test(test):
        answer = would(planned, verbose)
    else:
        answer = done(planned, apply_plan(host, planned), verbose)
    return with_all(answer, origins=dict(planned.origins.get(plan.name, {})))


def with_all(answer: Answer, **more: object) -> Answer:
    """The *answer*, with *more* if it is all of it."""
    return {**answer, **more} if isinstance(answer, dict) else answer


def beside(answer: Answer, **more: object) -> dict[str, Any]:
    """The *answer* and *more*; if it is in brief, it is under ``plan``."""
    return {**(answer if isinstance(answer, dict) else {"plan": answer}), **more}


def would(planned: SavedPlan, verbose: object) -> Answer:
    """What the plan of one VM would do."""
    if not verbose:
        return in_brief.plan_in_brief(planned)
    plan = planned.of_vm
    changes = {"changes": reports.would_change(plan), "brief": in_brief.changes(planned)}
    return {**reports.plan_report(plan), **changes}


def done(planned: SavedPlan, how_far: Applied, verbose: object) -> Answer:
    """What the plan of one VM did; that it did not come to its end is an error."""
    error = reports.error_of(how_far)
    errors = [error] if error else []
    if not verbose:
        return unless(errors, in_brief.done_in_brief(planned, how_far), NOTHING)
    report = reports.apply_report(planned.of_vm, how_far)
    brief = in_brief.changes(planned, how_far)
    return unless(
        errors, {**report, "brief": brief}, {"changes": report["changes"], "brief": brief}
    )


def applied_to_host(host: Host, made: SavedPlan, test: object, verbose: object) -> Answer:
    """Carry a plan for several VMs out, but in test mode; who is refused or fails is an error."""
    how_far = None if is_test(test) else apply_plan(host, made)
    failure = reports.error_of(how_far) if how_far is not None else None
    errors = [*refused_lines(made), *filter(None, [failure])]
    if not verbose:
        return _in_brief(made, how_far, errors)
    brief = in_brief.changes(made, how_far)
    if how_far is None:
        changes = reports.would_change_host(made.plan)
        return unless(
            errors, {**reports.host_plan_report(made), "changes": changes, "brief": brief}
        )
    return unless(errors, {**reports.apply_host_report(made, how_far), "brief": brief})


def _in_brief(made: SavedPlan, how_far: Applied | None, errors: list[str]) -> Answer:
    """The lines about all VMs; those about the others stand beside an error about one."""
    lines = in_lines(made) if how_far is None else in_brief.done_in_brief(made, how_far)
    if errors and not isinstance(how_far, Failure):  # else the error says what was done
        errors = [*errors, *lines]
    return unless(errors, lines, NOTHING)


def unless(
    errors: Sequence[str], report: Checked, told: Mapping[str, object] | None = None
) -> Checked:
    """The *report*; if there are *errors*, they are Salt's own, with *told* (or all) of it."""
    if errors:
        raise CommandExecutionError("\n".join(errors), info=report if told is None else told)
    return report


def checked(report: Checked, *, wrong: bool) -> Checked:
    """The *report* of a check; if something is *wrong*, the exit code of the call says so."""
    if wrong:
        __context__["retcode"] = EX_GENERIC
    return report


def for_schedule(given: Mapping[str, object], run: Callable[[], object]) -> object:
    """What *run* returns; an error too, if Salt's schedule calls, which keeps none that is raised.

    It shows only that there was one: "Unhandled exception". *given* has what Salt adds to a call.
    """
    try:
        return run()
    except CommandExecutionError as error:
        if "__pub_schedule" not in given:
            raise
        __context__["retcode"] = EX_GENERIC
        return {**(error.info if isinstance(error.info, dict) else {}), "error": error.error}


def _warned(host: Host) -> Host:
    """The host; what is wrong with its configuration is logged, and told by the exit code."""
    if host.config.unsound:
        log.warning(
            "nothing is planned until this is corrected:\n%s", "\n".join(host.config.unsound)
        )
        __context__["retcode"] = EX_PILLAR_FAILURE
    return host


def _origin() -> str:
    """The job that this is, for the journal: while it runs, Salt has a file with it."""
    for file in Path(__opts__["cachedir"], "proc").glob("[0-9]*"):
        try:
            job = salt.utils.msgpack.unpackb(file.read_bytes(), raw=False)
        except (OSError, ValueError):
            continue  # it has ended, or is just being written
        if isinstance(job, dict) and job.get("pid") == os.getpid():
            user = job.get("user") or "somebody"
            return f"salt, job {job.get('jid')} ({job.get('fun')}) of {user}"
    return "salt"


def _listening(events: Events, origin: str) -> AbstractContextManager[Progress]:
    """Whoever is on the minion's bus."""
    return told_of_steps(__opts__, events, origin)
