"""Which version of cgroups the host has, and which controllers."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def is_v2() -> bool:
    """Whether the controllers are in the one hierarchy of cgroup v2; else v1, or hybrid."""
    return (ROOT / "cgroup.controllers").exists()


def has_controller(name: str) -> bool:
    """Whether the host limits anything by the controller, such as ``hugetlb``."""
    if is_v2():
        return name in (ROOT / "cgroup.controllers").read_text().split()
    return (ROOT / name).is_dir()
