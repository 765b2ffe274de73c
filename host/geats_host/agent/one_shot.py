"""One request, and its answer, as JSON: for whoever wants no connection."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geats_core.reading.checked import shown, unknown
from geats_host.agent import kept_answers
from geats_host.agent.callers import own
from geats_host.agent.definition import METHODS, NAME
from geats_host.agent.faults import Fault, faults, refused
from geats_host.agent.methods import Asked, answer
from geats_host.agent.runs import carried_out
from geats_host.agent.schemas import NEEDS_A_CONNECTION, wrong_with
from geats_host.errors import Refused

LARGEST_BYTES = 1 << 20
CODES = {"Busy": 6, "Failed": 1, "HostFailed": 1}  # exit codes; of all other faults it is 2


def answered(file: Path | None, text: bytes, over: threading.Event) -> tuple[dict[str, Any], int]:
    """The answer to a request, as of varlink, and the exit code that goes with it.

    Once *over* is set, no other step begins.
    """
    try:
        method, parameters = _read(text)
        return {"parameters": _carried_out(file, method, parameters, over)}, 0
    except Fault as fault:
        error = {"error": f"{NAME}.{fault.name}", "parameters": dict(fault.parameters)}
        return error, CODES.get(fault.name, 2)


def _carried_out(
    file: Path | None, method: str, parameters: Mapping[str, Any], over: threading.Event
) -> Mapping[str, Any]:
    asked = Asked(file, own(), over=over)
    if method != "Apply" or parameters.get("id") is None:
        return answer(asked, method, parameters)
    request = kept_answers.request(asked.caller.uid, parameters["id"], parameters)
    found = carried_out(asked, request, parameters, is_kept=True)
    if isinstance(found, Fault):
        raise found
    return found


def _read(text: bytes) -> tuple[str, Mapping[str, Any]]:
    """The method and the parameters of a request."""
    raw = _json(text)
    named = raw.get("method")
    name = named.removeprefix(f"{NAME}.") if isinstance(named, str) else ""
    parameters = raw.get("parameters", {})
    with faults():
        strange = [unknown(key, "key", key, REQUEST) for key in raw.keys() - REQUEST]
        if name not in METHODS:
            strange.append(unknown("method", "method", named, (f"{NAME}.{m}" for m in METHODS)))
        if strange:
            raise Refused(*strange)
        if name in NEEDS_A_CONNECTION:
            raise refused("method", "needs a connection: ask the agent")
        if not isinstance(parameters, dict):
            raise refused("parameters", f"must be a mapping, got {shown(parameters)}")
        if problems := list(wrong_with(METHODS[name].takes, parameters)):
            raise Refused(*problems)
    return name, parameters


REQUEST = frozenset({"method", "parameters"})


def _json(text: bytes) -> dict[str, Any]:
    if len(text) > LARGEST_BYTES:
        raise refused("", f"is larger than {LARGEST_BYTES >> 20} MiB")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise refused("", "is not JSON") from None
    if not isinstance(raw, dict):
        raise refused("", f"must be a mapping with a method, got {shown(raw)}")
    return raw
