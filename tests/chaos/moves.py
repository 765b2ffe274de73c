"""A move between two hosts of this machine, with all that the runner and both minions do for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from returns.result import Failure

from geats_core.plans.codec import encode
from geats_core.plans.plan_files import SavedPlan
from geats_host.calls import copies, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Applied
from geats_host.errors import HostError, Refused
from geats_host.for_salt.fleet import Fleet
from geats_host.for_salt.migrating import Mover
from geats_host.host import Host
from geats_host.planning import plans

HERE, AWAY = "here", "away"
Raw = dict[str, object]


def away(raw: Raw) -> Raw:
    """The configuration of the other host: beside this one, and it describes no VM."""
    at = Path(f"{raw['state_dir']}").parents[1] / AWAY
    pools = {"plain": {"type": "directory", "path": f"{at}/plain"}}
    places = {"state_dir": f"{at}/state", "run_dir": f"{at}/run", "pools": pools}
    return {**raw, **places, "vms": {}}


def move(raw: Raw, vm: str, target: str) -> bool:
    """Move the VM, as ``salt-run geats.migrate`` does; whether that came to its end."""
    here = raw if target == HERE else {**raw, "vms": {}}
    minions = Minions({HERE: here, AWAY: away(raw)})
    found = Fleet.asked(minions.ask, "*").migration(vm, target, None)
    report = Mover(found, minions.ask, lambda *_: None).carry_out()
    print(report)
    return report["failed"] is None


@dataclass(frozen=True)
class Minions:
    """Hosts by name; what Salt would ask of their minions is done here."""

    raws: Mapping[str, Raw]

    def ask(self, host: str, function: str, *args: Any, **named: Any) -> Mapping[str, Any]:
        asked = self.raws if host == "*" else {host}
        return {each: self._answer(each, function, args, named) for each in asked}

    def _answer(self, host: str, function: str, args: Any, named: Any) -> Mapping[str, Any]:
        named = {key: value for key, value in named.items() if key != "verbose"}  # all is
        try:
            return {"ret": _done(Host.from_config(self.raws[host]), function, args, named)}
        except (HostError, Refused) as error:
            return {"ret": f"ERROR: {error}", "retcode": 1}


def _done(host: Host, function: str, args: Any, named: Any) -> object:
    match function, args:
        case "geats.candidate", _:
            return encode(plans.candidate(host))
        case "cp.push", _:
            return True
        case "file.remove", (path,):
            Path(path).unlink()
            return None
        case "geats.export", (vm,):
            planned = copies.export(host, vm)
            _check(copies.apply_export(host, planned))
            return copies.written(planned)
        case "geats.import_", (url,):
            path = url.removeprefix("salt://").partition("/")[2]
            return _check(copies.apply_copy(host, copies.import_(host, f"/{path}", **named)))
        case "geats.shutdown", (vm,):
            return _apply(host, lifecycle.plan_shutdown(host, vm, **named))
        case "geats.accept", (vm,):
            return _apply(host, copies.accept(host, vm))
        case (("geats.undefine" | "geats.start"), (vm,)):
            return _apply(host, lifecycle.plan_verb(host, function.removeprefix("geats."), vm))
        case "geats.apply", (vm, "deprovisioned"):
            return _apply(host, lifecycle.plan_verb(host, "deprovision", vm))
        case _:
            raise AssertionError(function)


def _apply(host: Host, planned: SavedPlan) -> object:
    return _check(apply_plan(host, planned))


def _check(applied: Applied) -> object:
    """The steps that were done; raises ``HostError`` if one failed."""
    if isinstance(applied, Failure):
        raise HostError(f"{applied.failure()}")
    return len(applied.unwrap())
