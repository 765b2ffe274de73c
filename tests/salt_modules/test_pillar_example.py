"""The example pillar is complete: it parses, every VM in it has a plan, and no key is left out."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from jsonschema import Draft7Validator
from returns.result import Success

from geats_core import Goal, Observation, Target, parse_config, parse_vm, plan_host
from geats_core.declared.pillar_schema import pillar_schema
from geats_core.domains import machine_keys
from geats_core.domains.machine_keys import driver_facts
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import DriverFacts

EXAMPLE = Path(__file__).parents[2] / "salt" / "_pillar_example"
TEXT = (EXAMPLE / "geats.sls").read_text()


def test_the_vms_of_the_example_pillar_have_a_plan_together():
    config = parse_config(yaml.safe_load(TEXT)["geats"]).unwrap()
    assert set(config.vms) == {"web01", "db01", "office01"}
    goals = [
        Goal(name=name, target=Target.RUNNING, spec=parse_vm(name, vm, config.profiles).unwrap())
        for name, vm in config.vms.items()
    ]
    facts = HostFacts(
        drivers={"lxc": DriverFacts(), "kvm": driver_facts("qemu:///system", "kvm")},
        templates=frozenset(config.templates),
        disks={"machine": None},
        bind_sources=frozenset(config.bind_sources),
        device_sources=frozenset(config.device_sources),
        hook_directories=frozenset(config.hook_directories),
        raw_lines=frozenset(config.policy.raw_lines),
    )
    seen = {name: Observation() for name in config.vms}
    assert isinstance(plan_host(goals, seen, facts, config.policy), Success)
    (machine,) = (goal.spec for goal in goals if goal.spec and goal.spec.driver == "kvm")
    assert machine_keys.problems(machine) == ()


def test_the_schema_allows_the_example_pillar():
    raw = yaml.safe_load(TEXT.replace(" on: ", " 'on': "))  # YAML 1.1 reads a boolean there
    assert list(Draft7Validator(pillar_schema()).iter_errors(raw)) == []


def test_the_example_pillar_shows_every_key_of_the_schema():
    """At its place, or in a comment."""
    assert {key for key in keys(pillar_schema()) if not re.search(rf"\b{key}:", TEXT)} == set()


def keys(schema: object) -> Iterator[str]:
    """Every key that *schema* names."""
    if isinstance(schema, list):
        for each in schema:
            yield from keys(each)
    elif isinstance(schema, Mapping):
        for word, within in schema.items():
            yield from within if word == "properties" else ()
            yield from keys(within)
