"""Reports on what is beside the VMs, of a host that exists in memory only."""

from pathlib import Path

from geats_core import Goal, Target
from geats_core.planning.goal import Restart
from geats_host.calls import inventory
from geats_host.engine.apply_plan import apply_plan
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_vm, plan_wishes
from tests.memory_host import memory_config, memory_host


def running(directory: Path, **change: object) -> None:
    """Bring every VM up that is declared, with what is changed."""
    host = memory_host(directory, change)
    wishes = Wishes(Goal(name="", target=Target.RUNNING, restart=Restart.NEVER))
    apply_plan(host, plan_wishes(host, wishes)).unwrap()


def test_a_pool_tells_what_it_is_and_how_much_is_in_it(tmp_path: Path) -> None:
    running(tmp_path)
    report = inventory.pools_report(memory_host(tmp_path))
    pool = report["default"]
    assert set(report) == {"default"}
    assert (pool["type"], pool["offers"], pool["volumes"]) == ("memory", "nothing", 2)


def test_a_stack_of_layers_is_named_from_the_top(tmp_path: Path) -> None:
    files = {"type": "sparsefile", "path": str(tmp_path / "images")}
    pools = {"disks": {"type": "filesystem", "mounts": str(tmp_path / "mounts"), "on": files}}
    host = memory_host(tmp_path, {"pools": pools})
    assert inventory.pools_report(host)["disks"]["type"] == "filesystem on sparsefile"


def test_a_volume_that_no_vm_is_defined_with_is_not_wanted(tmp_path: Path) -> None:
    running(tmp_path)
    host = memory_host(tmp_path)
    apply_plan(host, plan_vm(host, Goal(name="db01", target=Target.UNDEFINED))).unwrap()
    report = inventory.volumes_report(host)
    assert [(row["vm"], row["name"], row["wanted"]) for row in report] == [
        ("db01", "root", False),
        ("web01", "root", True),
    ]
    assert (report[1]["pool"], report[1]["stage"], report[1]["template"]) == (
        "default",
        "installed",
        "debian",
    )


def test_a_driver_tells_the_vms_that_it_knows(tmp_path: Path) -> None:
    running(tmp_path)
    report = inventory.drivers_report(memory_host(tmp_path))
    assert report == {"memory": {"vms": ["db01", "web01"], "bridges": None, "problem": None}}


def test_what_waits_for_a_restart_is_pending(tmp_path: Path) -> None:
    running(tmp_path)
    host = memory_host(tmp_path)
    assert inventory.pending_report(host) == {}
    profiles = {"small": {"driver": "memory", "template": "debian", "hostname": "db"}}
    running(tmp_path, profiles=profiles, vms={"db01": {"profile": "small"}})
    report = inventory.pending_report(host)
    assert {name: list(fields) for name, fields in report.items()} == {"db01": ["hostname"]}


def test_a_vm_that_nobody_declared_is_a_stray(tmp_path: Path) -> None:
    running(tmp_path)
    vms = memory_config(tmp_path)["vms"]
    assert isinstance(vms, dict)
    host = memory_host(
        tmp_path, {"vms": {"web01": vms["web01"]}, "policy": {"strays": {"db*": "ignore"}}}
    )
    assert inventory.strays_report(host) == {
        "db01": {
            "power": "running",
            "defined": True,
            "foreign": False,
            "locked": False,
            "policy": "ignore",
            "problem": None,
        }
    }
