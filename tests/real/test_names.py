"""Names as fleets have them, from define to deprovision on real LXC; and what a new VM is told."""

from pathlib import Path

import pytest

from geats_core.planning.action_words import word_of
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Goal, Target
from geats_host.calls import adopt, inventory, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_wishes
from tests.real.conftest import sh

FLEET = ("geats-test-web.example.com", "geats-test-db_1", "geats-test-Web")
POOLS = ("default", "files", "default")
STRANGER = "geats-test-my box"
CGROUPS = Path("/sys/fs/cgroup")


def config(tmp_path: Path, root: Path, bridge: str) -> dict[str, object]:
    """A VM of each name and pool; each has an address of its own."""
    vms = {
        name: {
            "template": "busybox",
            "init": "busybox",
            "privileged": True,
            "volumes": [{"name": "root", "pool": pool}],
            "nics": [{"name": "eth0", "bridge": bridge, "addresses": [f"10.77.0.{at}/24"]}],
        }
        for at, (name, pool) in enumerate(
            zip(FLEET, ("default", "files", "default"), strict=True), 50
        )
    }
    files = {"type": "filesystem", "fstype": "ext4", "on": {"type": "sparsefile"}}
    files["on"] = {"type": "sparsefile", "path": f"{tmp_path}/files", "default_size": "64MiB"}
    return {
        "state_dir": f"{tmp_path}/state",
        "run_dir": f"{tmp_path}/run",
        "drivers": {"lxc": {"path": f"{tmp_path}/lxc"}},
        "pools": {"default": {"type": "directory", "path": f"{tmp_path}/plain"}, "files": files},
        "templates": {"busybox": {"path": f"{root}"}},
        "vms": vms,
    }


@pytest.fixture
def host(own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, bridge: str) -> Host:
    for file, text in {"hostname": "build\n", "hosts": "127.0.1.1 build.corp build\n"}.items():
        (busybox_rootfs / "etc" / file).write_text(text)
    return Host.from_config(config(tmp_path, busybox_rootfs, bridge))


def inside(host: Host, name: str, *argv: str) -> str:
    """What a program says in the guest."""
    pid = host.info(name).pid
    return sh("nsenter", "-t", f"{pid}", "-a", "--", "/bin/busybox", *argv)


def test_vms_of_such_names_live_and_go_on_two_pools(host: Host, tmp_path: Path) -> None:
    apply_plan(host, plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))).unwrap()
    try:
        assert {n: row["power"] for n, row in inventory.list_report(host).items()} == dict.fromkeys(
            FLEET, "running"
        )
        for at, name in enumerate(FLEET, 50):
            assert list(CGROUPS.glob(f"**/lxc.payload.{name}"))
            hostname = name.replace("_", "-")
            assert inside(host, name, "cat", "/proc/sys/kernel/hostname") == f"{hostname}\n"
            assert hostname in inside(host, name, "cat", "/etc/hosts").split()
            assert "build" not in inside(host, name, "cat", "/etc/hosts")
            shown = inside(host, name, "ip", "-4", "address", "show", "eth0")
            assert f"inet 10.77.0.{at}/24 brd 10.77.0.255" in shown
            for verb in ("freeze", "unfreeze", "reboot"):
                apply_plan(host, lifecycle.plan_verb(host, verb, name)).unwrap()
    finally:
        for name in FLEET:
            apply_plan(host, lifecycle.plan_verb(host, "deprovision", name)).unwrap()
    assert host.observe_all() == {}
    assert list((tmp_path / "lxc").iterdir()) == []


