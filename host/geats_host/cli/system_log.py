"""Where log messages go without Salt: to the system's log, and one line to standard error."""

import logging
from pathlib import Path

SOCKET = Path("/dev/log")


class _OneLine(logging.Formatter):
    """What happened, without the traceback: that is for the system's log."""

    def format(self, record: logging.LogRecord) -> str:
        return f"warning: {record.getMessage()}"


class _SystemLog(logging.Handler):
    """The system's log, connected when the first message is sent: most calls send none."""

    to: logging.Handler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.to is None:
            from logging.handlers import SysLogHandler

            self.to = SysLogHandler(str(SOCKET))
            self.to.setFormatter(logging.Formatter("geats[%(process)d]: %(message)s"))
        self.to.emit(record)


def log_to_the_system() -> None:
    """Send warnings to the system's log, if there is one, and a line of each to standard error."""
    shown = logging.StreamHandler()
    shown.setFormatter(_OneLine())
    handlers: list[logging.Handler] = [shown]
    if SOCKET.exists():
        handlers.append(_SystemLog())
    logging.basicConfig(level=logging.WARNING, handlers=handlers)
