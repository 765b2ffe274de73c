"""When a VM is ready, as people write it."""

import pytest
from returns.result import Success

from geats_core import parse_vm, to_plain
from geats_core.vm.readiness import CommandProbe, HttpProbe, Ready, TcpProbe


def read(raw: object) -> Ready | None:
    return parse_vm("web", {"template": "debian", "ready": raw}).unwrap().ready


def problems(raw: object) -> list[str]:
    return [str(p) for p in parse_vm("web", {"template": "debian", "ready": raw}).failure()]


@pytest.mark.parametrize(
    ("raw", "ready", "said"),
    [
        ({"tcp": 22}, Ready(probe=TcpProbe(22)), "tcp 22, within 60 s"),
        (
            {"command": ["test", "-e", "/a b"], "timeout": "5m"},
            Ready(probe=CommandProbe(("test", "-e", "/a b")), timeout_s=300),
            "test -e '/a b', within 300 s",
        ),
        (
            {"command": "systemctl is-active nginx", "timeout": 5},
            Ready(probe=CommandProbe(("systemctl", "is-active", "nginx")), timeout_s=5),
            "systemctl is-active nginx, within 5 s",
        ),
        (
            {"http": ":8080/health", "status": 204, "timeout": "30s"},
            Ready(probe=HttpProbe(8080, "/health", 204), timeout_s=30),
            "http :8080/health, status 204, within 30 s",
        ),
        ({"http": "/"}, Ready(probe=HttpProbe(80, "/")), "http :80/, status 200, within 60 s"),
        ({"http": ":81"}, Ready(probe=HttpProbe(81, "/")), "http :81/, status 200, within 60 s"),
        ({"tcp": 1, "timeout": "1h"}, Ready(probe=TcpProbe(1), timeout_s=3600), None),
    ],
)
def test_a_probe_is_read_and_told(raw: object, ready: Ready, said: str | None) -> None:
    assert read(raw) == ready
    assert said in (None, str(ready))
    spec = parse_vm("web", {"template": "debian", "ready": raw}).unwrap()
    assert parse_vm("web", to_plain(spec)) == Success(spec)


def test_a_vm_can_do_without_the_probe_of_its_profile() -> None:
    profiles: dict[str, dict[object, object]] = {
        "web": {"template": "debian", "ready": {"tcp": 80}}
    }

    assert parse_vm("a", {"profile": "web"}, profiles).unwrap().ready == Ready(probe=TcpProbe(80))
    assert parse_vm("a", {"profile": "web", "ready": "none"}, profiles).unwrap().ready is None


ONE = "ready: must have one of command, tcp, http"
ADDRESS = "ready.http: must be a port and a path such as :80/health"
TIME = "ready.timeout: must be a time from 1s to 1h such as 30s or 5m"
WORDS = "ready.command: must be a program with its arguments"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, [f"{ONE}, got none of them"]),
        ({"tcp": 1, "http": "/"}, [f"{ONE}, got tcp, http"]),
        ({"tcp": 1, "status": 200}, ["ready.status: is of no use without http"]),
        ({"command": []}, [f"{WORDS}, got a list"]),
        ({"command": "a 'b"}, [f'{WORDS}, got "a \'b"']),
        ({"http": ""}, [f"{ADDRESS}, got ''"]),
        ({"http": ":70000/"}, [f"{ADDRESS}, got ':70000/'"]),
        ({"http": 80}, [f"{ADDRESS}, got 80"]),
        ({"tcp": 1, "timeout": "2h"}, [f"{TIME}, got '2h'"]),
        ({"tcp": 1, "timeout": True}, [f"{TIME}, got true"]),
        ({"tcp": 0}, ["ready.tcp: must be a whole number from 1 to 65535, got 0"]),
    ],
)
def test_every_mistake_is_told(raw: object, said: list[str]) -> None:
    assert problems(raw) == said
