"""Real containers that something else made, adopted as they are and as they run."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest

from geats_core.planning.actions import Adopt, AdoptVolume, SetDevices, SetLimits
from geats_core.planning.steps import Plan
from geats_core.vm.observation import Power
from geats_host.calls import adopt, copies, inventory, lifecycle
from geats_host.drivers import Place
from geats_host.drivers.lxc.definition import unread_by_liblxc
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.locks.operation_lock import operation_lock
from geats_host.observing import known_volumes
from geats_host.storage import VolumeId
from tests.faults import Fault, Killed, Manner, Moment
from tests.real.conftest import set_init, sh
from tests.real.old_containers import wait_until_up

PATIENCE_S = (
    300  # a guest shuts down and boots in seconds, on a machine that has nothing else to do
)
NAME = "geats-test-adopt"
OTHER = "geats-test-adopt-renamed"
DEFINE = Path(__file__).with_name("define_child.py")
BY_HAND = "lxc.monitor.unshare = 0"  # which no key says
REBOOTING = (
    "#!/bin/sh\ntrap 'reboot -f' USR2\ntrap 'exit 0' USR1 PWR\nwhile :; do sleep 0.02; done\n"
)


@dataclass
class Operator:
    """Someone with a container that LXC made, below the lxcpath that geats is told of."""

    driver: LxcDriver
    directory: Path
    vm: dict[str, object] | None = None
    config: dict[str, object] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.driver.options.path / NAME

    @property
    def host(self) -> Host:
        at = self.directory
        return Host.from_config(
            {
                "state_dir": f"{at}/state",
                "run_dir": f"{at}/run",
                "drivers": {"lxc": {"path": f"{self.driver.options.path}", "settle": 0.1}},
                "pools": {"default": {"type": "directory", "path": f"{at}/pool"}},
                "templates": {"busybox": {"path": f"{at}/template"}},
                "vms": {} if self.vm is None else {NAME: self.vm},
                **self.config,
            }
        )

    def make(self, *lines: str) -> None:
        """As the binding does."""
        sh(
            *self.driver.binding.script(DEFINE),
            *(str(self.driver.options.path), NAME),
            f"lxc.rootfs.path = {self.folder}/rootfs",
            f"lxc.uts.name = {NAME}",
            "lxc.apparmor.profile = unconfined",
            "lxc.signal.halt = SIGUSR1",
            *lines,
        )
        shutil.copytree(self.directory / "root", self.folder / "rootfs", symlinks=True)

    def start(self) -> None:
        """As LXC does."""
        argv = ["lxc-start", "-P", str(self.driver.options.path), "-n", NAME]
        subprocess.run(argv, check=True, timeout=30, stdin=subprocess.DEVNULL)

    def run(self, script: str) -> str:
        lxcpath = str(self.driver.options.path)
        return sh("lxc-attach", "-P", lxcpath, "-n", NAME, "--", "/bin/sh", "-c", script)

    def adopt(self, template: str | None = None) -> Plan:
        planned, _ = adopt.adopt(self.host, NAME, None, template)
        apply_plan(self.host, planned).unwrap()
        return planned.of_vm


@pytest.fixture
def operator(driver: LxcDriver, tmp_path: Path, busybox_rootfs: Path) -> Operator:
    for applet in ("reboot", "kill", "touch", "ls", "id"):
        (busybox_rootfs / "bin" / applet).symlink_to("busybox")
    set_init(busybox_rootfs, REBOOTING)
    sh("cp", "-a", str(busybox_rootfs), f"{tmp_path}/template")
    return Operator(driver, tmp_path)


def life(operator: Operator) -> tuple[int | None, str]:
    """Which process the guest's init is, and since when it runs."""
    pid = operator.driver.info(NAME).pid
    return pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize("power", [Power.STOPPED, Power.RUNNING, Power.FROZEN])
