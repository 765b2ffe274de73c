"""A host that exists in memory only, for tests: each directory is a host of its own."""

from collections.abc import Mapping
from pathlib import Path

from geats_host.host import Host


def memory_config(directory: Path) -> dict[str, object]:
    """The configuration of a host with two declared VMs, web01 and db01."""
    return {
        "state_dir": str(directory / "state"),
        "run_dir": str(directory / "run"),
        "registry": "memory",
        "drivers": {"memory": {}},
        "pools": {"default": {"type": "memory", "path": str(directory / "volumes")}},
        "templates": {"debian": {"path": "/nowhere/debian.tar"}},
        "profiles": {"small": {"driver": "memory", "template": "debian"}},
        "vms": {
            "web01": {
                "profile": "small",
                "memory": "512MiB",
                "nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}],
            },
            "db01": {"profile": "small"},
        },
    }


def memory_host(directory: Path, change: Mapping[str, object] | None = None) -> Host:
    """That host, opened, with some keys of its configuration changed."""
    return Host.from_config({**memory_config(directory), **(change or {})})
