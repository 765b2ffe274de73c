"""Waves, as the command line shows them."""

from pathlib import Path

import yaml

from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_wishes
from tests.host.cli.conftest import Geats
from tests.memory_host import memory_config


def test_waves_are_in_the_plan_in_every_form(tmp_path: Path, call: Geats) -> None:
    config = {**memory_config(tmp_path)}
    apply_plan(host := Host.from_config(config), plan_wishes(host, wishes({})))
    profile = {"driver": "memory", "template": "debian", "ready": {"command": "true"}}
    config["profiles"] = {"small": {**profile, "hostname": "two"}}
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": config}))

    def shown(*arguments: str) -> str:
        code, out, _ = call("--config", str(file), "plan", "--at-once", "50%", *arguments)
        assert code == 0
        return " ".join(out.split())

    wave = "profile small, wave 1 of 2: db01 must be up again before the turn of web01"
    assert f"~ this host {wave}" in shown()
    for form in ("json", "mermaid", "table", "text"):
        assert "wait until db01 is ready (true, within 60 s)" in shown("--steps", "--format", form)
    assert wave in shown("--format", "json")
    code, _, _ = call("--config", str(file), "apply", "--at-once", "some")
    assert code == 2

    file.write_text(yaml.safe_dump({"geats": {**config, "policy": {"at_once": 1}}}))
    kept = str(tmp_path / "plan.json")
    assert shown("--save", kept)
    code, out, _ = call("--config", str(file), "reverse", kept)
    assert (code, wave in " ".join(out.split())) == (0, True)
