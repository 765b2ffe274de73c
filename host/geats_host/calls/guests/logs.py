"""What is known of a VM from its logs: its console, its init, and the program that runs it.

Guests write most of it, and may write what a terminal would obey: see ``safe``.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from geats_core.reading import fields, mappings
from geats_core.reading.checked import unknown
from geats_core.reading.mappings import Options
from geats_host.calls.guests import programs
from geats_host.drivers import Streams
from geats_host.drivers.abilities import LoggingDriver, StreamingDriver
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host
from geats_host.streams.safe_text import safe

INIT, CONSOLE = "init", "console"
LINES = 50
SCREEN = 20  # lines that are shown before somebody attaches to a console
MOST_BYTES = 1 << 20  # of a file, that are read at once
LONGEST_LINE = 1 << 16  # bytes that a guest's init says before it is shown as another line
KEEP = "set console_log, such as 1MiB, and restart it"
WITHIN_S = 60  # that a guest has to tell what its init logged
LOOK_S = 0.3  # between two looks at a file that is followed
# Arguments: how many lines, and one more word if they are to be followed.
OF_INIT = """
if command -v journalctl >/dev/null; then
    exec journalctl --no-pager --output=short-iso --lines="$1" ${2:+--follow}
fi
for file in /var/log/syslog /var/log/messages; do
    [ ! -f "$file" ] || exec tail -n "$1" ${2:+-F} "$file"
done
echo 'the guest has no journalctl, no /var/log/syslog and no /var/log/messages' >&2
exit 127
"""
Show = Callable[[str, str], None]  # gets what a line is of, and the line


@dataclass(frozen=True, slots=True)
class Logs:
    """What is to be shown of a VM: the files by what they are of, and whether its init is asked."""

    files: Mapping[str, Path]
    init: bool
    lines: int


def logs(host: Host, name: str, source: object, options: Options) -> Logs:
    """What there is; refused if the VM has no such *source*, or it must run for that and does not.

    None is all files. *options* may have ``lines``: how many of each.
    """
    read = mappings.options(options)
    lines = accepted(read.done(read.take("lines", fields.positive_int, LINES)))
    files = _files(host, name)
    if source is None and files:
        return Logs({each: path for each, path in files.items() if path.exists()}, False, lines)
    if source == INIT:
        host.running(name)
        return Logs({}, True, lines)
    if source == CONSOLE and CONSOLE not in files:
        raise Refused(f"{name}: nothing is kept of its console: {KEEP}")
    if source not in files:
        raise Refused(unknown("source", "log", str(source or "file"), {*files, INIT}))
    return Logs({str(source): files[str(source)]}, False, lines)


def show(host: Host, name: str, wanted: Logs, show_line: Show, *, follow: bool = False) -> None:
    """Give *show_line* the newest lines, oldest first; with *follow*, then each that comes."""
    if wanted.init:
        _show_init(host, name, wanted.lines, show_line, follow=follow)
        return
    followed = {source: Followed(path) for source, path in wanted.files.items()}
    for source, file in followed.items():
        for line in list(file.new_lines())[-wanted.lines :]:
            show_line(source, line)
    while follow:
        time.sleep(LOOK_S)
        for source, file in followed.items():
            for line in file.new_lines():
                show_line(source, line)


def last_said(host: Host, name: str) -> list[str]:
    """The newest lines of its console; none if nothing is kept of that."""
    files = _files(host, name)
    return list(Followed(files[CONSOLE]).new_lines())[-SCREEN:] if CONSOLE in files else []


def said_by_its_program(host: Host, name: str) -> list[str]:
    """The newest lines of what the program said that runs it; none if nothing is kept of that."""
    files = {of: path for of, path in _files(host, name).items() if of != CONSOLE}
    return [line for path in files.values() for line in list(Followed(path).new_lines())[-LINES:]]


def _files(host: Host, name: str) -> Mapping[str, Path]:
    driver = host.driver(name)
    return driver.logs(name) if isinstance(driver, LoggingDriver) else {}


@dataclass(slots=True)
class Followed:
    """A file that grows, or is replaced by another of its name."""

    path: Path
    at: int = -1  # byte up to which it was read; before the first time, less than any
    inode: int = 0
    rest: bytes = b""

    def new_lines(self) -> Iterator[str]:
        """What was added since the last time, in whole lines; what the end lacks comes later.

        The first time, these are at most the last MiB of the file, and its last line is one.
        """
        first = self.at < 0
        with suppress(FileNotFoundError):
            added = self._added()
            self.rest += added
        *lines, self.rest = self.rest.split(b"\n")
        if first and self.rest:  # such as a prompt
            lines, self.rest = [*lines, self.rest], b""
        yield from map(safe, lines)

    def _added(self) -> bytes:
        opened = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(opened, "rb") as file:
            seen = os.fstat(opened)
            if (seen.st_ino != self.inode and self.at >= 0) or seen.st_size < self.at:
                self.at, self.rest = 0, b""
            self.at, self.inode = max(self.at, seen.st_size - MOST_BYTES, 0), seen.st_ino
            file.seek(self.at)
            added = file.read(MOST_BYTES)
            self.at += len(added)
            return added


def _show_init(host: Host, name: str, lines: int, show_line: Show, *, follow: bool) -> None:
    """What the journal of the guest has, or its syslog."""
    if follow and not isinstance(host.running(name), StreamingDriver):
        raise Refused(f"{name}: its init cannot be followed, as its driver passes nothing on")
    argv = ["sh", "-c", OF_INIT, "sh", str(lines), *(["follow"] if follow else [])]
    newest = deque[bytes](maxlen=lines)  # the guest may say more than it is asked for
    read, write = os.pipe()

    def reading() -> None:
        with open(read, "rb") as said:
            while line := said.readline(LONGEST_LINE):
                if follow:
                    show_line(INIT, safe(line.rstrip(b"\n")))
                newest.append(line)

    reader = threading.Thread(target=reading)
    reader.start()
    try:
        streams = Streams(stdin=None, stdout=write, stderr=write)
        within: Options = {} if follow else {"timeout": WITHIN_S}
        code = programs.stream(host, name, argv, within, streams)
    finally:
        os.close(write)
        reader.join()
    for line in () if follow else newest:
        show_line(INIT, safe(line.rstrip(b"\n")))
    if code is None:
        raise HostError(f"{name}: its init did not tell its log within {WITHIN_S} s")
    if 0 < code <= 127:  # above, somebody ended it
        raise HostError(f"{name}: its init cannot be asked for a log (exit code {code})")
