"""Containers that Salt 3006 and Ansible were told of, imported by the command line and started.

Their image server is not asked: the root is another.
"""

import json
from pathlib import Path

import pytest
import yaml

from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from tests.host.cli.conftest import Geats, call  # noqa: F401
from tests.real.conftest import BRIDGE, sh

NAME = "geats-test-moved"
MAC, ADDRESS = "02:00:00:00:00:07", "10.77.0.7/24"
PILLAR = {
    "lxc.container_profile": {
        "small": {"template": "download", "options": {"dist": "debian", "release": "bookworm"}}
    },
    "lxc.network_profile.web": {"eth0": {"link": BRIDGE, "type": "veth", "mtu": 1400}},
}
STATE = [
    {"profile": "small", "network_profile": "web", "memory": 128, "cpu": 1},
    {"nic_opts": {"eth0": {"ipv4": ADDRESS, "mac": MAC}}},
    "present",
]
TASK = {
    "name": NAME,
    "template": "debian",
    "template_options": "-r bookworm",
    "container_config": [
        "lxc.net.0.type = veth",
        f"lxc.net.0.link = {BRIDGE}",
        f"lxc.net.0.hwaddr = {MAC}",
        f"lxc.net.0.ipv4.address = {ADDRESS}",
        "lxc.net.0.mtu = 1400",
        "lxc.cgroup.memory.limit_in_bytes = 128M",
        "lxc.idmap = u 0 100000 65536",
        "lxc.idmap = g 0 100000 65536",
    ],
}
FLEETS: dict[str, dict[str, object]] = {
    "import-salt-lxc": {"pillar.yaml": PILLAR, "states.sls": {NAME: {"lxc": STATE}}},
    "import-ansible": {"play.yml": [{"hosts": "all", "tasks": [{"lxc_container": TASK}]}]},
}


@pytest.mark.parametrize("command", FLEETS)
def test_what_is_imported_starts_as_it_was(
    command: str,
    call: Geats,  # noqa: F811
    bridge: str,
    busybox_rootfs: Path,
    tmp_path: Path,
) -> None:
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    for name, document in FLEETS[command].items():
        (fleet / name).write_text(json.dumps(document))
    code, out, err = call(command, f"{fleet}")
    assert (code, err) == (0, "")
    made = yaml.safe_load(out)["geats"]
    (root,) = made["templates"]
    made["templates"][root] = {"path": f"{busybox_rootfs}"}
    made["vms"][NAME] |= {"init": "busybox"}
    host = Host.from_config(
        {
            "state_dir": f"{tmp_path}/state",
            "run_dir": f"{tmp_path}/run",
            "drivers": {"lxc": {"path": f"{tmp_path}/lxc"}},
            "pools": {"default": {"type": "directory", "path": f"{tmp_path}/volumes"}},
            **made,
        }
    )
    try:
        apply_plan(host, lifecycle.plan_to(host, NAME, "running")).unwrap()
        info = host.drivers["lxc"].info(NAME)
        assert info.memory_limit_bytes == 128 << 20
        shown = sh("nsenter", "-t", f"{info.pid}", "-n", "ip", "-o", "address", "show", "eth0")
        linked = sh("nsenter", "-t", f"{info.pid}", "-n", "ip", "-o", "link", "show", "eth0")
        assert ADDRESS in shown
        assert MAC in linked
        assert "mtu 1400" in linked
    finally:
        made_ = lifecycle.plan_to(host, NAME, "deprovisioned", power_off="stop")
        apply_plan(host, made_).unwrap()
