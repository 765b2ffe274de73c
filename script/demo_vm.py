"""The demonstration behind ``script/demo --vm``: a container and a virtual machine in one plan.

Both are of one pillar. QEMU emulates the virtual machine, so that any computer will do, and its
guest is one sector (``geats_host.testing.tiny_guest``), so that nothing has to be downloaded.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from demo import (
    BRIDGE,
    FIRST_ADDRESS,
    SaltCall,
    bridge,
    ping,
    salt_in_process,
    show,
    title,
    write_salt_files,
)

from geats_host.testing.tiny_guest import root_disk

SOCKET = Path("/run/libvirt/libvirt-sock")
LOG_SOCKET = Path("/run/libvirt/virtlogd-sock")
STARTS_WITHIN_S = 30
SLS = {
    "host": {"vms of this host": {"geats.host": []}},
    "gone": {
        "db01": {"geats.deprovisioned": []},
        "web01": {"geats.deprovisioned": [{"power_off": "stop"}]},
    },
}


def main() -> None:
    """Tell the story once, and leave nothing behind."""
    os.environ["GEATS_HOST_FILE"] = ""  # this machine may have a host of its own
    with tempfile.TemporaryDirectory(prefix="geats-demo-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # guests and QEMU must be able to pass through
        root_disk(directory / "tiny.raw")
        with bridge(), daemon(directory):
            story(directory, sys.argv[1], salt_in_process(directory))
    print(f"\nCleaned up: {directory} is gone, and so is {BRIDGE}.")


def story(directory: Path, template: str, salt: SaltCall) -> None:
    """From an empty host to a container and a virtual machine, and back."""
    write_salt_files(directory, SLS)
    vms = described()
    try:
        title("One pillar: a container and a virtual machine")
        print(write_pillar(directory, template, vms))
        title("One plan: nothing is done yet")
        show("state.apply host test=True", salt)
        title("The run: the same plan, applied")
        show("state.apply host", salt)
        show("geats.list", salt)
        ping(FIRST_ADDRESS, real=True)
        title("What a change costs is in the plan: a CPU comes live, a watchdog with a restart")
        vms["db01"] |= {"cpus": 2}
        vms["web01"] |= {"memory": "512MiB"}
        write_pillar(directory, template, vms)
        show("state.apply host", salt)
        vms["db01"] |= {"hardware": {"max_cpus": 2, "watchdog": "reset"}}
        write_pillar(directory, template, vms)
        show("state.apply host test=True", salt)
        title("Both are taken away again: the virtual machine hears its power button")
    finally:
        show("state.apply gone", salt)
    vms_of = ("state/lxc/*", "state/libvirt/*/*", "volumes/*")  # other files are the host's
    left = [each for path in vms_of for each in directory.glob(path) if each.is_dir()]
    left += directory.glob("*/*.raw")
    if left:
        sys.exit(f"demo: something was left behind: {', '.join(map(str, left))}")


def described() -> dict[str, dict[str, object]]:
    """The two VMs."""
    return {
        "web01": {
            "template": "debian",
            "memory": "256MiB",
            "nics": [{"name": "eth0", "bridge": BRIDGE, "addresses": [f"{FIRST_ADDRESS}/24"]}],
        },
        "db01": {
            "driver": "qemu",
            "template": "tiny",
            "memory": "64MiB",
            "cpus": 1,
            "after": ["web01"],
            "volumes": [{"name": "root", "pool": "disks", "size": "4MiB"}],
            "nics": [{"name": "eth0", "bridge": BRIDGE}],
            "hardware": {"max_cpus": 2},
        },
    }


def write_pillar(directory: Path, template: str, vms: dict[str, dict[str, object]]) -> str:
    """Write the pillar, and return the part that describes the VMs."""
    config: dict[str, object] = {
        "state_dir": str(directory / "state"),
        "run_dir": str(directory / "run"),
        "drivers": {"lxc": {}, "qemu": {}},
        "pools": {
            "default": {"type": "directory", "path": str(directory / "volumes")},
            "disks": {"type": "sparsefile", "path": str(directory / "disks")},
        },
        "templates": {
            "debian": {"path": template},
            "tiny": {"disk": {"path": str(directory / "tiny.raw"), "format": "raw"}},
        },
        "vms": vms,
    }
    (directory / "pillar" / "geats.sls").write_text(yaml.safe_dump({"geats": config}))
    return yaml.safe_dump({"geats": {"vms": vms}}, sort_keys=False)


@contextmanager
def daemon(directory: Path) -> Iterator[None]:
    """Libvirt's daemons: the machine's own, or some for as long as the demonstration lasts."""
    with started("virtlogd", LOG_SOCKET, directory), started("libvirtd", SOCKET, directory):
        yield


@contextmanager
def started(program: str, socket: Path, directory: Path) -> Iterator[None]:
    """Have *program* listen on *socket*: without systemd, nobody starts it."""
    if socket.exists():
        yield
        return
    argv = [program, "--pid-file", str(directory / f"{program}.pid")]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + STARTS_WITHIN_S
            while not socket.exists():
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"demo: {program} does not start: try `systemctl start {program}`")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
