"""``geats_jsonagent``: requests of controllers as the first geats took them, one in a process.

A request is ``{"action": ..., "data": {"vm_name": ..., "definition": ...}}``. On standard input, it
is answered on standard output, with ``success`` and ``data``, or ``errorcode`` and ``message``.
With the paths of two files, as MCollective called it, the first is the request, and the second
becomes the data alone; the exit code says how it went.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from enum import IntEnum
from pathlib import Path

from geats_core.first_geats.answers import ACTIONS, WITH_DEFINITION
from geats_host.errors import HostError, Refused
from geats_host.first_geats import requests
from geats_host.host import Host
from geats_host.inputs.yaml_text import LARGEST_BYTES

ALL_ACTIONS = ("status", "info", *ACTIONS)


class Ended(IntEnum):
    """How a request ended: the exit codes of the first geats."""

    OK = 0
    ABORTED = 1
    UNKNOWN_ACTION = 2
    MISSING_DATA = 3
    INVALID_DATA = 4
    OTHER_ERROR = 5


class WrongRequest(Exception):
    """A request that cannot be carried out, with the code of it."""

    def __init__(self, code: Ended, message: str) -> None:
        self.code = code
        super().__init__(message)


def main() -> None:
    """The program."""
    sys.exit(run(sys.argv[1:]))


def run(files: Sequence[str]) -> int:
    """Answer one request; the exit code."""
    if files and len(files) != 2:
        print("usage: geats_jsonagent [REQUEST_FILE ANSWER_FILE]", file=sys.stderr)
        return Ended.OTHER_ERROR
    try:
        with Path(files[0]).open("rb") if files else nullcontext(sys.stdin.buffer) as opened:
            text = opened.read(LARGEST_BYTES + 1)
        data = answered(requests.this_host(None, "geats_jsonagent"), _read(text))
        answer: object = data if files else {"success": True, "data": data}
        code = Ended.OK
    except (Refused, HostError, WrongRequest, OSError) as error:
        code = error.code if isinstance(error, WrongRequest) else _code(error)
        answer = {"success": False, "errorcode": code.name.lower(), "message": str(error)}
        if files:
            print(error, file=sys.stderr)
            return code
    if files:
        Path(files[1]).write_text(json.dumps(answer))
    else:
        print(json.dumps(answer))
    return Ended.OK


def _code(error: Exception) -> Ended:
    return Ended.INVALID_DATA if isinstance(error, Refused) else Ended.ABORTED


def _read(text: bytes) -> Mapping[str, object]:
    if len(text) > LARGEST_BYTES:
        raise WrongRequest(Ended.INVALID_DATA, f"is larger than {LARGEST_BYTES >> 20} MiB")
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongRequest(Ended.INVALID_DATA, f"is not valid JSON: {error}") from None
    if not isinstance(request, dict):
        raise WrongRequest(Ended.INVALID_DATA, "must be an object with an action and its data")
    return request


def answered(host: Host, request: Mapping[str, object]) -> object:
    """The data of the answer: states and definitions, or nothing.

    Raises ``WrongRequest``, ``Refused`` and ``HostError``.
    """
    action, data = request.get("action"), request.get("data")
    if action not in ALL_ACTIONS:
        known = ", ".join(ALL_ACTIONS)
        raise WrongRequest(Ended.UNKNOWN_ACTION, f"action: must be one of {known}, got {action!r}")
    if action == "status":
        vms = {name: vm.answer for name, vm in requests.known(host).items()}
        return {"vms": vms, "status": requests.system_status()}
    given = data if isinstance(data, Mapping) else request
    name = given.get("vm_name", given.get("name"))
    if not isinstance(name, str) or not name:
        raise WrongRequest(Ended.MISSING_DATA, "Missing vm_name parameter")
    if action == "info":
        return requests.known_vm(host, name).answer
    definition = given.get("definition")
    if action in WITH_DEFINITION and definition is None:
        raise WrongRequest(Ended.MISSING_DATA, "Missing definition parameter")
    requests.perform(host, str(action), name, definition)
    return requests.known_vm(host, name).answer if action in WITH_DEFINITION else None


if __name__ == "__main__":
    main()
