"""Real containers whose monitor was killed while they were frozen: a plan repairs them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.lxc_config import veth_name
from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.calls import repair as repairing
from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.drivers.lxc.kernel import cgroups
from geats_host.drivers.lxc.process import monitors
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.leftovers import Left
from geats_host.storage import VolumeId
from tests.real.conftest import CGROUPS, sh, spec
from tests.real.test_holds import NAME, host

NIC = {"name": "eth0", "bridge": "gtbr0", "addresses": ["10.77.0.5/24"]}


def kill_monitor(driver: LxcDriver, name: str) -> None:
    """As the kernel does where memory is short."""
    found = dict(monitors(driver.options.path))
    with open(os.pidfd_open(found[name]), closefd=True) as process:
        signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)


def frozen_without_monitor(driver: LxcDriver, root: Path, name: str = "held") -> str:
    want = spec(name, nics=[NIC])
    driver.define(want, {"root": Place(root)})
    driver.start(want.name)
    driver.freeze(want.name)
    kill_monitor(driver, want.name)
    return want.name


@pytest.fixture(autouse=True)
def with_bridge(bridge: str) -> None:
    """The NIC's."""


def test_it_is_stuck_and_neither_starts_nor_is_forgotten(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    name = frozen_without_monitor(driver, busybox_rootfs)
    assert driver.observe()[name].power is Power.STUCK
    assert driver.observe(name)[name].power is Power.STUCK
    with pytest.raises(HostError, match="runs: it cannot be undefined"):
        driver.undefine(name)


def test_repairing_it_leaves_nothing_and_it_starts_again(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    name = frozen_without_monitor(driver, busybox_rootfs)
    driver.repair(name)
    assert driver.observe()[name].power is Power.STOPPED
    assert list(CGROUPS.glob(f"*/lxc.*.{name}*")) == []
    driver.start(name)
    assert driver.observe()[name].power is Power.RUNNING


def test_another_container_of_that_name_is_not_taken_for_it(
    driver: LxcDriver, busybox_rootfs: Path, tmp_path: Path
) -> None:
    """Cgroups are named after containers alone, whatever lxcpath these are below."""
    name = frozen_without_monitor(driver, busybox_rootfs)
    other = replace(driver, options=replace(driver.options, path=tmp_path / "elsewhere"))
    sh("cp", "-a", str(busybox_rootfs), f"{tmp_path}/other")
    other.define(spec("held"), {"root": Place(tmp_path / "other")})
    assert other.observe()[name].power is Power.STOPPED
    other.repair(name)
    assert driver.observe()[name].power is Power.STUCK


def test_a_container_whose_name_ends_in_a_number_is_another(
    driver: LxcDriver, busybox_rootfs: Path, tmp_path: Path
) -> None:
    for name in ("held", "held-1"):
        sh("cp", "-a", str(busybox_rootfs), f"{tmp_path}/{name}")
        driver.define(spec(name), {"root": Place(tmp_path / name)})
    driver.start("geats-test-held-1")
    driver.freeze("geats-test-held-1")
    kill_monitor(driver, "geats-test-held-1")
    powers = {name: seen.power for name, seen in driver.observe().items()}
    assert powers == {NAME: Power.STOPPED, "geats-test-held-1": Power.STUCK}


def test_cgroups_of_a_monitor_that_was_killed_go_with_the_next_start(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    driver.define(spec("held"), {"root": Place(busybox_rootfs)})
    for _ in range(2):
        driver.start(NAME)
        kill_monitor(driver, NAME)
        while driver.observe()[NAME].power is not Power.STOPPED:
            pass
    driver.start(NAME)
    assert {each.name for each in CGROUPS.glob(f"*/lxc.*.{NAME}*")} == {
        f"lxc.monitor.{NAME}",
        f"lxc.payload.{NAME}",
    }


@pytest.mark.parametrize("number", [0, 1, 4, 9])
def test_a_cut_while_cgroups_are_removed_is_made_good_by_the_next_start(
    driver: LxcDriver, busybox_rootfs: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    name = spec("cut").name
    driver.define(spec("cut"), {"root": Place(busybox_rootfs)})
    driver.start(name)
    kill_monitor(driver, name)
    while driver.observe()[name].power is not Power.STOPPED:
        pass
    removed: list[Path] = []
    rmdir = Path.rmdir

    def cut(folder: Path) -> None:
        if len(removed) == number:
            raise KeyboardInterrupt
        rmdir(folder)
        removed.append(folder)

    def remove() -> None:
        while True:  # what ends is in them for a moment yet
            cgroups.remove_leftovers(name, frozenset())

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rmdir", cut)
        with pytest.raises(KeyboardInterrupt):
            remove()
    driver.start(name)
    assert {each.name for each in CGROUPS.glob(f"*/lxc.*.{name}*")} == {
        f"lxc.monitor.{name}",
        f"lxc.payload.{name}",
    }


@pytest.mark.parametrize("target", ["running", "stopped", "deprovisioned"])
def test_a_plan_repairs_it(tmp_path: Path, busybox_rootfs: Path, target: str) -> None:
    here = host(tmp_path, busybox_rootfs, "plain")
    apply_plan(here, lifecycle.plan_to(here, NAME)).unwrap()
    driver = here.drivers["lxc"]
    assert isinstance(driver, LxcDriver)
    driver.freeze(NAME)
    kill_monitor(driver, NAME)

    planned = lifecycle.plan_to(here, NAME, target)
    apply_plan(here, planned).unwrap()

    assert "Repair" in [type(step.action).__name__ for step in planned.plan.steps]
    assert lifecycle.plan_to(here, NAME, target).plan.is_empty
    apply_plan(here, lifecycle.plan_to(here, NAME, "deprovisioned")).unwrap()


VETH = veth_name(NAME, 0)


def links() -> str:
    return sh("ip", "-o", "link")


@contextmanager
def another_network() -> Iterator[int]:
    """The pid of a process that is in one."""
    argv = ["unshare", "--net", "sh", "-c", "echo; exec cat"]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout
        assert other.stdin
        other.stdout.readline()
        yield other.pid
        other.stdin.close()


def test_an_interface_of_which_both_ends_are_on_the_host_stops_no_start(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    """As where liblxc was killed between making the pair and moving one end into the guest."""
    driver.define(spec("held", nics=[NIC]), {"root": Place(busybox_rootfs)})
    sh("ip", "link", "add", VETH, "type", "veth", "peer", "name", "vethleft")
    driver.start(NAME)
    assert driver.observe()[NAME].power is Power.RUNNING
    assert "vethleft" not in links()


def test_an_interface_that_somebody_has_is_named_with_who_has_it(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    driver.define(spec("held", nics=[NIC]), {"root": Place(busybox_rootfs)})
    sh("ip", "link", "add", VETH, "type", "veth", "peer", "name", "vethleft")
    with another_network() as pid:
        sh("ip", "link", "set", "vethleft", "netns", f"{pid}")
        who = rf"interface {VETH} on the host: its other end is in the network of process {pid} \("
        with pytest.raises(HostError, match=who):
            driver.start(NAME)
        assert list(driver.leftovers([NAME])) == []
    while VETH in links():
        pass
    sh("ip", "link", "add", VETH, "type", "bridge")
    with pytest.raises(HostError, match="another program than geats made it"):
        driver.start(NAME)
    sh("ip", "link", "delete", VETH)
    driver.start(NAME)


def shown(left: Iterator[Left]) -> list[tuple[Leftover, str, str, str]]:
    return [(each.kind, each.name, each.vm, each.owner) for each in left]


def test_interfaces_and_folders_are_left_over_only_of_containers_that_are_off(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    driver.define(spec("held", nics=[NIC]), {"root": Place(busybox_rootfs)})
    driver.start(NAME)
    assert shown(driver.leftovers([NAME])) == []
    driver.stop(NAME)
    assert shown(driver.leftovers([NAME])) == []
    unknown = veth_name("geats-test-unknown", 0)
    for name in (VETH, unknown):
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name[1:]}")
    of_lxc, empty = driver.options.path / "geats-test-lxc", driver.options.path / "geats-test-x"
    of_lxc.mkdir(mode=0o770)
    empty.mkdir(mode=0o700)
    (driver.options.path / NAME / "config").unlink()
    stays = "it belongs to a VM that this host does not know"
    found = list(driver.leftovers([NAME]))
    assert sorted(shown(iter(found))) == sorted(
        [
            (Leftover.FOLDER, f"{driver.options.path / NAME}", NAME, ""),
            (Leftover.FOLDER, f"{empty}", "geats-test-x", ""),
            (Leftover.INTERFACE, VETH, NAME, ""),
            (Leftover.INTERFACE, unknown, "", stays),
        ]
    )
    for each in found:
        each.remove()
    assert VETH not in links()
    assert [path.name for path in driver.options.path.iterdir()] == ["geats-test-lxc"]
    of_lxc.rmdir()


def test_a_folder_that_holds_what_is_not_ours_or_is_locked_is_not_left_over(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    driver.define(spec("held"), {"root": Place(busybox_rootfs)})
    config = driver.options.path / NAME / "config"
    kept = config.read_text()
    config.unlink()
    for file in ("notes.txt", "geats.locked"):
        (config.parent / file).write_text("")
        assert shown(driver.leftovers([NAME])) == []
        (config.parent / file).unlink()
    config.write_text(kept)


def test_a_whole_host_is_repaired_by_one_plan(tmp_path: Path, busybox_rootfs: Path) -> None:
    here = host(tmp_path, busybox_rootfs, "plain")
    apply_plan(here, lifecycle.plan_to(here, NAME)).unwrap()
    driver = here.drivers["lxc"]
    assert isinstance(driver, LxcDriver)
    driver.freeze(NAME)
    kill_monitor(driver, NAME)
    veth = veth_name("geats-test-gone", 0)
    here.registry.record(spec("gone", nics=[NIC]))
    sh("ip", "link", "add", veth, "type", "veth", "peer", "name", "vethleft")
    here.pools["plain"].allocate(VolumeId("geats-test-gone", "root"), None)
    (driver.options.path / "geats-test-gone").mkdir(mode=0o700)

    made = repairing.plan(here)
    assert sorted(type(step.action).__name__ for step in made.plan.steps) == [
        *("DestroyVolume", "RemoveLeftover", "RemoveLeftover", "Repair", "Start"),
    ]
    apply_plan(here, made).unwrap()

    seen = here.observe_all()
    assert seen[NAME].power is Power.RUNNING
    assert seen["geats-test-gone"].volumes == ()
    assert veth not in links()
    assert repairing.plan(here).plan.is_empty
    here.registry.forget("geats-test-gone")
    apply_plan(here, lifecycle.plan_to(here, NAME, "deprovisioned")).unwrap()


def test_what_is_in_the_way_is_refused_before_anything_is_destroyed(
    tmp_path: Path, busybox_rootfs: Path
) -> None:
    here = host(tmp_path, busybox_rootfs, "plain")
    apply_plan(here, lifecycle.plan_to(here, NAME)).unwrap()
    driver = here.drivers["lxc"]
    assert isinstance(driver, LxcDriver)
    notes = driver.options.path / NAME / "notes.txt"
    within = here.pools["plain"].path(VolumeId(NAME, "data")) / "within"
    elsewhere = tmp_path / "elsewhere"
    for folder in (within, elsewhere):
        folder.mkdir()
    notes.write_text("of the operator")
    sh("mount", "--bind", f"{tmp_path}", f"{within}")

    def why(target: str = "deprovisioned") -> list[str]:
        with pytest.raises(Refused) as refused:
            lifecycle.plan_to(here, NAME, target)
        return list(refused.value.problems)

    stray = (
        f"{NAME}: cannot be undefined: {notes.parent} contains what geats did not make: notes.txt:"
        " move that elsewhere first"
    )
    data = f"{NAME}.volumes[data]: cannot be destroyed:"
    assert why("undefined") == [stray]
    assert why() == [f"{data} {within} is mounted in it", stray]
    notes.unlink()
    sh("umount", f"{within}")
    apply_plan(here, lifecycle.plan_to(here, NAME, "off")).unwrap()
    sh("mount", "--bind", f"{within.parent}", f"{elsewhere}")
    (told,) = why()
    assert told.startswith(f"{data} it is mounted on {elsewhere} where process ")
    sh("umount", f"{elsewhere}")
    assert set(here.observe_all()) == {NAME}
    apply_plan(here, lifecycle.plan_to(here, NAME, "deprovisioned")).unwrap()
    assert here.observe_all() == {}