def test_a_container_is_adopted_as_it_is(operator: Operator, power: Power) -> None:
    operator.make("lxc.environment = A=1", BY_HAND)
    old = (operator.folder / "config").read_bytes()
    if power is not Power.STOPPED:
        operator.start()
    if power is Power.FROZEN:
        sh("lxc-freeze", "-P", str(operator.driver.options.path), "-n", NAME)
    before = life(operator) if power is not Power.STOPPED else None
    plan = operator.adopt("busybox")
    assert [type(step.action) for step in plan.steps] == [AdoptVolume, Adopt]
    assert (plan.changes, plan.pending) == ((), ())
    assert before == (life(operator) if power is not Power.STOPPED else None)

    have = operator.host.observe(NAME)
    assert (have.power, have.foreign, have.recorded) == (power, False, have.defined)
    assert have.in_effect == (None if power is Power.STOPPED else have.defined)
    assert have.recorded is not None
    assert (have.by_hand, have.recorded.program.environment) == ((BY_HAND,), (("A", "1"),))
    assert (operator.folder / "config.before-geats").read_bytes() == old
    row = inventory.list_report(operator.host)[NAME]
    assert (row["power"], row["defined"], row["pending"]) == (str(power), True, 0)
    target = {Power.STOPPED: "stopped", Power.FROZEN: "frozen"}.get(power, "running")
    assert lifecycle.plan_to(operator.host, NAME, target).plan.is_empty
    with pytest.raises(Refused, match="is managed by geats already"):
        operator.adopt("busybox")


def test_it_stops_starts_and_reboots_by_itself_and_is_deprovisioned(operator: Operator) -> None:
    operator.make()
    operator.start()
    operator.run("echo here > /tmp/mine")
    operator.adopt("busybox")
    init = operator.driver.info(NAME).pid
    assert init is not None
    wait_until_up(init)
    operator.run("kill -USR2 1")  # liblxc starts it again, from what it has in memory
    wait_for(lambda: operator.driver.info(NAME).pid not in (init, None))
    assert operator.run("cat /tmp/mine") == "here\n"
    with pytest.raises(HostError, match="is in use"):
        operator.host.pools["default"].destroy(VolumeId(NAME, "root"))
    for target in ("off", "running"):
        host = operator.host
        apply_plan(host, lifecycle.plan_to(host, NAME, target)).unwrap()
    assert operator.run("cat /tmp/mine") == "here\n"
    host = operator.host
    apply_plan(host, lifecycle.plan_to(host, NAME, "deprovisioned")).unwrap()
    assert not operator.folder.exists()
    assert [each.name for each in (operator.directory / "pool").iterdir()] == ["geats-pool.json"]
    assert host.observe_all() == {}


def test_what_it_is_described_as_is_pending_and_comes_with_a_restart(
    operator: Operator, bridge: str
) -> None:
    operator.make(
        "lxc.net.0.type = veth",
        f"lxc.net.0.link = {bridge}",
        "lxc.net.0.name = eth0",
        "lxc.net.0.hwaddr = 02:00:00:00:00:07",
        "lxc.net.0.mtu = 1400",
        "lxc.start.auto = 1",
    )
    operator.start()
    before = life(operator)
    nic = {"name": "eth0", "bridge": bridge, "mac": "02:00:00:00:00:07"}
    operator.vm = {
        "template": "busybox",
        "init": "busybox",
        "hostname": "other",
        "memory": "64MiB",
        "nics": [nic],
        "apparmor": "unconfined",
    }
    plan = operator.adopt()
    fields = [change.field for change in plan.changes]
    assert fields == ["hostname", "nics", "privileged", "memory", "autostart"]
    assert [change.field for change in plan.pending] == ["hostname", "privileged"]
    steps = [type(step.action) for step in plan.steps]
    assert steps == [AdoptVolume, Adopt, SetLimits, SetDevices]  # the last for the MTU
    assert life(operator) == before
    assert operator.driver.info(NAME).memory_limit_bytes == 64 << 20
    planned = lifecycle.plan_to(operator.host, NAME, "running", restart="never").of_vm
    assert (planned.steps, planned.pending) == ((), plan.pending)

    host = operator.host
    apply_plan(host, lifecycle.plan_to(host, NAME)).unwrap()
    assert operator.run("hostname; cat /sys/class/net/eth0/mtu; id -u") == "other\n1500\n0\n"
    assert "100000" in Path(f"/proc/{operator.driver.info(NAME).pid}/uid_map").read_text()
    assert lifecycle.plan_to(operator.host, NAME).plan.is_empty
    apply_plan(host, lifecycle.plan_to(host, NAME, "deprovisioned")).unwrap()
    assert not operator.folder.exists()


