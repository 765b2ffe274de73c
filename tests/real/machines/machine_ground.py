"""A host of the tests whose VMs are machines that QEMU emulates."""

import io
from collections.abc import Mapping
from pathlib import Path

import pycdlib

from geats_core.planning.goal import DataLoss, Goal, Target
from geats_host.drivers.libvirt.definition import SEED
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from geats_host.testing.tiny_guest import GUEST, root_disk

NAME, OTHER, THIRD = "geats-test-one", "geats-test-other", "geats-test-third"


class Ground:
    """A host, whose configuration describes VMs in one pool."""

    def __init__(self, folder: Path, pool: str) -> None:
        self.folder = folder
        vm = {"driver": "qemu", "template": "image", "memory": "64MiB"}
        volumes = [{"name": "root", "size": "2MiB"}]
        self.raw: Mapping[str, object] = {
            **{"state_dir": f"{folder}/state", "run_dir": f"{folder}/run"},
            "drivers": {"qemu": {"settle": 0.1}},
            "pools": {"default": {"type": pool, "path": f"{folder}/pool"}},
            "templates": {"image": {"disk": {"path": f"{folder}/image", "format": "raw"}}},
            "vms": {each: {**vm, "volumes": volumes} for each in (NAME, OTHER, THIRD)},
        }
        root_disk(folder / "image")

    def change(self, name: str, **keys: object) -> None:
        """Let the configuration say something else of one VM."""
        vms = self.raw["vms"]
        assert isinstance(vms, dict)
        self.raw = {**self.raw, "vms": {**vms, name: {**vms[name], **keys}}}

    @property
    def host(self) -> Host:
        return Host.from_config(self.raw)

    def to(self, target: Target, name: str = NAME) -> None:
        host = self.host
        have = host.observe(name)
        goal = Goal(name="", target=target, data_loss=DataLoss.ALLOWED)
        wanted = goal_by_name(goal, name, host.config, {name: have})
        apply_plan(host, plan_vm(host, wanted, have)).unwrap()

    def instance(self, name: str) -> str:
        """What cloud-init knows the guest by."""
        image, held = pycdlib.PyCdlib(), io.BytesIO()
        seed = self.folder / "state/libvirt/qemu" / name / SEED
        image.open_fp(io.BytesIO(seed.read_bytes()))
        image.get_file_from_iso_fp(held, joliet_path="/meta-data")
        return held.getvalue().decode().split("instance-id")[1].split(",")[0]

    def begins(self, name: str) -> bytes:
        """What the disk begins with."""
        (disk,) = (self.folder / "pool" / name / "root").glob("disk.raw")
        with disk.open("rb") as file:
            return file.read(len(GUEST))
