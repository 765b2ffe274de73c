"""The example pillar is complete: it renders, parses, and every VM in it has a plan."""

from pathlib import Path

import yaml
from returns.result import Success

from geats_core import Goal, Observation, Target, parse_config, parse_vm, plan

EXAMPLE = Path(__file__).parents[2] / "salt" / "_pillar_example"


def test_every_vm_of_the_example_pillar_has_a_plan():
    raw = yaml.safe_load((EXAMPLE / "geats.sls").read_text())["geats"]
    config = parse_config(raw).unwrap()
    assert set(config.vms) == {"web01", "db01"}
    for name, entry in config.vms.items():
        spec = parse_vm(name, entry, config.profiles).unwrap()
        goal = Goal(name=name, target=Target.RUNNING, spec=spec)
        assert isinstance(plan(goal, Observation()), Success)
