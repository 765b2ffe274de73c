"""Images, servers and builds, from the command line: five VMs at once, a process for each."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from tests.host.templates.archives import file, folder, write
from tests.host.templates.image_server import ALIAS, ImageServer, serving
from tests.host.templates.oci_layout import image, packed
from tests.real.storage.places import own_mounts

__all__ = ["own_mounts"]

VMS = [f"web{number:02}" for number in range(5)]
ETC = (folder("./"), folder("etc"))


@dataclass(frozen=True)
class Operator:
    """Someone with a configuration of five VMs, of one template, in a pool that clones."""

    directory: Path
    source: Mapping[str, object] | None
    overlays: list[str]

    def start(self, *argv: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
        return subprocess.Popen(
            [sys.executable, "-m", "geats_host.cli.main", "--config", self.config, *argv],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def config(self) -> Path:
        return self.directory / "geats.yaml"

    def declare(self) -> None:
        self.config.write_text(yaml.safe_dump({"geats": self.raw()}))

    def raw(self) -> dict[str, object]:
        declared = {} if self.source is None else {"t": {**self.source, "overlays": self.overlays}}
        return {
            "state_dir": f"{self.directory}/state",
            "run_dir": f"{self.directory}/run",
            "drivers": {"memory": {}},
            "pools": {"default": {"type": "overlay", "path": f"{self.directory}/pool"}},
            "templates": declared,
            "vms": {name: {"driver": "memory", "template": "t"} for name in VMS if declared},
        }

    def geats(self, *argv: str) -> str:
        return ended(self.start(*argv))


def ended(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def oci_archive(at: Path, server: ImageServer) -> dict[str, object]:
    image(at / "oci", [*ETC, file("etc/issue", "x")], [file("etc/issue", "base")])
    packed(at / "oci")
    return {"oci": f"{at}/oci.oci.tar"}


def simplestreams(at: Path, server: ImageServer) -> dict[str, object]:
    server.add(
        "20240101", write(at / "made", [*ETC, file("etc/issue", "base")], "w:xz").read_bytes()
    )
    return {"simplestreams": {"url": server.url, "alias": ALIAS, "arch": "amd64"}}


def build(at: Path, server: ImageServer) -> dict[str, object]:
    made = write(at / "made.tar.xz", [*ETC, file("etc/issue", "base")], "w:xz")
    script = f'echo >>{at}/built && sleep 2 && cp {made} "$1"'
    return {"build": {"command": ["sh", "-c", script, "sh", "{output}"]}}


@pytest.mark.parametrize("source", [oci_archive, simplestreams, build])
def test_five_at_once_from_a_cold_cache(
    source: Callable[[Path, ImageServer], dict[str, object]], own_mounts: None, tmp_path: Path
) -> None:
    """It is fetched once, unpacked once, and has its overlays on top in order; then pruned."""
    overlays = [
        str(write(tmp_path / f"{name}.tar", [file(f"etc/{name}", name), file("etc/who", name)]))
        for name in ("first", "second")
    ]
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        operator = Operator(tmp_path, source(tmp_path, server), overlays)
        operator.declare()
        for process in [operator.start("provision", name) for name in VMS]:
            ended(process)
        assert len([path for path in server.asked if path.startswith("/images/")]) <= 1
    for name in VMS:
        etc = tmp_path / "pool" / name / "root/rootfs/etc"
        assert [(etc / each).read_text() for each in ("issue", "first", "second", "who")] == [
            "base",
            "first",
            "second",
            "second",
        ]
    if source is build:
        assert (tmp_path / "built").read_text() == "\n"
    assert len(list((tmp_path / "pool/_templates").iterdir())) == 1
    assert "all templates are sound" in operator.geats("templates", "verify")
    for process in [operator.start("deprovision", name) for name in VMS]:
        ended(process)
    replace(operator, source=None).declare()
    operator.geats("templates", "prune")
    left = [path.name for path in tmp_path.glob("pool/**/*") if path.is_file()]
    assert left == ["geats-pool.json"]
    assert [path for path in tmp_path.glob("state/templates/**/*") if path.is_file()] == []
