"""How long a plan takes by the agent, beside a process of the command line, in one run.

usage: .venv/bin/python benchmarks/agent.py [VMS] [RUNS]    (default: 50, 15)

A host of real containers' configuration, of which none is there yet: each plan looks at the host,
and plans all of it. Medians and ranges of wall time; then 100 clients that ask at once.
"""

import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

GEATS = (sys.executable, "-m", "geats_host.cli.main")
CLIENTS = 100


def main() -> None:
    """Time both kinds of calls in turn."""
    vms, runs = (int(each) for each in [*sys.argv[1:], *("50", "15")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory(prefix="geats-bench-") as directory:
        config = configuration(Path(directory), vms)
        environment = {**os.environ, "GEATS_HOST_FILE": ""}
        geats = [*GEATS, "--config", f"{config}"]
        path = f"{directory}/socket"
        agent = subprocess.Popen([*geats, "agent", "--listen", path], env=environment)
        try:
            time_calls(path, [*geats, "--json", "plan", "vm0"], environment, runs)
            time_crowd(path)
        finally:
            agent.terminate()
            agent.wait()


def configuration(directory: Path, vms: int) -> Path:
    """The file of a host with that many VMs."""
    template = directory / "template.tar"
    with tarfile.open(template, "w") as archive:
        archive.add(__file__, "etc")
    config = directory / "geats.yaml"
    raw = {
        "state_dir": f"{directory}/state",
        "run_dir": f"{directory}/run",
        "drivers": {"lxc": {"path": f"{directory}/lxc"}},
        "pools": {"default": {"type": "directory", "path": f"{directory}/volumes"}},
        "templates": {"debian": {"path": f"{template}"}},
        "vms": {f"vm{n}": {"template": "debian", "memory": "64MiB"} for n in range(vms)},
    }
    config.write_text(json.dumps({"geats": raw}))
    return config


def time_calls(path: str, argv: list[str], environment: dict[str, str], runs: int) -> None:
    """Plans of one VM: by a connection, and by a process."""
    with connected(path) as connection:
        kinds: dict[str, Callable[[], object]] = {
            "agent, one VM": lambda: ask(connection, "Plan", names=["vm0"]),
            "agent, whole host": lambda: ask(connection, "Plan"),
            "geats plan, one VM": lambda: subprocess.run(
                argv, env=environment, check=True, stdout=subprocess.DEVNULL
            ),
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for run in range(runs + 1):
            for kind, call in kinds.items():
                took_s = timed(call)
                times[kind] += [took_s] if run else []  # the first warms up
    for kind, found in times.items():
        low, mid, high = (each * 1000 for each in (min(found), median(found), max(found)))
        print(f"{kind:<20} {mid:8.1f} ms  ({low:.1f} to {high:.1f})")


def time_crowd(path: str) -> None:
    """Many clients, each of which asks once, all at the same time."""
    clients = [connected(path) for _ in range(CLIENTS)]

    def all_ask() -> None:
        for client in clients:
            send(client, "Plan", names=["vm0"])
        for client in clients:
            answer(client)

    print(f"{CLIENTS} clients at once  {timed(all_ask) * 1000:8.1f} ms for all their plans")
    for client in clients:
        client.close()


def connected(path: str) -> socket.socket:
    """A connection, once the agent listens."""
    connection = socket.socket(socket.AF_UNIX)
    for _ in range(500):
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)
        else:
            return connection
    sys.exit("the agent does not listen")


def send(connection: socket.socket, method: str, **parameters: object) -> None:
    """Call a method."""
    call = {"method": f"io.geats.Host.{method}", "parameters": parameters}
    connection.sendall(json.dumps(call).encode() + b"\0")


def answer(connection: socket.socket) -> dict[str, object]:
    """The reply, which must be no error."""
    data = b""
    while not data.endswith(b"\0"):
        data += connection.recv(1 << 20)
    reply: dict[str, object] = json.loads(data[:-1])
    if "error" in reply:
        sys.exit(f"{reply}")
    return reply


def ask(connection: socket.socket, method: str, **parameters: object) -> dict[str, object]:
    """Call a method, and wait for its answer."""
    send(connection, method, **parameters)
    return answer(connection)


def timed(call: Callable[[], object]) -> float:
    """How many seconds it takes."""
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
