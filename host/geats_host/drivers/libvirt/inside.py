"""What runs in a domain, and what is known of it: asked of libvirt and of its guest's agent."""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.reading import fields
from geats_core.vm.observation import Power
from geats_host.drivers import Copied, Info, Ran, Streams, held, vm_files
from geats_host.drivers.libvirt import definition
from geats_host.drivers.libvirt.daemon import CHILD
from geats_host.drivers.libvirt.domains import HOLD, Domains
from geats_host.drivers.libvirt.guests import agent, console_log, info, programs, quiescing, trees
from geats_host.errors import HostError, Refused
from geats_host.linux.run import run
from geats_host.streams import interruptions
from geats_host.streams.pipes import write_all

if TYPE_CHECKING:
    from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite


AGENT = CHILD.with_name("agent_child.py")


@dataclass(frozen=True, slots=True)
class Inside(Domains):
    """Guests that are held, asked and told; see the Protocol ``Driver``."""

    def hold(self, name: str) -> str:
        """Suspend the machine, with its filesystems at rest if its agent answers.

        A process that outlives this one lets it go on.
        """
        folder = self.folder(name)
        seen = self.observe(name).get(name)
        if seen is None or seen.power is not Power.RUNNING:
            raise HostError(f"{name} does not run: it cannot be held")
        who = [f"{folder / held.HELD}", f"{os.getpid()}", agent.thawing(self.options.uri, name)]
        run(
            [*self.daemon.binding.script(HOLD), *who, *self.daemon.binding.script(AGENT)],
            timeout_s=self.options.timeout_s,
        )
        try:
            unquiesced = self._quiesce(name)
            self.have("freeze", name)
        except HostError:
            with suppress(HostError):  # it may be frozen now, or not
                self.unfreeze(name)
            self.let_go(name)
            raise
        return unquiesced

    def unfreeze(self, name: str) -> None:
        """Let the machine go on, and its filesystems."""
        self.have("unfreeze", name)
        if quiescing.is_quiesced(self.folder(name)):
            with self._reached(name, quiescing.STILL) as asks:
                quiescing.thaw(self.folder(name), asks)
        self.let_go(name)

    def _quiesce(self, name: str) -> str:
        """Put the filesystems of the guest to rest; why it does not, or nothing."""
        try:
            with self._reached(name, quiescing.UNASKED) as asks:
                quiescing.quiesce(self.folder(name), asks)
        except HostError as error:
            return f"{error}"
        return ""

    def info(self, name: str) -> Info:
        """What libvirt counts; addresses are as the guest's agent, DHCP or ARP tell them."""
        self.folder(name)
        return info.info(self.daemon.ask("info", name), self._pid(name))

    def usage(self, names: Collection[str]) -> Mapping[str, Info]:
        """The same of several by one child; only agents that are connected are asked."""
        found = self.daemon.ask("usage", None, names=sorted(names))
        return {
            name: info.info(each, self._pid(name))
            for name, each in found.items()
            if isinstance(each, dict)
        }

    def _pid(self, name: str) -> int | None:
        """That of its QEMU, if libvirt is of this host and says so."""
        folder = self.options.run_folder
        if folder is None or not fields.VM_NAME.fullmatch(name):
            return None
        with vm_files.host_errors(f"cannot read the pid of {name}"):
            text = (vm_files.read(folder, f"{name}.pid") or "").strip()
        return int(text) if text.isdecimal() else None

    def console_command(self, name: str) -> Sequence[str]:
        """The program of libvirt that attaches to a serial console."""
        self.folder(name)
        return ["virsh", "--connect", self.options.uri, "console", name]

    def logs(self, name: str) -> Mapping[str, Path]:
        """What QEMU said, and the guest on its console, if that is kept; if libvirt is of here."""
        own, folder = self.folder(name), self.options.log_folder
        if folder is None:
            return {}
        with vm_files.host_errors(f"cannot find the logs of {name}"):
            kept = console_log.file_of(own, definition.last_written(own))
        return {**({"console": kept} if kept else {}), "qemu": folder / f"{name}.log"}

    def exec(self, name: str, command: "Command") -> Ran:
        """Run a program by the guest's agent."""
        with self._reached(name, f"cannot run a program in {name}") as asks:
            return programs.run(asks, command)

    def stream(
        self, name: str, command: "Command", streams: Streams, timeout_s: float | None
    ) -> int | None:
        """The same with an input, which is read to its end first; the output comes at the end."""
        given = b"" if streams.stdin is None else self._input(name, streams.stdin)
        with (
            interruptions.passed_on(lambda _: None) as came,
            self._reached(name, f"cannot run a program in {name}") as asks,
        ):
            ran = programs.stream(asks, command, given, timeout_s, lambda: came.number)
        more = b"there was more output than is kept\n" if ran.truncated else b""
        write_all(streams.stdout, ran.stdout)
        write_all(streams.stderr, ran.stderr + more)
        if ran.code is None and came.number:
            sys.exit(128 + came.number)
        return ran.code

    def _input(self, name: str, source: int) -> bytes:
        """What the caller gives a program; nothing from a terminal."""
        if os.isatty(source):
            return b""
        most = programs.MOST_INPUT
        with open(source, "rb", closefd=False) as opened:
            given = opened.read(most + 1)
        if len(given) > most:
            instead = f"copy it with 'geats push {name} FILE PATH', or use 'geats ssh {name}'"
            raise Refused(f"{name}: its agent takes at most {most >> 10} KiB of input: {instead}")
        return given

    def write_file(self, name: str, file: "FileToWrite", source: int) -> None:
        """Write a file by the guest's agent."""
        with self._reached(name, f"cannot write {file.path} of {name}") as asks:
            programs.write(asks, file, source)

    def read_file(self, name: str, file: "FileToRead", target: int) -> None:
        """Read a file by the guest's agent."""
        with self._reached(name, f"cannot read {file.path} of {name}") as asks:
            programs.read(asks, file, target)

    def pack(self, name: str, path: str, target: int, timeout_s: int) -> Copied:
        """Write a directory as a stream, by Python of the guest."""
        with self._reached(name, f"cannot read {path} of {name}") as asks:
            return trees.pack(asks, path, target, timeout_s)

    def unpack(self, name: str, file: "FileToWrite", source: int) -> Copied:
        """Write what a stream has to a directory, by Python of the guest."""
        with self._reached(name, f"cannot write {file.path} of {name}") as asks:
            return trees.unpack(asks, file, source)

    @contextmanager
    def _reached(self, name: str, doing: str) -> Iterator[agent.Asks]:
        """What asks the guest's agent."""
        self.folder(name)
        argv = self.daemon.binding.script(AGENT)
        try:
            with agent.connected(argv, self.options.uri, name, self.options.timeout_s) as reached:
                yield reached.ask
        except HostError as error:
            raise HostError(f"{doing}: {error}") from None