def test_one_that_is_undefined_leaves_its_files_and_can_be_defined_again(
    operator: Operator,
) -> None:
    operator.vm = {"template": "busybox", "init": "busybox", "privileged": True}
    operator.make()
    operator.adopt()
    for target in ("undefined", "running", "deprovisioned"):
        host = operator.host
        apply_plan(host, lifecycle.plan_to(host, NAME, target)).unwrap()
        assert (operator.folder / "rootfs/bin/busybox").exists() == (target != "deprovisioned")
    assert not operator.folder.exists()


def test_one_gets_another_name_and_its_tree_stays_where_it_is(operator: Operator) -> None:
    operator.make()
    operator.adopt("busybox")
    (operator.folder / "rootfs/tmp/kept").write_text("kept")
    host = operator.host
    apply_plan(host, copies.rename(host, NAME, OTHER)).unwrap()
    assert host.observe_all().keys() == {OTHER}
    apply_plan(host, lifecycle.plan_verb(host, "start", OTHER)).unwrap()
    assert host.observe(OTHER).power is Power.RUNNING
    tree = host.pools["default"].path(VolumeId(OTHER, "root"))
    assert tree == operator.folder / "rootfs"
    assert (tree / "tmp/kept").read_text() == "kept"
    apply_plan(host, lifecycle.plan_to(host, OTHER, "deprovisioned")).unwrap()
    assert host.observe_all() == {}
    assert not operator.folder.exists()


def test_one_made_anew_is_made_in_the_pool(operator: Operator) -> None:
    operator.vm = {"template": "busybox", "init": "busybox", "privileged": True}
    operator.make()
    operator.start()
    operator.adopt()
    host = operator.host
    assert host.pools["default"].path(VolumeId(NAME, "root")) == operator.folder / "rootfs"
    apply_plan(host, lifecycle.plan_verb(host, "reinit", NAME)).unwrap()
    assert (
        host.pools["default"]
        .path(VolumeId(NAME, "root"))
        .is_relative_to(operator.directory / "pool")
    )
    assert host.observe(NAME).power is Power.RUNNING
    assert not (operator.folder / "rootfs").exists()
    apply_plan(host, lifecycle.plan_to(host, NAME, "deprovisioned")).unwrap()


def test_one_that_runs_from_another_root_than_its_volume_is_not_as_described(
    operator: Operator,
) -> None:
    """A geats that could not adopt makes a new root in the pool, and defines the VM with that."""
    operator.vm = {"template": "busybox", "init": "busybox", "privileged": True}
    operator.make()
    operator.adopt()
    spec = operator.host.observe(NAME).recorded
    assert spec is not None
    rebuilt = operator.directory / "pool" / NAME / "root" / "rootfs"
    sh("cp", "-a", f"{operator.directory}/template", f"{rebuilt}")
    operator.driver.define(spec, {"root": Place(rebuilt)})
    host = operator.host
    said = f"it has the volume root at {rebuilt}, and pool default has it at {operator.folder}/root"
    for target in ("running", "provisioned", "deprovisioned", "undefined"):
        with pytest.raises(Refused, match=said):
            lifecycle.plan_to(host, NAME, target)
    assert said in str(inventory.list_report(host)[NAME]["problems"])
    operator.start()
    apply_plan(host, lifecycle.plan_to(host, NAME, "off")).unwrap()
    assert rebuilt.exists()
    assert (operator.folder / "rootfs").exists()

    apply_plan(host, lifecycle.plan_verb(host, "define", NAME)).unwrap()
    apply_plan(host, lifecycle.plan_to(host, NAME, "running")).unwrap()
    assert lifecycle.plan_to(host, NAME, "running").plan.is_empty
    operator.run("touch /mine")
    assert (operator.folder / "rootfs" / "mine").exists()
    apply_plan(host, lifecycle.plan_to(host, NAME, "off")).unwrap()


def test_a_config_of_a_newer_geats_is_left_alone_until_it_is_defined_anew(
    operator: Operator,
) -> None:
    operator.vm = {"template": "busybox", "init": "busybox", "privileged": True}
    host = operator.host
    apply_plan(host, lifecycle.plan_to(host, NAME, "running")).unwrap()
    before = life(operator)
    config = operator.folder / "config"
    newer = config.read_text().replace("# geats-format: 1", "# geats-format: 99")
    config.write_text(newer)
    with pytest.raises(Refused, match=r"its config was written by a newer geats \(format 99"):
        lifecycle.plan_to(host, NAME, "running")
    assert config.read_text() == newer
    apply_plan(host, lifecycle.plan_verb(host, "define", NAME)).unwrap()
    assert lifecycle.plan_to(host, NAME, "running").plan.is_empty
    assert life(operator) == before
    apply_plan(host, lifecycle.plan_to(host, NAME, "deprovisioned")).unwrap()


