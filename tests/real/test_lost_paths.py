"""A container runs, and the configuration loses where: no second one is made, none is said gone."""

import json
import stat
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.observing import known_places

NAME = "geats-test-lost"
TARGETS = ("running", "off", "stopped", "provisioned", "undefined", "deprovisioned")


@pytest.mark.parametrize("key", ["state_dir", "drivers"])
def test_a_running_container_is_not_made_again_nor_said_to_be_gone(
    key: str, tmp_path: Path, busybox_rootfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "host.json"
    monkeypatch.setenv(known_places.VARIABLE, str(file))
    default = {"state_dir": str(tmp_path / "default"), "drivers": {"lxc": {"settle": 0.1}}}
    full = {
        "state_dir": str(tmp_path / "state"),
        "run_dir": str(tmp_path / "run"),
        "drivers": {"lxc": {"path": str(tmp_path / "lxc"), "settle": 0.1}},
        "pools": {"default": {"type": "directory", "path": str(tmp_path / "volumes")}},
        "templates": {"busybox": {"path": str(busybox_rootfs)}},
        "vms": {NAME: {"template": "busybox", "init": "busybox"}},
    }
    lost = {**full, **default} if key == "state_dir" else {**full, key: default[key]}

    apply(full, "running")
    for target in TARGETS:
        with pytest.raises(Refused, match=f"{NAME}: is on this host already, .*{tmp_path}/lxc"):
            lifecycle.plan_to(Host.from_config(lost), NAME, target)
    assert Host.from_config(full).observe(NAME).power is Power.RUNNING
    assert lifecycle.plan_to(Host.from_config(full), NAME).plan.is_empty
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each["options"]["path"] for each in json.loads(file.read_text())["places"]] == [
        f"{tmp_path}/lxc"
    ]

    apply(full, "deprovisioned")
    assert lifecycle.plan_to(Host.from_config(lost), NAME, "deprovisioned").plan.is_empty


def apply(config: object, target: str) -> None:
    host = Host.from_config(config)
    planned = lifecycle.plan_to(host, NAME, target)
    assert apply_plan(host, planned) == Success(planned.plan.steps)
