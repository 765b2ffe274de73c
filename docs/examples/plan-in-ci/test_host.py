"""What must be true of every change to this host."""

from pathlib import Path

import yaml

from geats_core import Goal, HostPlan, Target, parse_config, parse_vm, plan_host, recorded_from_json
from geats_core.planning.actions import Shutdown, Stop

HERE = Path(__file__).parent


def planned() -> HostPlan:
    """The plan of the merge request."""
    raw = yaml.safe_load((HERE / "host.yaml").read_text())
    config = parse_config(raw["geats"]).unwrap()
    host = recorded_from_json((HERE / "host.json").read_text()).unwrap()
    specs = [parse_vm(name, vm, config.profiles).unwrap() for name, vm in config.vms.items()]
    goals = [Goal(name=spec.name, target=Target.RUNNING, spec=spec) for spec in specs]
    return plan_host(goals, host.observations, host.facts, config.policy).unwrap()


def test_the_database_is_never_restarted() -> None:
    stopped = {step.vm for step in planned().steps if isinstance(step.action, Shutdown | Stop)}
    assert "db01" not in stopped
