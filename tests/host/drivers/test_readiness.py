"""Probes of VMs in memory, and of servers that answer as they like."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from geats_core.requests.guest_requests import Command
from geats_core.vm.observation import Power
from geats_core.vm.parse import parse_vm
from geats_core.vm.readiness import CommandProbe, HttpProbe, Probe, Ready, TcpProbe
from geats_host.drivers import DriverSeen, Info, Ran, readiness
from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import HostError
from geats_host.linux import network

SPEC = parse_vm("web", {"template": "debian"}).unwrap()
OK, BUSY = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 Busy\r\n\r\n"


def running(**ports: bytes) -> MemoryDriver:
    driver = MemoryDriver(vms={"web": DriverSeen(in_effect=SPEC, power=Power.RUNNING)})
    driver.listening = {("web", int(port.removeprefix("p"))): said for port, said in ports.items()}
    return driver


@pytest.mark.parametrize(
    ("probe", "reached", "seen"),
    [
        (CommandProbe(("true",)), True, "true exited with 0"),
        (CommandProbe(("false",)), False, "false exited with 1"),
        (CommandProbe(("nc", "-z")), False, "nc -z exited with 127: nc: No such file or directory"),
        (TcpProbe(80), True, "connected to port 80"),
        (TcpProbe(81), False, "port 81: Connection refused"),
        (HttpProbe(80, "/"), True, ":80/ answered with 200"),
        (HttpProbe(82, "/health"), False, ":82/health answered with 503"),
        (HttpProbe(82, "/health", 503), True, ":82/health answered with 503"),
        (HttpProbe(81, "/"), False, "port 81: Connection refused"),
        (HttpProbe(83, "/"), False, "port 83 gave no answer of HTTP in time"),
    ],
)
def test_a_probe_is_tried_once(probe: Probe, reached: bool, seen: str) -> None:
    driver = running(p80=OK, p82=BUSY, p83=b"SSH-2.0\r\n\r\n")

    assert readiness.look(driver, "web", probe, 5) == readiness.Look(reached, seen)


def test_what_a_command_says_is_no_command_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran(code=1, stderr=b"\x1b[2J\x1b]0;x\x07not\x08 yet\n")
    monkeypatch.setattr(MemoryDriver, "exec", lambda *_: ran)
    look = readiness.look(running(), "web", CommandProbe(("x",)), 5)
    assert look.seen == "x exited with 1: not\\x08 yet"


def test_a_vm_that_is_off_is_not_ready_yet() -> None:
    driver = MemoryDriver(vms={"web": DriverSeen()})

    assert readiness.look(driver, "web", TcpProbe(80), 5).seen == "web is stopped"


def test_it_is_tried_until_it_succeeds() -> None:
    driver, looks = running(), 0

    def look(left_s: float) -> readiness.Look:
        nonlocal looks
        looks += 1
        driver.listening = {("web", 80): OK} if looks == 3 else {}
        return readiness.look(driver, "web", TcpProbe(80), left_s)

    assert readiness.until(look, 60)[0].reached
    assert looks == 3
    readiness.await_ready(driver, "web", Ready(probe=TcpProbe(80)), threading.Event())


def test_if_its_time_is_up_the_last_answer_is_told() -> None:
    ready = Ready(probe=TcpProbe(80), timeout_s=1)

    with pytest.raises(HostError) as raised:
        readiness.await_ready(running(), "web", ready, threading.Event())

    assert str(raised.value) == ("after 1 s: port 80: Connection refused")


def test_who_sets_that_it_is_over_waits_no_longer() -> None:
    over = threading.Event()
    over.set()

    with pytest.raises(HostError, match=r"^interrupted: port 80: Connection refused$"):
        readiness.await_ready(running(), "web", Ready(probe=TcpProbe(80), timeout_s=3600), over)


@dataclass(slots=True)
class HangsOnce:
    """A driver in whose VM a command hangs the first time; it says for how long it was run."""

    tries_s: list[int] = field(default_factory=list)

    def exec(self, name: str, command: Command) -> Ran:
        self.tries_s.append(command.timeout_s)
        return Ran(code=None if len(self.tries_s) == 1 else 0)


def test_a_command_that_hangs_is_tried_again() -> None:
    driver = HangsOnce()
    ready = Ready(probe=CommandProbe(("is-up",)), timeout_s=3600)

    readiness.await_ready(driver, "web", ready, threading.Event())  # type: ignore[arg-type]

    assert driver.tries_s == [30, 30]


@dataclass(slots=True)
class OnItsOwn:
    """A driver that cannot enter a guest's network: what ``readiness`` asks of it."""

    addresses: tuple[str, ...] = ()
    vms: dict[str, DriverSeen] = field(default_factory=dict)

    def observe(self, only: str | None = None) -> dict[str, DriverSeen]:
        return self.vms

    def info(self, name: str) -> Info:
        return Info(addresses=self.addresses)


@contextmanager
def server(said: bytes, *, hold: bool = False) -> Iterator[int]:
    """A server on loopback that says this to each who comes, and with *hold* never hangs up."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.sendall(said)
                if hold:
                    over.wait()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


def test_where_no_network_can_be_entered_the_known_addresses_are_tried() -> None:
    nic = {"name": "eth0", "bridge": "br0", "addresses": ["127.0.0.1/8"]}
    spec = parse_vm("web", {"template": "debian", "nics": [nic]}).unwrap()
    declared = OnItsOwn(vms={"web": DriverSeen(in_effect=spec, power=Power.RUNNING)})
    told = OnItsOwn(addresses=("127.0.0.1",))

    for driver in (declared, told):
        with server(b"") as port:
            look = readiness.look(driver, "web", TcpProbe(port), 5)  # type: ignore[arg-type]
            assert look.reached
    look = readiness.look(OnItsOwn(), "web", TcpProbe(80), 5)  # type: ignore[arg-type]
    assert look.seen == "no address of web is known yet"


def test_a_guest_that_answers_for_ever_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LONGEST_TRY_S", 0.2)
    told = OnItsOwn(addresses=("127.0.0.1",))

    with server(b"HTTP/1.1 ", hold=True) as port:
        look = readiness.look(told, "web", HttpProbe(port, "/"), 60)  # type: ignore[arg-type]

    assert not look.reached
    assert look.seen.startswith(f"port {port} gave no answer")


def test_each_address_is_tried_and_the_first_answer_told() -> None:
    with server(b"") as port:
        network.connection(("::1", "127.0.0.1"), port, 4).close()
    with pytest.raises(HostError) as raised:
        network.connection(("127.0.0.1", "::1"), port, 4)
    assert str(raised.value) == f"port {port} at 127.0.0.1: Connection refused"
