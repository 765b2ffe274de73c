"""A whole life of a VM whose root is a disk: on real files, by the driver that runs nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.reading.checked import Problems
from geats_core.vm.observation import Stage
from geats_host.calls import copies, lifecycle, publishing, snapshots
from geats_host.calls.copies import apply_copy
from geats_host.drivers.memory import MemoryDriver, open_driver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from geats_host.plugins.opened import Opened
from geats_host.storage import VolumeId, qcow2, sparsefile
from geats_host.testing.pool_conformance_content import read_in_qcow2, write_in_qcow2
from tests.host.templates.disks import MIB, PATTERN, qcow2_disk, raw_disk

DISKS = {"type": "memory", "roots": "disk"}


def host_of(directory: Path, vm: Mapping[str, object] | None = None) -> Host:
    return Host.from_config(config_of(directory, vm))


def config_of(directory: Path, vm: Mapping[str, object] | None = None) -> dict[str, object]:
    size = {"volumes": [{"name": "root", "size": "8MiB"}, {"name": "data", "size": "4MiB"}]}
    return {
        "state_dir": str(directory / "state"),
        "run_dir": str(directory / "run"),
        "registry": "memory",
        "drivers": {"vm": DISKS},
        "pools": {
            "default": {"type": "sparsefile", "path": str(directory / "pool")},
            "trees": {"type": "directory", "path": str(directory / "trees")},
        },
        "templates": {
            "image": {"disk": {"path": str(directory / "image"), "format": "qcow2"}},
            "tree": {"path": str(directory / "tree.tar")},
        },
        "vms": {"web": {"driver": "vm", "template": "image", **size, **(vm or {})}},
    }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    qcow2_disk(tmp_path / "image")
    return host_of(tmp_path)


def bring(host: Host, target: Target) -> None:
    goal = Goal(name="", target=target, data_loss=DataLoss.ALLOWED)
    have = host.observe("web")
    wanted = goal_by_name(goal, "web", host.config, {"web": have})
    apply_plan(host, plan_vm(host, wanted, have)).unwrap()


def test_it_is_made_configured_grown_recreated_and_gone(host: Host, tmp_path: Path) -> None:
    driver = host.drivers["vm"]
    assert isinstance(driver, MemoryDriver)
    bring(host, Target.RUNNING)
    root = tmp_path / "pool/web/root/disk.raw"
    expected = raw_disk(tmp_path / "raw").read_bytes() + bytes(4 * MIB)
    assert root.read_bytes() == expected
    assert driver.configured["web"] == host.declared("web")

    larger = host_of(tmp_path, {"volumes": [{"name": "root", "size": "16MiB"}]})
    bring(larger, Target.RUNNING)
    assert root.stat().st_size == 16 * MIB
    assert root.read_bytes().startswith(expected)

    with root.open("r+b") as disk:
        disk.write(b"what the guest wrote")
    bring(larger, Target.REINITIALISED)
    assert root.read_bytes() == expected + bytes(8 * MIB)
    bring(larger, Target.DEPROVISIONED)
    assert not (tmp_path / "pool/web").exists()
    assert driver.configured == {}


def test_a_half_written_root_is_written_again(host: Host, tmp_path: Path) -> None:
    bring(host, Target.RUNNING)
    bring(host, Target.STOPPED)
    pool, volume = host.pools["default"], VolumeId("web", "root")
    seen = pool.observe()[volume]
    pool.mark(volume, replace(seen, stage=Stage.FILLING, template=None, guest=None))
    with pool.path(volume).open("r+b") as disk:
        disk.write(bytes(100))
    bring(host, Target.STOPPED)
    assert pool.path(volume).read_bytes().startswith(PATTERN)


def test_a_copy_holds_the_disk_and_its_holes(host: Host, tmp_path: Path) -> None:
    bring(host, Target.RUNNING)
    pool = tmp_path / "pool"
    with (pool / "web/root/disk.raw").open("r+b") as disk:
        disk.seek(7 * MIB)
        disk.write(b"what the guest wrote")
    with (pool / "web/data/disk.raw").open("r+b") as disk:
        disk.write(b"data")
    apply_copy(host, copies.clone(host, "web", "clone")).unwrap()
    exported = copies.export(host, "web", str(tmp_path / "web.geats.tar"))
    copies.apply_export(host, exported).unwrap()
    apply_copy(host, copies.import_(host, str(tmp_path / "web.geats.tar"), "again")).unwrap()
    for vm in ("clone", "again"):
        for volume in ("root", "data"):
            copy, original = (pool / each / volume / "disk.raw" for each in (vm, "web"))
            assert copy.read_bytes() == original.read_bytes()
            assert copy.stat().st_blocks <= original.stat().st_blocks + 8
    assert (tmp_path / "web.geats.tar").stat().st_size < MIB
    bring(host, Target.RUNNING)  # it is as it was


def test_images_of_qemu_stand_on_their_template_and_are_left_alone_while_in_use(
    host: Host, tmp_path: Path
) -> None:
    pool = qcow2.open_pool({"path": str(tmp_path / "images")}, None)
    host = replace(host, pools=Opened.of("pool", {"default": pool}))
    bring(host, Target.RUNNING)
    root, (template,) = VolumeId("web", "root"), [v for v in pool.observe() if v.is_template]
    assert pool.used_bytes(root) < pool.used_bytes(template) + 2**18
    assert read_in_qcow2(pool.path(root)) == PATTERN[:512]
    assert host.templates.pruned(dry_run=False)[0]["action"] == "keep"
    asked: tuple[Callable[[], object], ...] = (
        lambda: snapshots.snapshot(host, "web", "monday"),
        lambda: copies.export(host, "web", str(tmp_path / "web.geats.tar")),
        lambda: copies.clone(host, "web", "clone"),
    )
    for in_use in asked:
        with pytest.raises(Refused, match="can do this only while the VM is off"):
            in_use()

    bring(host, Target.STOPPED)
    apply_plan(host, snapshots.snapshot(host, "web", "monday")).unwrap()
    write_in_qcow2(pool.path(root), b"what the guest wrote".ljust(512))
    exported = copies.export(host, "web", str(tmp_path / "web.geats.tar"))
    copies.apply_export(host, exported).unwrap()
    apply_copy(host, copies.import_(host, str(tmp_path / "web.geats.tar"), "again")).unwrap()
    apply_copy(host, copies.clone(host, "web", "clone")).unwrap()
    apply_plan(host, snapshots.restore(host, "web", "monday", allow_data_loss=True)).unwrap()
    assert read_in_qcow2(pool.path(root)) == PATTERN[:512]
    for copy in ("again", "clone"):
        said = read_in_qcow2(pool.path(VolumeId(copy, "root")))
        assert said == b"what the guest wrote".ljust(512)


@pytest.mark.parametrize(
    ("volumes", "why"),
    [
        ([{"name": "root", "size": "4MiB"}, {"name": "data"}], "size: must be at least 8MiB"),
        ([{"name": "root", "pool": "trees"}, {"name": "data"}], "is a disk in the archive, and"),
    ],
)
def test_an_archive_of_disks_is_imported_where_they_fit(
    host: Host, tmp_path: Path, volumes: list[object], why: str
) -> None:
    bring(host, Target.RUNNING)
    path = str(tmp_path / "web.geats.tar")
    copies.apply_export(host, copies.export(host, "web", path)).unwrap()
    with pytest.raises(Refused, match=why):
        copies.import_(host, path, "again", {"volumes": volumes})


def test_what_does_not_fit_or_is_no_disk_is_refused_in_the_plan(host: Host, tmp_path: Path) -> None:
    assert facts_of(host, []).disks == {"image": 4 * MIB}
    for vm, why in (
        ({"volumes": [{"name": "root", "size": "2MiB"}]}, "must be at least 4MiB"),
        ({"template": "tree"}, "needs a disk image, and the template 'tree' is a tree of files"),
        ({"privileged": True}, "privileged: the driver 'vm' has no such key"),
        ({"cpus": 0.5}, "cpus: must be a whole number"),
    ):
        with pytest.raises(Refused, match=why):
            bring(host_of(tmp_path, vm), Target.RUNNING)
    assert host.pools["default"].observe() == {}


def test_what_a_header_tells_is_told_before_a_plan(host: Host, tmp_path: Path) -> None:
    image, raw = tmp_path / "image", {**config_of(tmp_path)}

    def told() -> Problems:
        return lifecycle.validate(raw).get(lifecycle.CONFIGURATION, ())

    assert told() == ()
    for content, why in (
        (b"\x1f\x8b\x08 and more", "is not an image in the format qcow2"),
        (image.read_bytes()[:8] + b"\0\0\0\0\0\0\1\0" + image.read_bytes()[16:], "backing file"),
    ):
        image.write_bytes(content)
        (found,) = told()
        assert found.path == "templates.image.disk"
        assert why in found.message
    image.unlink()  # as where it is only checked
    assert told() == ()

    raw["templates"] = {"image": {"disk": {"path": str(image), "format": "raw"}}}
    for form, content in (("qcow2", b"QFI\xfb"), ("xz", b"\xfd7zXZ\0"), ("gzip", b"\x1f\x8b\x08")):
        image.write_bytes(content.ljust(512))
        (found,) = told()
        assert form in found.message
        assert found.message.endswith("declared as format: raw")


def test_a_root_without_a_size_is_planned_as_large_as_its_image(tmp_path: Path) -> None:
    qcow2_disk(tmp_path / "image")
    host = host_of(tmp_path, {"volumes": [{"name": "root"}]})
    pool = sparsefile.open_pool({"path": str(tmp_path / "pool"), "default_size": "1MiB"}, None)
    small = replace(host, pools=Opened.of("pool", {"default": pool}))
    bring(small, Target.RUNNING)
    assert (tmp_path / "pool/web/root/disk.raw").stat().st_size == 4 * MIB
    apply_copy(small, copies.clone(small, "web", "clone")).unwrap()
    exported = copies.export(small, "web", str(tmp_path / "web.geats.tar"))
    copies.apply_export(small, exported).unwrap()
    apply_copy(small, copies.import_(small, str(tmp_path / "web.geats.tar"), "again")).unwrap()
    for copy in ("clone", "again"):
        assert (tmp_path / "pool" / copy / "root/disk.raw").stat().st_size == 4 * MIB


def test_the_memory_driver_says_which_roots_it_can_play(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="roots: unknown kind of roots 'tape'"):
        open_driver({"roots": "tape"}, tmp_path)


def test_a_disk_becomes_a_template_as_it_is(host: Host, tmp_path: Path) -> None:
    bring(host, Target.STOPPED)
    file = tmp_path / "web.qcow2"
    with pytest.raises(Refused, match=r"web.keep: no disk of a guest is opened"):
        publishing.publish(host, "web", f"{file}", [])
    planned = publishing.publish(host, "web", f"{file}")
    copies.apply_to_file(host, planned, file).unwrap()
    told = publishing.written(host, planned)
    declared = {"disk": {"path": f"{file}", "format": "qcow2", "sha256": told["sha256"]}}
    assert told["templates"] == {"web": declared}
    assert publishing.file_of(publishing.publish(host, "web")).suffix == ".qcow2"
    there = Host.from_config(config_of(tmp_path / "there") | {"templates": {"image": declared}})
    bring(there, Target.STOPPED)
    disks = [each.pools["default"].path(VolumeId("web", "root")) for each in (host, there)]
    assert disks[0].read_bytes() == disks[1].read_bytes()
