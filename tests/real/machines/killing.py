"""geats, as its command line, but for a kill -9 at one of its calls of libvirt.

``python -m tests.real.machines.killing [VICTIM CALL WHEN] -- WORDS``: the first time that CALL is
asked of the daemon, VICTIM (geats, libvirtd, QEMU) is killed ``before`` or ``after`` it.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from geats_host.cli.main import main
from geats_host.drivers.libvirt.daemon import Daemon
from tests.real.machines.libvirt_daemon import pid_of
from tests.real.machines.two_hosts import restart_daemon


def kill(victim: str, folder: Path) -> None:
    """kill -9; a daemon is started again."""
    match victim:
        case "geats":
            os.kill(os.getpid(), signal.SIGKILL)
        case "libvirtd":
            assert pid_of(folder)
            restart_daemon(folder)
        case _:
            for file in Path("/run/libvirt/qemu").glob("geats-*.pid"):
                os.kill(int(file.read_text()), signal.SIGKILL)


def kill_at(folder: Path, victim: str, call: str, when: str) -> None:
    """Do it the first time that this is asked."""
    asked, left = Daemon.ask, [1]

    def ask(self: Daemon, do: str, name: str | None, **more: Any) -> dict[str, object]:
        if do != call or not left:
            return asked(self, do, name, **more)
        left.clear()
        if when == "before":
            kill(victim, folder)
        answer = asked(self, do, name, **more)
        if when == "after":
            kill(victim, folder)
        return answer

    Daemon.ask = ask  # type: ignore[method-assign]


if __name__ == "__main__":
    at = sys.argv.index("--")
    killing, words = sys.argv[1:at], sys.argv[at + 1 :]
    if killing:
        kill_at(Path(words[1]).parent, *killing)
    sys.argv = ["geats", *words]
    main()
