"""What is counted, as Prometheus reads it; and that alerts and dashboard name nothing else."""

import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from geats_host.calls.lifecycle import plan_verb
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.metrics import prometheus
from geats_host.metrics.counted import METRICS
from tests.memory_host import memory_config, memory_host

EXAMPLES = Path(__file__).parents[3] / "docs/examples/prometheus"
PROMTOOL = shutil.which("promtool")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One on which web01 runs."""
    raw = memory_config(tmp_path)
    vms = raw["vms"]
    assert isinstance(vms, dict)
    vms["web01"] |= {"labels": {"owner": "ada", "example.org/tenant": 'a"b\\c'}}
    host = Host.from_config(raw)
    apply_plan(host, plan_verb(host, "start", "web01"))
    return host


def named(metric: str, **labels: str) -> str:
    """A metric with its labels."""
    return f"{metric}{json.dumps(labels, sort_keys=True)}"


def values(text: str) -> dict[str, float]:
    """By the whole name of each, such as ``geats_up{}``."""
    return {
        named(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_vms_pools_the_host_and_steps_are_counted(host: Host) -> None:
    told = values(prometheus.text(host))
    web = {"vm": "web01"}
    assert told["geats_up{}"] == 1
    assert told[named("geats_vm_power", vm="web01", power="running")] == 1
    assert told[named("geats_vm_power", vm="web01", power="stopped")] == 0
    assert told[named("geats_vm_power", vm="db01", power="none")] == 1
    labels = {**web, "label_example_org_tenant": 'a"b\\c', "label_owner": "ada"}
    assert told[named("geats_vm_labels", **labels)] == 1
    assert told[named("geats_vm_memory_limit_bytes", **web)] == 512 * 2**20
    assert told[named("geats_vm_starts_total", **web)] == 1
    assert told["geats_host_memory_promised_bytes{}"] == 512 * 2**20
    assert told[named("geats_pool_available", pool="default")] == 1
    assert told[named("geats_steps_total", step="start", outcome="done")] == 1
    assert told[named("geats_step_seconds_total", step="start")] >= 0
    assert {name.partition("{")[0] for name in told} - METRICS.keys() == {"geats_up"}


def test_prometheus_is_answered_on_the_loopback_interface(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": memory_config(tmp_path)}))
    prometheus.serve(file, "39753")
    with urllib.request.urlopen("http://127.0.0.1:39753/metrics", timeout=60) as answer:
        assert values(answer.read().decode())["geats_up{}"] == 1
    file.write_text("geats: [")
    with urllib.request.urlopen("http://127.0.0.1:39753/metrics", timeout=60) as answer:
        assert values(answer.read().decode()) == {"geats_up{}": 0}


def test_who_keeps_connections_open_takes_few_threads_of_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": memory_config(tmp_path)}))
    monkeypatch.setattr(prometheus._Request, "timeout", 1.0)
    before = threading.active_count()
    prometheus.serve(file, "39754")
    with ExitStack() as silent:
        for _ in range(prometheus.AT_ONCE + 4):
            silent.enter_context(socket.create_connection(("127.0.0.1", 39754), timeout=60))
        with urllib.request.urlopen("http://127.0.0.1:39754/metrics", timeout=60) as answer:
            assert threading.active_count() <= before + 1 + prometheus.AT_ONCE
            assert values(answer.read().decode())["geats_up{}"] == 1


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("9753", ("127.0.0.1", 9753)),
        (":9753", ("127.0.0.1", 9753)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_an_address_is_that_of_the_loopback_interface_unless_it_says_so(
    address: str, meant: tuple[str, int]
) -> None:
    assert prometheus.parsed(address) == meant


@pytest.mark.parametrize("address", ["", "x", "a:80", "1.2.3.4:", "0", "70000"])
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(Refused, match="--metrics: must be a port"):
        prometheus.parsed(address)


def test_alerts_and_dashboard_ask_for_what_is_there() -> None:
    rules = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    board = json.loads((EXAMPLES / "dashboard.json").read_text())
    panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for expr in (*alerts, *panels) for name in re.findall(r"geats_\w+", expr)}
    assert alerts
    assert panels
    assert asked <= {*METRICS, "geats_up"}


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, of Debian's package prometheus")
def test_prometheus_itself_finds_no_fault(host: Host) -> None:
    def checked(*words: str, text: str = "") -> str:
        argv = [PROMTOOL or "", "check", *words]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return f"{done.stdout}{done.stderr}"

    assert "rules found" in checked("rules", f"{EXAMPLES / 'alerts.yaml'}")
    assert checked("metrics", text=prometheus.text(host)) == ""


def test_a_host_in_memory_is_counted_without_any_vm(tmp_path: Path) -> None:
    told = values(prometheus.text(memory_host(tmp_path, {"vms": {}})))
    assert not [name for name in told if name.startswith("geats_vm")]
