"""Values that liblxc would read otherwise than they are said: written so that it does not."""

import pytest
from returns.result import Failure

from geats_core import parse_vm
from geats_core.containers.line_values import as_read, written
from geats_core.foreign.lxc_lines import own_lines
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config
from tests.core.containers.one_vm import web


@pytest.mark.parametrize(
    "value", ["x", "a b", " x", "x ", "'x'", '"x"', "'", '"', "'x\"", "''", '" "', "x'"]
)
def test_liblxc_takes_of_a_line_what_was_said(value: str) -> None:
    assert as_read(f" {written(value)} ") == value
    lines = own_lines(f"lxc.x = {written(value)} \n")
    assert [line.value for line in lines] == [value]


def test_what_blanks_and_quotes_are_for_reaches_the_guest() -> None:
    spec = web(
        sysctls={"net.ipv4.ip_local_port_range": "'1 2'"},
        cgroup2={"misc.max": " x "},
        environment={"A": "' b ", "B": "'b'"},
        cwd="/srv/a ",
        seccomp="/etc/a ",
    )
    text = render_lxc_config(spec, LxcFacts(volume_paths={"root": "/p"}))
    said = [(line.key, line.value) for line in own_lines(text)]
    assert ("lxc.sysctl.net.ipv4.ip_local_port_range", "'1 2'") in said
    assert ("lxc.cgroup2.misc.max", " x ") in said
    assert ("lxc.environment", "A=' b ") in said
    assert ("lxc.environment", "B='b'") in said
    assert ("lxc.init.cwd", "/srv/a ") in said
    assert ("lxc.seccomp.profile", "/etc/a ") in said


@pytest.mark.parametrize(
    "keys", [{"sysctls": {"net.a": ""}}, {"cgroup": {"misc.max": ""}}, {"cgroup2": {"io.x": ""}}]
)
def test_what_would_unset_a_line_is_refused(keys: dict[str, object]) -> None:
    found = parse_vm("web", {"template": "t", **keys})
    assert isinstance(found, Failure)
    assert "is empty, and a line of LXC without a value says nothing" in str(found)
