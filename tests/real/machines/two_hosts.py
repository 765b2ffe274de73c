"""Two hosts, each with a libvirtd, a hostname and files of its own, and ssh between them.

Run as a program, it is one of the hosts, until its input ends; see ``killing`` for what is done on
one. The place of ssh(1) takes a script that does what it does here: it forwards sockets, and runs a
command on the other host.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.real.machines.libvirt_daemon import a_daemon, pid_of, start_daemon

NAME = "geats-test-moves"
ENDS_WITHIN_S = 400
URL = f"ssh://root@a/{NAME}"
SSH = """#!{python}
import os, socket, subprocess, sys, threading

def listen(at, to):
    there = socket.socket(socket.AF_UNIX)
    there.bind("/proc/{pid}/root" + at)
    there.listen()
    threading.Thread(target=accept, args=(there, to), daemon=True).start()

def accept(there, to):
    while True:
        one, here = there.accept()[0], socket.socket(socket.AF_UNIX)
        here.connect(to)
        for some in ((one, here), (here, one)):
            threading.Thread(target=pump, args=some, daemon=True).start()

def pump(source, target):
    try:
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one end is gone, and so ssh closes the other: who writes there would wait
        for each in (source, target):
            end(each)

def end(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed already
        pass

options, command = sys.argv[1:-3], sys.argv[-1]
for key, value in zip(options, options[1:]):
    if key == "-R":
        listen(*value.split(":"))
enter = ["nsenter", "-t", "{pid}", "-m", "-u", "sh", "-c", command]
os._exit(subprocess.run(enter).returncode)
"""


@dataclass
class OneHost:
    """One of the two: ``process`` keeps its namespaces."""

    name: str
    folder: Path
    process: "subprocess.Popen[bytes]"
    vms: dict[str, object] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)  # more of those of its driver

    @property
    def config(self) -> Path:
        """Its configuration, as it is now."""
        raw = {
            **{"state_dir": f"{self.folder}/state", "run_dir": f"{self.folder}/run"},
            "drivers": {"qemu": {"settle": 0.1, "raw_xml": True, **self.options}},
            "pools": {
                "default": {"type": "sparsefile", "path": f"{self.folder}/pool"},
                "shared": {
                    "type": "sparsefile",
                    "path": f"{self.folder.parent}/shared",
                    "shared": self.name,
                },
            },
            "templates": {"image": {"disk": {"path": f"{self.folder}/image", "format": "raw"}}},
            "vms": self.vms,
        }
        (self.folder / "geats.yaml").write_text(yaml.safe_dump({"geats": raw}))
        return self.folder / "geats.yaml"

    def run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """What a program does there."""
        argv, env = self.inside(*argv)
        return subprocess.run(argv, capture_output=True, text=True, env=env, timeout=300)

    def inside(self, *argv: str) -> "tuple[tuple[str, ...], Mapping[str, str]]":
        """How a program is run there, and in which environment."""
        enter = ("nsenter", "-t", f"{self.process.pid}", "-m", "-u")
        paths = f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": paths, "PYTHONPATH": os.pathsep.join(sys.path)}
        return (*enter, *argv), env

    def geats(self, *words: str, killing: tuple[str, ...] = ()) -> str:
        """What geats does there, by its command line; *killing* is for ``killing``."""
        done = self.run(*self.command(*killing), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def command(self, *killing: str) -> tuple[str, ...]:
        program = (sys.executable, "-m", "tests.real.machines.killing", *killing)
        return (*program, "--", "--config", f"{self.config}")

    def left(self) -> list[str]:
        """What there is of any VM: domains, files, sockets."""
        domains = self.run("virsh", "--quiet", "list", "--all", "--name").stdout.split()
        room = self.run("sh", "-c", "ls -d /run/libvirt/geats-*").stdout.split()
        places = ("pool/geats-test-*", "state/libvirt/qemu/[!_]*")
        files = [each for place in places for each in self.folder.glob(place)]
        return [*domains, *room, *map(str, files)]

    def sent_bytes(self, of: str) -> int:
        """How much of the VM was sent, of its ``disk`` or of its ``memory``."""
        said = self.run("virsh", "--quiet", "domjobinfo", "--rawstats", NAME).stdout
        found = re.search(rf"^{of}_processed: *(\d+)$", said, re.MULTILINE)
        return int(found[1]) if found else 0

    def kill(self, victim: str) -> None:
        """kill -9 of its libvirtd, which is started again, or of its QEMU."""
        program = "import sys; from pathlib import Path; from tests.real.machines import killing"
        words = f"{program}; killing.kill(sys.argv[1], Path(sys.argv[2]))"
        done = self.run(sys.executable, "-c", words, victim, f"{self.folder}")
        assert done.returncode == 0, done.stderr

    def clear(self) -> None:
        """Whatever a test that failed left, nobody declares, and is taken away."""
        self.vms, self.options = {}, {}
        for words in (("stop", NAME), ("deprovision", NAME)):
            self.run(*self.command(), *words)
        self.run("virsh", "destroy", NAME)
        self.run("virsh", "undefine", NAME)

    def console(self, name: str) -> bytes:
        """What a VM said on its serial console here, as it is kept."""
        return (self.folder / f"state/libvirt/qemu/{name}/console.log").read_bytes()

    def power(self) -> str:
        """Of the domain, as libvirt sees it; empty if there is none."""
        return self.run("virsh", "--quiet", "domstate", NAME).stdout.strip()


@dataclass
class TwoHosts:
    """The VM is on ``a``, and ``b`` fetches it."""

    a: OneHost
    b: OneHost

    def fetch(
        self, *words: str, there: tuple[str, ...] = (), here: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Have it fetched; what is killed *there* and *here* is as for ``killing``."""
        return self.b.run(*self.b.command(*here), "fetch", self._url(*there), *words)

    @contextmanager
    def fetching(self, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
        """It is fetched; what is done meanwhile begins at once."""
        argv, env = self.b.inside(*self.b.command(), "fetch", self._url(), *words)
        with subprocess.Popen(argv, env=env) as process:
            try:
                yield process
                process.wait(ENDS_WITHIN_S)
            except BaseException:
                process.kill()
                raise

    def sending(self) -> int:
        """The pid of the geats that sends it."""
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(FileNotFoundError, ProcessLookupError):
                argv = each.read_text().split("\0")
                if argv[0] == sys.executable and argv[-2:] == ["send", ""]:
                    return int(each.parent.name)
        raise AssertionError("nobody sends it")

    def _url(self, *killing: str) -> str:
        command = shlex.join([*self.a.command(*killing), "send"])
        return f"{URL}?command={command.replace(' ', '+')}"


@contextmanager
def two_hosts(folder: Path) -> Iterator[TwoHosts]:
    """The hosts, for a while; nobody declares the VM."""
    with a_host(folder, "a") as a, a_host(folder, "b") as b:
        (b.folder / "bin").mkdir()
        ssh = b.folder / "bin/ssh"
        ssh.write_text(SSH.format(python=sys.executable, pid=a.process.pid))
        ssh.chmod(0o755)
        yield TwoHosts(a, b)


@contextmanager
def a_host(folder: Path, name: str) -> Iterator[OneHost]:
    (folder / name).mkdir()
    argv = [sys.executable, "-m", "tests.real.machines.two_hosts", f"{folder / name}", name]
    env: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(["unshare", "-m", "-u", *argv], stdin=pipe, stdout=pipe, env=env) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
        try:
            yield OneHost(name, folder / name, one)
        finally:
            one.stdin.close()
            one.wait()


def restart_daemon(folder: Path) -> None:
    """Kill the libvirtd of this host, and start it again."""
    os.kill(pid_of(folder), signal.SIGKILL)
    Path("/run/libvirt/libvirt-sock").unlink()
    start_daemon(folder)


if __name__ == "__main__":
    socket.sethostname(sys.argv[2])
    with a_daemon(Path(sys.argv[1]), logs=True):
        print("ready", flush=True)
        sys.stdin.read()
