"""Which version of cgroups the host has."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def is_v2() -> bool:
    """Whether the controllers are in the one hierarchy of cgroup v2; else v1, or hybrid."""
    return (ROOT / "cgroup.controllers").exists()
