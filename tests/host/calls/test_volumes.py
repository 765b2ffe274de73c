"""Single volumes of a host in memory: what is left over is removed by its name."""

from pathlib import Path

import pytest

from geats_host.calls import inventory, lifecycle, volumes
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from tests.memory_host import memory_config, memory_host


def left_over(directory: Path) -> Host:
    """A host on which a volume of a VM is left that nobody declares any more."""
    host = memory_host(directory)
    apply_plan(host, lifecycle.plan_verb(host, "provision", "db01")).unwrap()
    apply_plan(host, lifecycle.plan_verb(host, "undefine", "db01")).unwrap()
    return Host.from_config({**memory_config(directory), "vms": {}})


def test_a_volume_that_is_left_over_is_removed_by_its_name(tmp_path: Path) -> None:
    host = left_over(tmp_path)
    assert [row["wanted"] for row in inventory.volumes_report(host)] == [False]
    planned = volumes.remove(host, "db01", "root")
    assert len(inventory.volumes_report(host)) == 1
    apply_plan(host, planned).unwrap()
    assert inventory.volumes_report(host) == []
    assert not host.observe("db01").exists


def test_what_is_declared_or_unknown_is_refused(tmp_path: Path) -> None:
    left_over(tmp_path)
    host = memory_host(tmp_path)
    with pytest.raises(Refused, match="is declared with it"):
        volumes.remove(host, "db01", "root")
    with pytest.raises(Refused, match="unknown VM"):
        volumes.remove(host, "nobody", "root")
    with pytest.raises(Refused, match=r"(?s)volume: .*pool: "):
        volumes.remove(host, "db01", "../root", "a b")
