"""Consoles of VMs on terminals that are handed over: whoever has the terminal has the console."""

import os
import pty
import subprocess
import threading
from collections.abc import Sequence

from geats_host.errors import trouble


def opened(argv: Sequence[str]) -> int:
    """The other end of a terminal on which the program runs; it ends once that is closed."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=theirs, stdout=theirs, stderr=theirs
        )
    except OSError as error:
        os.close(ours)
        raise trouble(error) from None
    finally:
        os.close(theirs)
    threading.Thread(target=process.wait, daemon=True, name=f"console {process.pid}").start()
    return ours
