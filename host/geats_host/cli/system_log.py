"""Where log messages go without Salt: to the system's log, and one line to standard error."""

import logging
import logging.handlers
from pathlib import Path

SOCKET = Path("/dev/log")


class _OneLine(logging.Formatter):
    """What happened, without the traceback: that is for the system's log."""

    def format(self, record: logging.LogRecord) -> str:
        return f"warning: {record.getMessage()}"


def log_to_the_system() -> None:
    """Send warnings to the system's log, if there is one, and a line of each to standard error."""
    shown = logging.StreamHandler()
    shown.setFormatter(_OneLine())
    handlers: list[logging.Handler] = [shown]
    if SOCKET.exists():
        kept = logging.handlers.SysLogHandler(str(SOCKET))
        kept.setFormatter(logging.Formatter("geats[%(process)d]: %(message)s"))
        handlers.append(kept)
    logging.basicConfig(level=logging.WARNING, handlers=handlers)
