"""What each method of the interface does: blocking, whatever the way by which it is called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

from geats_core.declared.access import Right
from geats_core.declared.pillar_schema import pillar_schema
from geats_core.reading import fields
from geats_core.reading.checked import problems_to_plain
from geats_host.agent import applying
from geats_host.agent.callers import Caller
from geats_host.agent.definition import METHODS
from geats_host.agent.faults import Fault, faults, refused
from geats_host.agent.this_host import host_facts
from geats_host.calls import inventory, lifecycle, reports
from geats_host.calls.guests.programs import run_in
from geats_host.errors import HostError, accepted
from geats_host.host import Host
from geats_host.inputs import configuration
from geats_host.metrics.timings import timed
from geats_host.watching import history

LARGEST_NUMBER = 2**63 - 1  # that an entry of a journal can have
Answer: TypeAlias = dict[str, Any]
Tell: TypeAlias = Callable[[Mapping[str, Any]], None]  # a reply that others follow


def nobody(_: Mapping[str, Any]) -> None:
    """Nobody is told."""


@dataclass
class Asked:
    """One request: of whom, and the host that it is about, opened for it alone.

    *tell* gets replies that others follow. Once *over* is set, no other step begins.
    """

    file: Path | None
    caller: Caller
    tell: Tell = nobody
    over: Event = field(default_factory=Event)

    @cached_property
    def raw(self) -> object:
        """The configuration, as it is written now."""
        return configuration.from_file(self.file)

    @cached_property
    def looked_at(self) -> Host:
        """The host, even if keys of the configuration are wrong: see ``Host.in_part``."""
        return Host.in_part(self.raw, f"agent, called by {self.caller.name}")

    @property
    def host(self) -> Host:
        """The host to plan for; refused if a key of the configuration is wrong."""
        host = self.looked_at
        return Host.from_config(self.raw, host.origin) if host.config.unsound else host

    @cached_property
    def rights(self) -> frozenset[Right]:
        """What the caller may ask for. If that cannot be read, only root may anything."""
        everything = self.caller.rights(applying.NO_ACCESS)
        return everything or self._granted()

    def _granted(self) -> frozenset[Right]:
        try:
            with faults():
                return self.caller.rights(self.looked_at.config.agent)
        except Fault:
            return frozenset()

    def check(self, right: Right) -> None:
        """Raise ``Fault`` if the caller may not do that."""
        if right not in self.rights:
            raise Fault("NotAllowed")


def answer(asked: Asked, method: str, parameters: Mapping[str, Any]) -> Answer:
    """The answer, or the last reply of several; ``Fault`` if there is none."""
    asked.check(METHODS[method].right)
    with faults():
        return HANDLERS[method](asked, **parameters)


def _get_host(asked: Asked) -> Answer:
    return {"host": host_facts(asked.looked_at)}


def _get_schema(_: Asked) -> Answer:
    return {"schema": pillar_schema()}


def _list(asked: Asked, filter: object = None) -> Answer:
    host = asked.looked_at
    newest = history.newest(host)  # what happens from here on, Watch tells
    only = {str(key): value for key, value in (applying.mapping("filter", filter) or {}).items()}
    return {"vms": inventory.list_report(host, only), "sequence": newest}


def _info(asked: Asked, name: str) -> Answer:
    return {"vm": inventory.info_report(asked.looked_at, name)}


def _validate(asked: Asked, name: str | None = None, spec: object = None) -> Answer:
    if spec is not None and name is None:
        raise refused("name", "must be given with a spec")
    found = lifecycle.validate(asked.raw, name, applying.mapping("spec", spec))
    return {"problems": problems_to_plain(found)}


def _plan(asked: Asked, **wish: Any) -> Answer:
    if applying.tells_secrets(wish.get("spec")):
        asked.check(Right.APPLY)  # else a reader could try what they may be
    with timed("plan"):
        return applying.planned(asked.host, applying.Wish(**wish)).report


def _apply(
    asked: Asked,
    fingerprint: str | None = None,
    id: str | None = None,
    wait: float | None = None,
    **wish: Any,
) -> Answer:
    terms = applying.Terms(
        fingerprint=fingerprint,
        wait_s=wait or 0.0,
        may_lose_data=Right.DATA_LOSS in asked.rights,
    )
    make = applying.Wish(**wish)
    return applying.applied(asked.host, make, terms, asked.tell, asked.over)


def _exec(asked: Asked, name: str, argv: list[str], options: object = None) -> Answer:
    words = {str(key): value for key, value in (applying.mapping("options", options) or {}).items()}
    return reports.ran_report(run_in(asked.looked_at, name, argv, words))


def _journal(
    asked: Asked,
    name: str | None = None,
    limit: int | None = None,
    since: str | None = None,
    after: int | None = None,
) -> Answer:
    most = accepted(fields.positive_int("limit", 50 if limit is None else limit))
    known = min(max(after or 0, 0), LARGEST_NUMBER)
    return {"entries": history.numbered(asked.looked_at, name, most, since, known)}


def _metrics(asked: Asked) -> Answer:
    try:
        from geats_host.metrics import prometheus
    except ImportError as error:  # a request in one shot needs no library, but for this
        raise HostError(f"{error}: install saltext-geats[agent]") from None
    return {"text": prometheus.text(asked.looked_at)}


HANDLERS: Mapping[str, Callable[..., Answer]] = {
    "GetHost": _get_host,
    "GetSchema": _get_schema,
    "List": _list,
    "Info": _info,
    "Validate": _validate,
    "Plan": _plan,
    "Apply": _apply,
    "Exec": _exec,
    "Journal": _journal,
    "Metrics": _metrics,
}
