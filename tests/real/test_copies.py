"""Real containers written to archives and made of them: from pool to pool, and of other ids."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from geats_core.vm.observation import Power
from geats_host.calls import copies, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.storage import VolumeId
from tests.real.conftest import DEFAULT_DEBIAN, sh
from tests.real.test_storage import on_btrfs

NAME, COPY = "geats-test-orig", "geats-test-copy"
LINE = "lxc.environment = BY_HAND=1"
POOLS = ("plain", "fast", "layers", "files")
PAIRS = tuple(zip(POOLS, (*POOLS[1:], POOLS[0]), strict=True))  # each once as either


@dataclass
class Operator:
    """Someone with a busybox VM that can be in any of four pools."""

    directory: Path
    rootfs: Path

    def host(self, pool: str, *, described: bool = True) -> Host:
        at = self.directory
        volumes = [
            {"name": "root", "pool": pool, "size": "64MiB"},
            {"name": "data", "pool": pool, "size": "64MiB", "mount": "/data"},
        ]
        vm = {"template": "busybox", "init": "busybox", "volumes": volumes}
        below = {"type": "sparsefile", "path": f"{at}/images"}
        return Host.from_config(
            {
                "state_dir": f"{at}/state",
                "run_dir": f"{at}/run",
                "drivers": {"lxc": {"settle": 0.1}},
                "pools": {
                    "plain": {"type": "directory", "path": f"{at}/plain"},
                    "fast": {"type": "btrfs", "path": f"{at}/at/pool"},
                    "layers": {"type": "overlay", "path": f"{at}/layers"},
                    "files": {"type": "filesystem", "mounts": f"{at}/mnt", "on": below},
                },
                "templates": {"busybox": {"path": str(self.rootfs)}},
                "vms": {NAME: vm} if described else {},
            }
        )

    def run(self, name: str, script: str) -> str:
        lxcpath = f"{self.directory}/state/lxc"
        return sh("lxc-attach", "-P", lxcpath, "-n", name, "--", "/bin/sh", "-c", script)


@pytest.fixture
def operator(own_namespaces: None, tmp_path: Path, busybox_rootfs: Path) -> Iterator[Operator]:
    (tmp_path / "at").mkdir(mode=0o711)
    for applet in ("stat", "ln", "chown", "chmod", "ls", "hostname", "id"):
        (busybox_rootfs / "bin" / applet).symlink_to("busybox")
    with on_btrfs(tmp_path / "at"):
        someone = Operator(tmp_path, busybox_rootfs)
        yield someone
        host = someone.host("plain")
        for name in (NAME, COPY):
            if host.observe(name).exists:
                apply_plan(host, lifecycle.plan_to(host, name, "deprovisioned")).unwrap()


WRITE = """
echo wrote > /data/file; chown 33:34 /data/file; chmod 4750 /data/file
ln /data/file /data/hard; ln -s /etc/hostname /data/link; echo root > /tmp/root
"""
SHOW = """
stat -c '%u %g %a %h %F' /data/file /data/hard /tmp/root /bin/busybox
cat /data/file /data/link
"""


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_running_container_is_copied_from_pool_to_pool(
    operator: Operator, source: str, target: str
) -> None:
    host = operator.host(source)
    apply_plan(host, lifecycle.plan_to(host, NAME)).unwrap()
    operator.run(NAME, WRITE)
    before = operator.run(NAME, SHOW)

    writing = copies.export(host, NAME)
    copies.apply_export(host, writing).unwrap()
    assert host.observe(NAME).power is Power.RUNNING
    reading = copies.import_(
        host,
        f"{copies.archive_of(writing)}",
        COPY,
        {"pools": target},
        f"{copies.written(writing)['sha256']}",
    )
    copies.apply_copy(host, reading).unwrap()
    apply_plan(host, lifecycle.plan_verb(host, "start", COPY)).unwrap()

    assert before.replace(NAME, COPY) == operator.run(COPY, SHOW)
    assert "33 34 4750 2 regular file" in before
    assert operator.run(NAME, SHOW) == before
    assert host.observe(COPY).power is Power.RUNNING
    first = host.pools["plain"].path(VolumeId(COPY, "data")) / "file"
    if target == "plain":
        assert (first.stat().st_uid, first.stat().st_gid) == (33, 34)


@pytest.mark.parametrize("pool", POOLS)
def test_a_container_gets_another_name_in_its_pool(operator: Operator, pool: str) -> None:
    host = operator.host(pool)
    apply_plan(host, lifecycle.plan_to(host, NAME)).unwrap()
    operator.run(NAME, WRITE)
    before = operator.run(NAME, SHOW)
    config = operator.directory / "state/lxc" / NAME / "config"
    config.write_text(f"{config.read_text()}{LINE}\n")
    for verb in ("shutdown", "lock"):
        apply_plan(host, lifecycle.plan_verb(host, verb, NAME)).unwrap()
    old = host.observe(NAME)

    with pytest.raises(Refused, match="the configuration still has this name"):
        copies.rename(host, NAME, COPY)
    host = operator.host(pool, described=False)
    apply_plan(host, copies.rename(host, NAME, COPY)).unwrap()
    assert host.observe_all().keys() == {COPY}
    new = host.observe(COPY)
    assert (new.locked, new.half_locked, new.by_hand) == (True, False, (LINE,))
    assert {seen.name for seen in new.volumes} == {seen.name for seen in old.volumes}
    assert not config.parent.exists()

    apply_plan(host, lifecycle.plan_verb(host, "start", COPY)).unwrap()
    assert operator.run(COPY, SHOW) == before.replace(NAME, COPY)
    assert operator.run(COPY, "hostname").strip() == COPY
    for verb in ("stop", "unlock"):
        apply_plan(host, lifecycle.plan_verb(host, verb, COPY)).unwrap()


@pytest.mark.parametrize("pool", POOLS)
def test_a_running_container_is_cloned_in_its_pool(operator: Operator, pool: str) -> None:
    host = operator.host(pool)
    apply_plan(host, lifecycle.plan_to(host, NAME)).unwrap()
    operator.run(NAME, WRITE)
    before = operator.run(NAME, SHOW)
    copies.apply_copy(host, copies.clone(host, NAME, COPY)).unwrap()
    assert host.observe(NAME).power is Power.RUNNING
    apply_plan(host, lifecycle.plan_verb(host, "start", COPY)).unwrap()

    assert operator.run(COPY, SHOW) == before.replace(NAME, COPY)
    operator.run(COPY, "echo other > /data/file")
    assert operator.run(NAME, SHOW) == before


ASK = """
until state=$(systemctl is-system-running --wait 2>/dev/null) || [ -n "$state" ]; do sleep 0.1; done
echo $state; cat /etc/hostname /etc/machine-id
"""


@pytest.fixture
def debian(own_namespaces: None, tmp_path: Path) -> Iterator[Host]:
    """A host on which an unprivileged Debian is declared."""
    host = Host.from_config(
        {
            "state_dir": f"{tmp_path}/state",
            "run_dir": f"{tmp_path}/run",
            "drivers": {"lxc": {"settle": 0.3}},
            "pools": {
                "default": {"type": "directory", "path": f"{tmp_path}/plain"},
                "layers": {"type": "overlay", "path": f"{tmp_path}/layers"},
            },
            "templates": {"debian": {"path": os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN)}},
            "vms": {NAME: {"template": "debian"}},
        }
    )
    yield host
    for name in host.observe_all():
        apply_plan(host, lifecycle.plan_to(host, name, "deprovisioned", power_off="stop")).unwrap()


def test_debian_boots_from_an_archive_of_it_under_another_name(
    debian: Host, tmp_path: Path
) -> None:
    """From a pool of directories to one whose files have other ids."""
    apply_plan(debian, lifecycle.plan_to(debian, NAME)).unwrap()
    someone = Operator(tmp_path, tmp_path)
    before = someone.run(NAME, ASK).split()
    writing = copies.export(debian, NAME)
    copies.apply_export(debian, writing).unwrap()
    reading = copies.import_(debian, str(copies.archive_of(writing)), COPY, {"pools": "layers"})
    copies.apply_copy(debian, reading).unwrap()
    apply_plan(debian, lifecycle.plan_verb(debian, "start", COPY)).unwrap()

    state, hostname, machine_id = someone.run(COPY, ASK).split()
    assert (state, hostname) == (before[0], COPY)
    assert (len(machine_id), machine_id != before[2]) == (32, True)