@pytest.mark.parametrize(("moment", "manner"), [*product(Moment, Manner)])
def test_an_adoption_that_is_cut_at_any_call_goes_on(
    operator: Operator, moment: Moment, manner: Manner
) -> None:
    """The container lives through it, and geats leaves it alone until the adoption is done."""
    operator.make()
    operator.start()
    before, config = life(operator), (operator.folder / "config").read_bytes()
    planned, _ = adopt.adopt(operator.host, NAME, None, "busybox")
    counted = Fault()
    apply_plan(counted.host(operator.host), planned).unwrap()
    after = operator.host.observe(NAME)
    for at in range(1, counted.calls + 1):
        undo(operator, config)
        fault = Fault(at, moment, manner)
        planned, _ = adopt.adopt(operator.host, NAME, None, "busybox")
        with suppress(Killed, HostError):
            apply_plan(fault.host(operator.host), planned)
        have = operator.host.observe(NAME)
        if have != after:
            assert have.foreign
            assert (operator.folder / "config").read_bytes() == config
            with pytest.raises(Refused, match="geats did not make"):
                lifecycle.plan_to(operator.host, NAME, "deprovisioned")
            operator.adopt("busybox")
        assert (operator.host.observe(NAME), life(operator)) == (after, before)
    assert counted.calls >= 4


def undo(operator: Operator, config: bytes) -> None:
    """Make it what it was before it was adopted."""
    (operator.folder / "config").write_bytes(config)
    for file in ("started", "config.before-geats"):
        (operator.folder / file).unlink(missing_ok=True)
    shutil.rmtree(operator.directory / "pool")
    operator.host.registry.forget(NAME)
    for key in operator.host.registry.notes(known_volumes.KIND):
        operator.host.registry.forget_note(known_volumes.KIND, key)


def test_what_cannot_be_adopted_is_refused_with_all_reasons_and_nothing_is_touched(
    operator: Operator,
) -> None:
    operator.make("lxc.net.0.type = none", "lxc.net.0.link = gtbr0")
    rootfs = operator.folder / "rootfs"
    text = (operator.folder / "config").read_text()
    at = f"{operator.folder}/config"
    with pytest.raises(Refused) as refused:
        operator.adopt("busybox")
    assert refused.value.problems == (
        f"{NAME}.host_network: is refused unless the configuration of the host says policy:"
        " {host_network: true}",
    )
    os.chown(rootfs, 100000, 100000)
    (operator.folder / "config").write_text(text.replace("= none", "= veth"))
    with pytest.raises(Refused) as refused:
        operator.adopt("busybox")
    assert refused.value.problems == (
        f"{at}: lxc.rootfs.path: its files have ids of a guest, from 100000 on: make a template of"
        f" it by `lxc-usernsexec -m b:0:100000:65536 -- tar -C {rootfs} -cf - . > NEW.tar`, for a"
        " new VM",
    )
    os.chown(rootfs, 0, 0)
    rootfs.rename(operator.directory / "elsewhere")
    rootfs.symlink_to(operator.directory / "elsewhere")
    with pytest.raises(Refused) as refused:
        operator.adopt("busybox")
    assert refused.value.problems == (
        f"{at}: lxc.rootfs.path: there is no directory '{rootfs}', or a link leads to it",
    )
    rootfs.unlink()
    rootfs.mkdir()
    sh("mount", "-t", "tmpfs", "tmpfs", f"{rootfs}")
    with pytest.raises(Refused, match="is mounted, so it could not be removed"):
        operator.adopt("busybox")
    sh("umount", f"{rootfs}")
    with pytest.raises(Refused, match="template: is missing: nothing describes"):
        operator.adopt()
    with pytest.raises(Refused, match="unknown container or domain 'webo1'"):
        adopt.adopt(operator.host, "webo1")
    assert not (operator.directory / "pool").exists()
    assert sorted(each.name for each in operator.folder.iterdir()) == ["config", "rootfs"]


