"""A host of the first geats, with a container as its code wrote it, moves in and starts again."""

import json
import pickle
from pathlib import Path

import pytest
import yaml

from geats_host.calls import adopt, inventory, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.first_geats.jsonagent import answered
from geats_host.host import Host
from geats_host.inputs.first_geats import imported
from tests.real.conftest import BRIDGE, sh
from tests.real.old_containers import ended

NAME = "geats-test-2013"
CONFIG = """\
# auto-generated config for {name}
lxc.network.type=veth
lxc.network.link={bridge}
lxc.network.flags=up
lxc.network.hwaddr=02:bc:8a:27:f0:0b
lxc.network.ipv4=10.77.0.13/24
lxc.cap.drop = sys_module mac_admin
lxc.tty = 1
lxc.pts = 1024
lxc.rootfs = {rootfs}
lxc.cgroup.memory.limit_in_bytes = 64M
lxc.utsname = {name}
lxc.cgroup.devices.deny = a
lxc.cgroup.devices.allow = c 1:3 rwm
lxc.cgroup.devices.allow = c 136:* rwm
lxc.mount.entry=proc {rootfs}/proc proc nodev,noexec,nosuid 0 0
lxc.mount.entry=sysfs {rootfs}/sys sysfs defaults  0 0
"""
CONF = """\
[database]
    current = pickle
    [[pickle]]
        filename = {folder}/vms.pickle
[vms]
    [[lxc]]
        factory = geats.virtualmachine.lxc:LXCVirtualMachine
        config_directory_prefix = {folder}/lxc
        default_rootfs_prefix = {folder}/lxc
        template_path = {folder}/templates
[storage]
"""
NETWORK = {
    "ipaddr": "10.77.0.13",
    "netmask": "255.255.255.0",
    "gateway": "10.77.0.1",
    "hwaddr": "02:bc:8a:27:f0:0b",
    "bridge": BRIDGE,
}


def a_host_of_2013(folder: Path, root: Path) -> Path:
    """Its files as they were; the answer is its configuration."""
    rootfs = folder / "lxc" / NAME / "rootfs"
    rootfs.parent.mkdir(parents=True)
    (folder / "templates").mkdir()
    sh("cp", "-a", f"{root}", f"{rootfs}")
    sh("tar", "-C", f"{root}", "-czf", f"{folder}/templates/tiny.tar.gz", ".")
    rootfs.with_name("config").write_text(CONFIG.format(name=NAME, bridge=BRIDGE, rootfs=rootfs))
    rootfs.with_name("rootfs.locked").write_text("VM has been marked as locked down.\n")
    written = {"vm_type": "lxc", "template": "tiny", "ram": 64, "network": [NETWORK]}
    held = {"__version__": 2, NAME: {"definition": written}}
    (folder / "vms.pickle").write_bytes(pickle.dumps(held, protocol=2))
    (folder / "geats.conf").write_text(CONF.format(folder=folder))
    return folder / "geats.conf"


def test_its_containers_are_adopted_and_start_again(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, bridge: str
) -> None:
    made = imported([f"{a_host_of_2013(tmp_path / 'old', busybox_rootfs)}"])
    assert made.problems == ()
    pillar = yaml.safe_load(yaml.safe_dump({**made.geats, "state_dir": f"{tmp_path}/state"}))
    host = Host.from_config({**pillar, "run_dir": f"{tmp_path}/run"})
    with ended(tmp_path / "old/lxc", NAME):
        planned, _ = adopt.adopt(host, NAME)
        apply_plan(host, planned).unwrap()
        apply_plan(host, lifecycle.plan_to(host, NAME, "running")).unwrap()

        seen = host.observe_all()[NAME]
        assert (f"{seen.power}", seen.locked, seen.foreign) == ("running", True, False)
        sh("ping", "-n", "-c1", "-W5", "10.77.0.13")
        assert inventory.info_report(host, NAME)["locked"]
        with pytest.raises(Refused, match="locked"):
            lifecycle.plan_to(host, NAME, "deprovisioned")
        assert lifecycle.plan_to(host, NAME, "running").of_vm.steps == ()

        for verb in ("unlock", "stop", "deprovision"):
            apply_plan(host, lifecycle.plan_verb(host, verb, NAME)).unwrap()
        assert not (tmp_path / "old/lxc" / NAME).exists()


def test_a_controller_drives_a_container_through_its_agent(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, bridge: str
) -> None:
    """Each action that the driver of the cluster controller Vagoth has, with what it expects."""
    lxcpath = tmp_path / "lxc"
    host = Host.from_config(
        {
            "state_dir": f"{tmp_path}/state",
            "run_dir": f"{tmp_path}/run",
            "drivers": {"lxc": {"path": f"{lxcpath}", "settle": 0.1, "timeout": 10}},
            "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
            "templates": {"tiny": {"path": f"{busybox_rootfs}"}},
        }
    )
    definition = {
        **{"name": NAME, "vm_type": "lxc", "template": "tiny", "ram": 64},
        **{"network": [NETWORK], "storage": [{"type": "dummy"}]},
    }

    def call(action: str, **data: object) -> object:
        asked = json.loads(json.dumps({"action": action, "data": {"vm_name": NAME, **data}}))
        return json.loads(json.dumps(answered(host, asked)))

    def state() -> object:
        vm = call("info")
        assert isinstance(vm, dict)
        assert vm["definition"]["name"] == NAME
        return vm["state"]

    with ended(lxcpath, NAME):
        call("define", definition=definition)
        assert state() == ["stopped", "stopped"]
        call("provision", definition=definition)
        for action, then in (
            *(("start", "running"), ("reboot", "running"), ("shutdown", "stopped")),
            *(("start", "running"), ("stop", "stopped")),
        ):
            call(action)
            assert state() == [then, then], action
        told = call("status")
        assert isinstance(told, dict)
        assert [*told["vms"]] == [NAME]
        assert told["status"]["mem_total"] > 0
        for action in ("undefine", "undefine", "deprovision"):
            assert call(action) is None
    assert not host.observe(NAME).exists
