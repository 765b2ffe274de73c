"""The main job on unprivileged containers, where the host has cgroup v2 alone.

Named to run last: it leaves the machine's network and mounts.
"""

from pathlib import Path

from tests.real.conftest import bridge, own_namespaces, tmp_path
from tests.real.test_main_job import debian, operator, test_a_described_vm_lives_its_whole_life

__all__ = [
    "bridge",
    "debian",
    "operator",
    "own_namespaces",
    "test_a_described_vm_lives_its_whole_life",
    "tmp_path",
]


def test_the_host_has_cgroup_v2_alone(own_namespaces: None) -> None:
    assert Path("/sys/fs/cgroup/cgroup.controllers").exists()