def test_a_line_that_liblxc_does_not_read_is_refused_before_anything_is_written(
    operator: Operator,
) -> None:
    """With it liblxc reads nothing of a config, and so never starts the container again."""
    operator.make("lxc.tty.max = 2")
    with (operator.folder / "config").open("a") as config:
        config.write("lxc.cap.drop = sys_tme\nlxc.unknown = 1\n")
    with pytest.raises(Refused) as refused:
        operator.adopt("busybox")
    why = "nothing starts with the line 'lxc.{}': correct it, or take it out"
    assert refused.value.problems == tuple(
        f"{NAME}: {why.format(line)}" for line in ("cap.drop = sys_tme", "unknown = 1")
    )
    assert not (operator.directory / "pool").exists()


def test_a_config_that_changed_since_is_not_replaced(operator: Operator) -> None:
    operator.make()
    planned, _ = adopt.adopt(operator.host, NAME, None, "busybox")
    config = operator.folder / "config"
    config.write_text(config.read_text() + f"{BY_HAND}\n")
    assert "was changed since the adoption was planned" in str(
        apply_plan(operator.host, planned).failure()
    )
    assert operator.adopt("busybox").by_hand == (BY_HAND,)


def test_one_whose_operation_lock_is_held_is_adopted_later(operator: Operator) -> None:
    operator.make()
    planned, _ = adopt.adopt(operator.host, NAME, None, "busybox")
    with (
        operation_lock(operator.directory / "run", NAME),
        pytest.raises(Refused, match="another operation is under way"),
    ):
        apply_plan(operator.host, planned)
    assert operator.host.observe(NAME).foreign
    apply_plan(operator.host, planned).unwrap()


def test_debian_is_adopted_while_it_runs_and_reboots_by_itself(
    operator: Operator, debian_rootfs: Path, bridge: str
) -> None:
    """As lxc-create leaves it: systemd goes on, and whatever it was started with."""
    folder = operator.folder
    folder.mkdir(parents=True)
    sh("cp", "-a", f"{debian_rootfs}", f"{folder}/rootfs")
    (folder / "config").write_text(
        f"""# Template used to create this container: /usr/share/lxc/templates/lxc-download
lxc.include = /usr/share/lxc/config/common.conf
lxc.arch = linux64
lxc.apparmor.profile = unconfined
lxc.rootfs.path = dir:{folder}/rootfs
lxc.uts.name = {NAME}
lxc.signal.halt = SIGRTMIN+3
lxc.net.0.type = veth
lxc.net.0.link = {bridge}
lxc.net.0.flags = up
lxc.net.0.hwaddr = 00:16:3e:11:22:33
lxc.net.0.ipv4.address = 10.77.0.31/24
lxc.mount.entry = tmpfs srv tmpfs defaults 0 0
"""
    )
    operator.start()
    is_up = "systemctl is-system-running || :"
    wait_for(lambda: operator.run(is_up).strip() in ("running", "degraded"))
    show = "systemctl show -p MainPID,ExecMainStartTimestampMonotonic systemd-journald"
    before, service = life(operator), operator.run(show)
    operator.adopt("busybox")
    assert (life(operator), operator.run(show)) == (before, service)
    assert inventory.info_report(operator.host, NAME)["addresses"] == ["10.77.0.31"]
    operator.run("systemctl reboot")
    wait_for(lambda: operator.driver.info(NAME).pid not in (before[0], None))
    host = operator.host
    assert lifecycle.plan_to(host, NAME).plan.is_empty
    apply_plan(host, lifecycle.plan_verb(host, "reboot", NAME)).unwrap()
    assert operator.run("findmnt -no FSTYPE /srv") == "tmpfs\n"
    apply_plan(host, lifecycle.plan_to(host, NAME, "deprovisioned")).unwrap()
    assert not folder.exists()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_line_of_an_interface_is_read_beside_that_of_its_type() -> None:
    pair, nothing = "lxc.net.0.veth.pair = gt0n0", "lxc.nothing = 1"
    assert unread_by_liblxc(["lxc.net.0.type = veth", pair]) == ()
    assert unread_by_liblxc(["lxc.net.0.type = veth", pair, nothing]) == (nothing,)
