"""Passes on what is asked of the agent in a guest: run as a script, by ``agent``.

It may run in another Python than geats does: ``python -I -S agent_child.py PACKAGES``, where
PACKAGES is where the binding is. On its input come lines of JSON: first ``uri`` and ``name``, and
``resume`` if the machine is to go on; then each time ``ask``, which is text for the agent, and
``within_s``. Each gets a line on its output: ``answer``, the agent's text as it came (none for the
first), or ``failed``: why there is none. ``lacks`` says whether there is no ``agent`` that answers,
or no ``channel`` to one. Nothing of what the guest says is looked at here.
"""

import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path += [*sys.argv[1:2], f"{Path(__file__).parent}"]
libvirt: Any = import_module("libvirt")  # they have no types
libvirt_qemu: Any = import_module("libvirt_qemu")
of_geats: Any = import_module("of_geats")
powering: Any = import_module("powering")

LACKS = {
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: "agent",
    libvirt.VIR_ERR_AGENT_UNSYNCED: "agent",
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: "channel",
}


def main() -> int:
    """Answer until nothing more is asked."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    request = json.loads(sys.stdin.readline())
    try:
        with of_geats.connected(request["uri"]) as host:
            domain = of_geats.ours(host, request)
            if request.get("resume"):
                powering.go_on(domain)
            print(json.dumps({"answer": ""}), flush=True)
            for line in sys.stdin:
                print(json.dumps(_passed_on(domain, json.loads(line))), flush=True)
    except (libvirt.libvirtError, of_geats.Refused) as error:
        print(json.dumps({"failed": str(error), "lacks": ""}), flush=True)
    return 0


def _passed_on(domain: Any, request: dict[str, Any]) -> dict[str, object]:
    within_s = max(1, math.ceil(request["within_s"]))
    try:
        return {"answer": libvirt_qemu.qemuAgentCommand(domain, request["ask"], within_s, 0)}
    except libvirt.libvirtError as error:
        return {"failed": str(error), "lacks": LACKS.get(error.get_error_code(), "")}


if __name__ == "__main__":
    sys.exit(main())
