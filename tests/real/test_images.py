"""A container made from an image of the OCI runs what the image says, as it says it."""

import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from geats_host.calls.lifecycle import plan_verb
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from tests.host.templates.oci_layout import LAYER, add_blob, add_manifest, write_index
from tests.real.conftest import sh
from tests.real.test_programs import ids_of

VM = "geats-test-image"
PASSWD = "root:x:0:0::/root:/bin/sh\nnginx:x:101:102::/srv:/bin/sh\n"
PROGRAM = "echo $$ $GREETING $* >/srv/told; trap 'exit 0' QUIT; while :; do sleep 0.05; done\n"
SAYS: dict[str, object] = {
    "Entrypoint": ["serve"],
    "Cmd": ["-g", "daemon off;", "it's"],
    "Env": ["PATH=/usr/local/bin:/bin", "GREETING=hello"],
    "User": "nginx",
    "WorkingDir": "/srv",
    "StopSignal": "SIGQUIT",
}


@pytest.fixture
def archive(tmp_path: Path, busybox_rootfs: Path) -> Callable[[dict[str, object]], Path]:
    """Makes an image of busybox and a script, as an archive, with that configuration."""
    for folder in ("srv", "usr/local/bin"):
        (busybox_rootfs / folder).mkdir(parents=True)
    (busybox_rootfs / "srv").chmod(0o777)
    (busybox_rootfs / "etc/passwd").write_text(PASSWD)
    (busybox_rootfs / "usr/local/bin/serve").write_text(f"#!/bin/sh\n{PROGRAM}")
    (busybox_rootfs / "usr/local/bin/serve").chmod(0o755)

    def made(config: dict[str, object]) -> Path:
        layout = tmp_path / "layout"
        (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        content = BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as layer:
            layer.add(busybox_rootfs, ".")
        described = add_blob(layout, content.getvalue(), f"{LAYER}+gzip")
        write_index(layout, add_manifest(layout, [described], config))
        sh("tar", "-C", str(layout), "-cf", str(tmp_path / "image.tar"), ".")
        return tmp_path / "image.tar"

    return made


def host_of(tmp_path: Path, image: Path, **keys: object) -> Host:
    return Host.from_config(
        {
            "state_dir": f"{tmp_path}/state",
            "run_dir": f"{tmp_path}/run",
            "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
            "drivers": {"lxc": {"path": f"{tmp_path}/lxc", "timeout": 10}},
            "templates": {"web": {"oci": str(image)}},
            "vms": {VM: {"template": "web", "init": "none", **keys}},
        }
    )


def test_what_the_image_says_runs_until_the_vm_says_otherwise(
    own_namespaces: None, tmp_path: Path, archive: Callable[[dict[str, object]], Path]
) -> None:
    image = archive(SAYS)
    host = host_of(tmp_path, image, environment={"GREETING": "hi"})
    made = plan_verb(host, "start", VM)
    assert "as user 101 in /srv, with GREETING, PATH of its image" in made.plan.steps[0].reason
    apply_plan(host, made).unwrap()
    try:
        process = Path(f"/proc/{host.info(VM).pid}")
        told = host.driver(VM)
        root = process / "root"
        deadline = time.monotonic() + 10
        while not (root / "srv/told").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (root / "srv/told").read_text() == "1 hi -g daemon off; it's\n"
        mapped = [[int(n) for n in line.split()] for line in (process / "uid_map").open()]
        first = mapped[0][1]
        assert [int(line.split()[1]) - first for line in ids_of(process)] == [101, 102]
        assert (process / "cwd").readlink() == Path("/srv")
        assert told.shutdown(VM, 20) == ""

        archive({**SAYS, "Cmd": ["other"]})  # a later image changes no VM
        later = host_of(tmp_path, image, environment={"GREETING": "hi"})
        assert plan_verb(later, "provision", VM).plan.steps == ()
        assert "other" in f"{plan_verb(later, 'reinit', VM, allow_data_loss=True).plan}"
        own = host_of(tmp_path, image, command="/bin/sleep 9", user=0)
        for verb in ("provision", "start"):
            apply_plan(own, plan_verb(own, verb, VM)).unwrap()
        process = Path(f"/proc/{own.info(VM).pid}")
        assert (process / "cmdline").read_bytes() == b"/bin/sleep\x009\x00"
        assert [int(line.split()[1]) - first for line in ids_of(process)] == [0, 0]
    finally:
        gone = plan_verb(host, "deprovision", VM, allow_data_loss=True)
        apply_plan(host, gone).unwrap()


def test_an_image_that_says_no_program_is_refused_with_what_to_do(
    own_namespaces: None, tmp_path: Path, archive: Callable[[dict[str, object]], Path]
) -> None:
    host = host_of(tmp_path, archive({"Env": ["A=b"]}))
    with pytest.raises(Refused, match="command: is missing: init: none needs what runs"):
        plan_verb(host, "start", VM)
    host = host_of(tmp_path, archive({**SAYS, "User": "nobody-there"}))
    with pytest.raises(Refused, match="has no user 'nobody-there'"):
        plan_verb(host, "start", VM)
