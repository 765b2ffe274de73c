"""A volume of one real container in another: the same files, and nobody loses them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from returns.result import Success

from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_wishes
from tests.real.conftest import sh

NAS, WEB = "geats-test-share1", "geats-test-share2"
SHARED: dict[str, object] = {"vm": NAS, "volume": "media", "mount": "/films"}


@dataclass
class Operator:
    """Someone with one VM that owns a volume, and another that mounts it."""

    directory: Path

    def host(self, **shared: object) -> Host:
        media = {"name": "media", "mount": "/media", "shared": True}
        return Host.from_config(
            {
                "state_dir": f"{self.directory}/state",
                "run_dir": f"{self.directory}/run",
                "drivers": {"lxc": {"settle": 0.3, "path": f"{self.directory}/lxc"}},
                "pools": {"default": {"type": "directory", "path": f"{self.directory}/pool"}},
                "templates": {"busybox": {"path": f"{self.directory}/root"}},
                "profiles": {"small": {"template": "busybox", "init": "busybox"}},
                "vms": {
                    NAS: {"profile": "small", "volumes": [{"name": "root"}, media]},
                    WEB: {"profile": "small", "shared_volumes": {"films": {**SHARED, **shared}}},
                },
            }
        )

    def apply(self, host: Host, target: str) -> None:
        made = plan_wishes(host, wishes({"target": target, "power_off": "stop", "at_most": 2}))
        assert apply_plan(host, made) == Success(made.plan.steps)

    def run(self, name: str, script: str) -> str:
        attach = ("lxc-attach", "-P", f"{self.directory}/lxc", "-n", name)
        return sh(*attach, "--", "sh", "-c", script)


@pytest.fixture
def operator(own_namespaces: None, busybox_rootfs: Path, tmp_path: Path) -> Iterator[Operator]:
    """That person; no VM is left afterwards."""
    someone = Operator(tmp_path)
    yield someone
    someone.apply(someone.host(), "deprovisioned")
    assert not list((tmp_path / "pool").glob("geats-test-*"))


def test_what_one_writes_the_other_reads_and_cannot_change(operator: Operator) -> None:
    host = operator.host()
    operator.apply(host, "running")
    operator.run(NAS, "echo film > /media/one")
    assert operator.run(WEB, "cat /films/one") == "film\n"
    operator.run(WEB, "! echo x > /films/one")
    operator.run(WEB, "! mount -o remount,rw,bind /films && ! echo x > /films/one")
    assert plan_wishes(host, wishes({})).plan.is_empty


def test_the_other_may_write_where_it_is_told_so(operator: Operator) -> None:
    operator.apply(operator.host(), "running")
    host = operator.host(read_only=False)
    operator.apply(host, "running")
    operator.run(WEB, "echo new > /films/two")
    assert operator.run(NAS, "cat /media/two; stat -c %u /media/two") == "new\n0\n"


def test_the_owner_stays_as_long_as_the_other_mounts_it(operator: Operator) -> None:
    host = operator.host()
    operator.apply(host, "running")
    operator.run(NAS, "echo film > /media/one")
    with pytest.raises(Refused) as refused:
        lifecycle.plan_verb(host, "deprovision", NAS)
    assert refused.value.problems == (
        f"{NAS}.volumes[media]: is mounted by {WEB}, and so its data stays as it is",
        f"{NAS}.volumes[media]: is in use by {WEB}, which is on",
    )
    planned = lifecycle.plan_verb(host, "stop", NAS)
    assert apply_plan(host, planned) == Success(planned.plan.steps)
    assert operator.run(WEB, "cat /films/one") == "film\n"


def test_nobody_starts_without_what_it_mounts(operator: Operator) -> None:
    with pytest.raises(Refused, match=f"{WEB}.shared_volumes.films: {NAS} is not defined"):
        lifecycle.plan_verb(operator.host(), "start", WEB)