def test_a_guest_is_told_its_dns_as_it_runs_and_leads_nobody_out_of_its_tree(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, bridge: str
) -> None:
    name, outside = FLEET[0], tmp_path / "outside"
    outside.mkdir()
    (outside / "resolv.conf").write_text("of the host\n")
    vm: dict[str, object] = {"template": "busybox", "init": "busybox"}

    def opened(**keys: object) -> Host:
        base = config(tmp_path, busybox_rootfs, bridge)
        return Host.from_config({**base, "vms": {name: {**vm, **keys}}})

    apply_plan(opened(), lifecycle.plan_to(opened(), name)).unwrap()
    try:
        pid = opened().info(name).pid
        root = next((tmp_path / "plain").glob(f"**/{name}/**/sbin")).parent
        (root / "etc").rename(root / "real-etc")
        (root / "etc").symlink_to("../../../../../real-etc")  # for the guest, above / is /
        (root / "real-etc/resolv.conf").symlink_to(outside / "resolv.conf")
        host = opened(dns={"nameservers": ["9.9.9.9"], "search": ["lan"]})
        made = lifecycle.plan_to(host, name)
        assert made.plan.impact is Impact.LIVE
        apply_plan(host, made).unwrap()

        said = "# written by geats\nnameserver 9.9.9.9\nsearch lan\n"
        assert inside(host, name, "cat", "/etc/resolv.conf") == said
        assert host.info(name).pid == pid
        assert (outside / "resolv.conf").read_text() == "of the host\n"
        assert (root / "real-etc/resolv.conf").lstat().st_uid == (root / "sbin").stat().st_uid
        assert lifecycle.plan_to(host, name).plan.is_empty
        apply_plan(host, lifecycle.plan_verb(host, "freeze", name)).unwrap()
        made = lifecycle.plan_verb(opened(dns={"search": ["home"]}), "define", name)
        apply_plan(opened(), made).unwrap()
        apply_plan(opened(), lifecycle.plan_verb(opened(), "unfreeze", name)).unwrap()
        assert inside(host, name, "cat", "/etc/resolv.conf").endswith("\nsearch home\n")
        apply_plan(opened(), lifecycle.plan_verb(opened(), "stop", name)).unwrap()
        made = lifecycle.plan_to(opened(dns={"search": ["home"]}), name)
        assert [word_of(step.action) for step in made.plan.steps] == ["start"]
    finally:
        apply_plan(opened(), lifecycle.plan_verb(opened(), "deprovision", name)).unwrap()


def test_a_running_container_that_no_vm_can_be_called_is_a_stray_and_keeps_its_address(
    host: Host, tmp_path: Path, busybox_rootfs: Path, bridge: str
) -> None:
    folder = tmp_path / "lxc" / STRANGER
    folder.mkdir(parents=True)
    sh("cp", "-a", f"{busybox_rootfs}", f"{folder}/rootfs")
    (folder / "config").write_text(
        "lxc.include = /usr/share/lxc/config/common.conf\nlxc.apparmor.profile = unconfined\n"
        f"lxc.rootfs.path = dir:{folder}/rootfs\nlxc.uts.name = box\nlxc.signal.halt = SIGUSR1\n"
        f"lxc.net.0.type = veth\nlxc.net.0.link = {bridge}\nlxc.net.0.ipv4.address = 10.77.0.50\n"
    )
    lxc = ("-P", f"{tmp_path}/lxc", "-n", STRANGER)
    sh("lxc-start", *lxc)
    try:
        assert inventory.strays_report(host)[STRANGER]["power"] == "running"
        with pytest.raises(Refused, match=f"the address 10.77.0.50 is also that of {STRANGER}"):
            lifecycle.plan_verb(host, "start", FLEET[0])
        with pytest.raises(Refused, match="power it off first"):
            adopt.adopt(host, STRANGER, template="busybox", new_name="geats-test-box")
    finally:
        sh("lxc-stop", *lxc, "-k")
    assert lifecycle.plan_verb(host, "start", FLEET[0]).plan.steps
    planned, _ = adopt.adopt(host, STRANGER, template="busybox", new_name="geats-test-box")
    apply_plan(host, planned).unwrap()
    apply_plan(host, lifecycle.plan_verb(host, "start", "geats-test-box")).unwrap()
    assert inside(host, "geats-test-box", "cat", "/proc/sys/kernel/hostname") == "box\n"
    apply_plan(host, lifecycle.plan_verb(host, "deprovision", "geats-test-box")).unwrap()
    assert set(host.observe_all()) == set()
