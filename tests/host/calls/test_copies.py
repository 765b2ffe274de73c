"""Archives of VMs: on a host without a driver, on pools of directories and in memory."""

import errno
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from returns.result import Failure

from geats_core.jobs.manifests import Manifest, PackedVolume, manifest_to_json
from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.observation import Observation, Power
from geats_host.archives import vm_archives
from geats_host.calls import copies, lifecycle, publishing
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing import lines_by_hand
from geats_host.storage import VolumeId
from tests.memory_host import memory_host

POOL = "geats_host.storage.directory.DirectoryPool"
VOLUMES = [{"name": "root"}, {"name": "data", "mount": "/data"}]
WEB = {"profile": "small", "volumes": VOLUMES, "hostname": "web01"}


def host_at(directory: Path, **change: object) -> Host:
    """A host with a pool of directories, and another in memory."""
    template = directory / "template"
    (template / "etc").mkdir(parents=True, exist_ok=True)
    (template / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    return memory_host(
        directory,
        {
            "pools": {
                "default": {"type": "directory", "path": f"{directory}/volumes"},
                "memory": {"type": "memory", "path": f"{directory}/memory"},
            },
            "templates": {"debian": {"path": str(template)}},
            "vms": {"web01": WEB},
            **change,
        },
    )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """The host on which web01 runs, and on whose data volume there are files of every kind."""
    host = host_at(tmp_path / "here")
    apply_plan(host, lifecycle.plan_to(host, "web01")).unwrap()
    data = tree(host, "web01")
    (data / "file").write_text("what a person wrote")
    os.link(data / "file", data / "hard")
    (data / "link").symlink_to("/etc/passwd")
    os.chown(data / "file", 1000, 1001)
    (data / "file").chmod(0o4750)
    os.setxattr(data / "file", "user.note", b"kept")
    with (data / "holes").open("wb") as file:
        file.truncate(2**24)
    (data / "dev").mkdir()
    (data / "dev/null").write_text("left out")
    os.mkfifo(data / "fifo")
    return host


def tree(host: Host, name: str, volume: str = "data", pool: str = "default") -> Path:
    return host.pools[pool].path(VolumeId(name, volume))


def exported(host: Host, name: str = "web01", path: Path | None = None) -> Path:
    copying = copies.export(host, name, None if path is None else str(path))
    copies.apply_export(host, copying).unwrap()
    return copies.archive_of(copying)


def imported(host: Host, archive: Path, name: str | None = None, **changes: object) -> SavedPlan:
    copying = copies.import_(host, str(archive), name, changes)
    copies.apply_copy(host, copying).unwrap()
    return copying


def shown(data: Path) -> dict[str, object]:
    """All that is to be the same in a copy."""
    file, holes = (data / "file").stat(), (data / "holes").stat()
    return {
        "names": sorted(os.listdir(data)),
        "file": ((data / "file").read_text(), file.st_uid, file.st_gid, oct(file.st_mode)),
        "times": file.st_mtime_ns,
        "attributes": os.getxattr(data / "file", "user.note"),
        "hard link": (data / "hard").stat().st_ino == file.st_ino,
        "link": os.readlink(data / "link"),
        "holes": (holes.st_size, holes.st_blocks),
        "dev": os.listdir(data / "dev"),
    }


def test_what_a_machine_remembers_goes_with_it_but_no_two_have_one_tpm(tmp_path: Path) -> None:
    host = host_at(
        tmp_path / "here", pools={"default": {"type": "memory", "path": f"{tmp_path}/m"}}
    )
    apply_plan(host, lifecycle.plan_to(host, "web01")).unwrap()
    entries, both = {"firmware.fd": "entries"}, {"firmware.fd": "entries", "tpm2": "keys"}
    of_driver(host).memories["web01"] = both
    archive = exported(host)
    imported(host, archive, "web02")
    copies.apply_copy(host, copies.clone(host, "web01", "web03")).unwrap()
    assert of_driver(host).memories == {"web01": both, "web02": entries, "web03": entries}

    there = host_at(tmp_path / "there", vms={})
    imported(there, archive)
    assert of_driver(there).memories == {"web01": both}
    apply_plan(there, lifecycle.plan_verb(there, "undefine", "web01")).unwrap()
    assert of_driver(there).memories == {}


def of_driver(host: Host) -> MemoryDriver:
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    return driver


def test_a_vm_goes_to_another_host_with_all_that_is_on_its_volumes(
    host: Host, tmp_path: Path
) -> None:
    before = host.observe("web01")
    archive = exported(host)
    there = host_at(tmp_path / "there", vms={})
    imported(there, archive)

    assert host.observe("web01") == before
    assert before.power is Power.RUNNING
    have = there.observe("web01")
    assert (have.recorded, have.power) == (before.recorded, Power.STOPPED)
    assert shown(tree(there, "web01")) == {**shown(tree(host, "web01")), "dev": []}
    assert (tree(there, "web01", "root") / "etc/machine-id").read_text().startswith("")
    apply_plan(there, lifecycle.plan_verb(there, "start", "web01")).unwrap()
    assert there.observe("web01").power is Power.RUNNING


def test_the_answer_names_the_file_and_what_is_in_it(host: Host, tmp_path: Path) -> None:
    copying = copies.export(host, "web01", str(tmp_path / "a.tar"))
    copies.apply_export(host, copying).unwrap()
    content = (tmp_path / "a.tar").read_bytes()
    assert copies.written(copying) == {
        "path": str(tmp_path / "a.tar"),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    assert (tmp_path / "a.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["root.tar.zst", "data.tar.zst", "geats.json"]
    listed = subprocess.run(
        ["tar", "--list", "--file", tmp_path / "a.tar"], capture_output=True, check=True
    )
    assert (listed.stdout.split(), listed.stderr) == (
        [b"root.tar.zst", b"data.tar.zst", b"geats.json"],
        b"",
    )


def test_without_a_path_it_is_in_a_folder_of_geats_that_only_root_can_enter(host: Host) -> None:
    archive = exported(host)
    assert archive.parent == Path(host.config.state_dir) / "exports"
    assert archive.parent.stat().st_mode & 0o777 == 0o700
    assert (archive.name[:7], archive.name[-10:]) == ("web01-2", ".geats.tar")


@pytest.mark.parametrize("links", [True, False])
def test_no_archive_takes_the_place_of_another(
    host: Host, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """In the same second, with the clock set back, or planned at once; also without hard links."""
    if not links:
        monkeypatch.setattr("os.link", without_links)
    monkeypatch.setattr("time.time", lambda: 1_764_338_400)
    both = [copies.export(host, "web01") for _ in range(2)]
    copies.apply_export(host, both[0]).unwrap()
    first = copies.archive_of(both[0]).read_bytes()
    assert isinstance(copies.apply_export(host, both[1]), Failure)
    second = exported(host)
    assert copies.archive_of(both[0]).read_bytes() == first
    assert second.name == copies.archive_of(both[0]).name.replace(".geats", "-2.geats")
    assert sorted(each.name for each in second.parent.iterdir()) == sorted(
        [copies.archive_of(both[0]).name, second.name]
    )


def without_links(_: object, new: Path) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), f"{new}")


def test_what_may_be_secret_is_only_for_root_in_the_guest(host: Host) -> None:
    etc = tree(host, "web01", "root") / "etc"
    modes = {name: (etc / name).stat().st_mode & 0o777 for name in ("hostname", "firstboot.config")}
    assert modes == {"hostname": 0o644, "firstboot.config": 0o600}


def test_a_copy_beside_the_vm_is_a_new_one(host: Host) -> None:
    machine_id = tree(host, "web01", "root") / "etc/machine-id"
    machine_id.write_text("of web01")
    archive = exported(host)
    imported(host, archive, "web02", memory="64MiB")

    have = host.observe("web02")
    assert have.recorded is not None
    assert (have.recorded.hostname, have.recorded.limits.memory_bytes) == ("web02", 2**26)
    root = tree(host, "web02", "root")
    assert ((root / "etc/machine-id").read_text(), machine_id.read_text()) == ("", "of web01")
    assert (root / "etc/hostname").read_text() == "web02\n"
    assert shown(tree(host, "web02"))["file"] == shown(tree(host, "web01"))["file"]


def test_the_same_vm_elsewhere_keeps_its_machine_id(host: Host, tmp_path: Path) -> None:
    (tree(host, "web01", "root") / "etc/machine-id").write_text("of web01")
    there = host_at(tmp_path / "there", vms={})
    imported(there, exported(host))
    assert (tree(there, "web01", "root") / "etc/machine-id").read_text() == "of web01"


def test_a_vm_in_memory_is_exported_and_imported_as_well(tmp_path: Path) -> None:
    host = host_at(tmp_path, vms={"db01": {"profile": "small", "volumes": in_memory()}})
    apply_plan(host, lifecycle.plan_to(host, "db01")).unwrap()
    imported(host, exported(host, "db01"), "db02")
    assert len(host.observe("db02").volumes) == 2


def in_memory() -> list[dict[str, object]]:
    return [{**volume, "pool": "memory"} for volume in VOLUMES]


def test_volumes_may_go_to_another_pool(host: Host) -> None:
    imported(host, exported(host), "web02", pools={"data": "memory"})
    assert [seen.pool for seen in host.observe("web02").volumes] == ["default", "memory"]


def test_what_is_wrong_with_a_path_is_said_before_anything_is_done(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "there").touch()
    for path, said in (
        ("there", "must be an absolute path"),
        (str(tmp_path / "there"), "there is something at"),
        (str(tmp_path / "no/a.tar"), "there is no directory"),
    ):
        with pytest.raises(Refused, match=said):
            copies.export(host, "web01", path)
    with pytest.raises(Refused) as refused:
        copies.import_(host, "a.tar", "../x", {}, "5")
    assert [each.partition(":")[0] for each in refused.value.problems] == ["path", "name", "sha256"]
    with pytest.raises(Refused, match="No such file"):
        copies.import_(host, str(tmp_path / "none.tar"))


def test_an_archive_with_another_checksum_is_refused(host: Host) -> None:
    archive = exported(host)
    with pytest.raises(Refused, match=f"must have the sha256 {'0' * 64}, got "):
        copies.import_(host, str(archive), "web02", {}, "0" * 64)


@pytest.mark.parametrize("part", ["root.tar.zst", "data.tar.zst", "geats.json"])
def test_a_byte_that_was_changed_anywhere_is_seen_before_anything_is_done(
    host: Host, part: str
) -> None:
    archive = exported(host)
    with tarfile.open(archive) as tar:
        member = tar.getmember(part)
    content = bytearray(archive.read_bytes())
    content[member.offset_data + member.size // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(Refused):
        copies.import_(host, str(archive), "web02")
    assert host.observe("web02") == Observation()


def test_a_file_that_was_cut_short_is_no_archive(host: Host) -> None:
    archive = exported(host)
    content = archive.read_bytes()
    for size in (0, 100, 600, len(content) // 2, len(content) - 2000):
        archive.write_bytes(content[:size])
        with pytest.raises(Refused, match=str(archive)):
            copies.import_(host, str(archive), "web02")


def test_nothing_is_left_of_an_export_that_fails(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise HostError("no space left on device")

    monkeypatch.setattr(vm_archives, "pack", fail)
    copying = copies.export(host, "web01", str(tmp_path / "a.tar"))
    assert isinstance(copies.apply_export(host, copying), Failure)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert host.observe("web01").power is Power.RUNNING


@pytest.mark.parametrize("links", [True, False])
def test_an_export_whose_last_step_fails_leaves_its_name_free(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def broken(*_: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("os.link", broken if links else without_links)
    monkeypatch.setattr(Path, "rename", broken)
    copying = copies.export(host, "web01", str(tmp_path / "a.tar"))
    (failed,) = copies.apply_export(host, copying).failure().failed
    assert failed.error == f"{tmp_path}/a.tar: Input/output error"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_an_import_that_fails_is_taken_away_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = exported(host)
    copying = copies.import_(host, str(archive), "web02")
    real = vm_archives.unpack_volume

    def fail(path: Path, name: str, *rest: object) -> None:
        if name == "data":
            raise HostError("no space left on device")
        real(path, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("geats_host.archives.vm_archives.unpack_volume", fail)
    assert isinstance(copies.apply_copy(host, copying), Failure)
    assert host.observe("web02") == Observation()
    monkeypatch.undo()
    imported(host, archive, "web02")


@pytest.mark.parametrize("refused", [True, False])
def test_what_failed_first_is_told_also_if_what_was_made_cannot_be_taken_away(
    host: Host, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    copying = copies.import_(host, str(exported(host)), "web02")

    def fail(*_: object) -> None:
        raise HostError("no space left on device")

    def stays(*_: object) -> None:
        raise Refused("web02: is in use") if refused else HostError("web02: is in use")

    monkeypatch.setattr("geats_host.archives.vm_archives.unpack_volume", fail)
    broken = "geats_host.calls.copies.plan_vm" if refused else f"{POOL}.destroy"
    monkeypatch.setattr(broken, stays)
    failed, *_ = copies.apply_copy(host, copying).failure().failed
    said = "no space left on device (what was made of it stays: web02: is in use"
    assert failed.error.startswith(said)


def test_an_archive_that_changed_after_it_was_looked_at_is_not_unpacked(host: Host) -> None:
    archive = exported(host)
    copying = copies.import_(host, str(archive), "web02")
    (tree(host, "web01") / "file").write_text("another")
    archive.unlink()
    exported(host, path=archive)
    applied = copies.apply_copy(host, copying)
    assert "has changed since it was checked" in str(applied.failure())


def crafted(host: Host, path: Path, fill: Callable[[tarfile.TarFile], None]) -> Path:
    """An archive whose checksums are right, and whose data volume is what *fill* makes it."""
    spec = host.observe("web01").recorded
    assert spec is not None
    parts: dict[str, bytes] = {}
    for name in ("root", "data"):
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            if name == "data":
                fill(tar)
        packed = subprocess.run(["zstd"], input=plain.getvalue(), capture_output=True, check=True)
        parts[name] = packed.stdout
    volumes = tuple(
        PackedVolume(name=name, sha256=hashlib.sha256(part).hexdigest(), size_bytes=len(part))
        for name, part in parts.items()
    )
    manifest = Manifest(spec=replace(spec, nics=()), template="debian", volumes=volumes, taken_s=1)
    files = {f"{name}.tar.zst": part for name, part in parts.items()}
    files["geats.json"] = manifest_to_json(manifest).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            add(tar, name, content)
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **more: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))


def through_link(tar: tarfile.TarFile, victim: Path) -> None:
    add(tar, "./x", type=tarfile.SYMTYPE, linkname=str(victim.parent))
    add(tar, f"./x/{victim.name}", b"bad")


def hard_link(tar: tarfile.TarFile, victim: Path) -> None:
    add(tar, "./x", type=tarfile.LNKTYPE, linkname=str(victim))
    add(tar, "./x", b"bad")


HOSTILE: dict[str, Callable[[tarfile.TarFile, Path], None]] = {
    "a path upwards": lambda tar, victim: add(tar, f"../../../../../..{victim}", b"bad"),
    "an absolute path": lambda tar, victim: add(tar, str(victim), b"bad"),
    "a link, and a file through it": through_link,
    "a hard link to a file of the host": hard_link,
    "a device": lambda tar, _: add(tar, "./disk", type=tarfile.BLKTYPE, devmajor=7, devminor=0),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_a_hostile_archive_writes_nothing_outside_its_volume(
    host: Host, tmp_path: Path, trick: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("good")
    archive = crafted(host, tmp_path / "bad.tar", lambda tar: HOSTILE[trick](tar, victim))
    copying = copies.import_(host, str(archive), "web02", {})
    copies.apply_copy(host, copying)
    assert (victim.read_text(), victim.stat().st_nlink) == ("good", 1)
    data = tree(host, "web02")
    assert not (data / "disk").exists()


def test_a_file_that_is_another_kind_of_tar_is_no_archive(host: Host, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    for names in (["x"], ["geats.json", "geats.json"], ["geats.json", "x"]):
        with tarfile.open(archive, "w") as tar:
            for name in names:
                add(tar, name, b"{}")
        with pytest.raises(Refused, match=str(archive)):
            copies.import_(host, str(archive))
    with tarfile.open(archive, "w") as tar:
        add(tar, "geats.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    with pytest.raises(Refused, match="is not an archive of a VM"):
        copies.import_(host, str(archive))


def test_what_is_mounted_in_a_volume_is_not_passed_over(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "geats_host.archives.volume_archives.mounts_below", lambda *_, **__: ("/x",)
    )
    applied = copies.apply_export(host, copies.export(host, "web01"))
    assert "is not packed because /x is mounted" in str(applied.failure())


def test_a_copy_mounts_only_what_there_is(host: Host, tmp_path: Path) -> None:
    archive = exported(host)
    there = host_at(tmp_path / "there", vms={})
    mounts = {"other": {"vm": "mail", "volume": "data", "mount": "/other"}}
    with pytest.raises(Refused, match="mail is not defined, or will not be"):
        copies.import_(there, str(archive), "web01", {"shared_volumes": mounts})


def cloned(host: Host, **changes: object) -> SavedPlan:
    copying = copies.clone(host, "web01", "web02", changes)
    copies.apply_copy(host, copying).unwrap()
    return copying


def test_a_clone_holds_what_its_source_holds_and_the_source_goes_on(host: Host) -> None:
    machine_id = tree(host, "web01", "root") / "etc/machine-id"
    machine_id.write_text("of web01")
    before, held = host.observe("web01"), shown(tree(host, "web01"))
    copying = cloned(host, memory="64MiB")

    assert copying.of_vm.name == "web02"
    assert (host.observe("web01"), shown(tree(host, "web01"))) == (before, held)
    assert shown(tree(host, "web02")) == held
    root = tree(host, "web02", "root")
    assert ((root / "etc/machine-id").read_text(), machine_id.read_text()) == ("", "of web01")
    assert (root / "etc/hostname").read_text() == "web02\n"
    apply_plan(host, lifecycle.plan_verb(host, "start", "web02")).unwrap()


def test_a_clone_is_refused_where_there_is_no_source_or_a_vm_of_the_name(host: Host) -> None:
    for source, name, said in (
        ("mail", "web02", "name: unknown VM 'mail'"),
        ("web01", "web01", "give another name"),
        ("web01", "../x", "target: must be 1 to 63"),
    ):
        with pytest.raises(Refused, match=said):
            copies.clone(host, source, name)
    apply_plan(host, lifecycle.plan_to(host, "web01", "undefined")).unwrap()
    with pytest.raises(Refused, match="web01: is not defined"):
        copies.clone(host, "web01", "web02")


def test_a_clone_that_fails_is_taken_away_and_the_source_goes_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise HostError("no space left on device")

    monkeypatch.setattr(f"{POOL}.clone", fail)
    assert isinstance(copies.apply_copy(host, copies.clone(host, "web01", "web02")), Failure)
    assert host.observe("web02") == Observation()
    assert host.observe("web01").power is Power.RUNNING


def test_a_source_that_was_started_since_is_not_cloned(host: Host) -> None:
    apply_plan(host, lifecycle.plan_verb(host, "stop", "web01")).unwrap()
    copying = copies.clone(host, "web01", "web02")
    apply_plan(host, lifecycle.plan_verb(host, "start", "web01")).unwrap()
    with pytest.raises(Refused, match=r"web01\.power: was stopped, is running: plan again"):
        copies.apply_copy(host, copying)


def test_lines_added_by_hand_go_where_the_vm_goes(host: Host, tmp_path: Path) -> None:
    """To clones, archives and what is made of these; and they are there again after undefine."""
    by_hand = ("lxc.environment = A=1",)
    host.drivers["memory"].define(host.registry.definitions()["web01"], {}, by_hand)
    copies.apply_copy(host, copies.clone(host, "web01", "web02")).unwrap()
    imported(host, exported(host), "web03")
    found = {name: vm.by_hand for name, vm in host.observe_all().items()}
    assert found == dict.fromkeys(("web01", "web02", "web03"), by_hand)
    for target in ("undefined", "defined", "undefined"):
        apply_plan(host, lifecycle.plan_to(host, "web01", target)).unwrap()
        assert host.observe("web01").by_hand == by_hand
        assert lifecycle.plan_to(host, "web01", target).plan.is_empty
    assert host.registry.notes(lines_by_hand.KIND)
    apply_plan(host, lifecycle.plan_to(host, "web01", "deprovisioned")).unwrap()
    assert not host.registry.notes(lines_by_hand.KIND)
    assert not host.observe("web01").exists


@pytest.mark.parametrize("text", ["{", "1"])
def test_a_note_that_somebody_broke_is_of_no_lines(host: Host, text: str) -> None:
    apply_plan(host, lifecycle.plan_to(host, "web01", "undefined")).unwrap()
    host.registry.note(lines_by_hand.KIND, "web01", text)
    assert host.observe("web01").by_hand == ()


STATE = (
    "var/lib/cloud/instances/i-1/user-data.txt",
    "var/lib/cloud/seed/nocloud/user-data",
    "var/lib/cloud/data/instance-id",
    "var/lib/dhcp/dhclient.eth0.leases",
    "var/lib/NetworkManager/internal-1-eth0.lease",
    "var/lib/systemd/random-seed",
)


def publish(host: Host, path: Path, keep: object = None) -> dict[str, object]:
    planned = publishing.publish(host, "web01", f"{path}", keep)
    copies.apply_to_file(host, planned, publishing.file_of(planned)).unwrap()
    return publishing.written(host, planned)


@pytest.fixture
def with_secrets(host: Host) -> Path:
    root = tree(host, "web01", "root")
    of_guest = ("etc/ssh/ssh_host_ed25519_key", "etc/salt/pki/minion/minion.pem", "etc/hostname")
    told = "etc/salt/minion.d/99-geats.conf"
    others = ("etc/ssh/sshd_config", "etc/firstboot.config", "srv/page")
    for name in (*of_guest, *STATE, told, *others):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "etc/machine-id").write_text("a" * 32)
    return root


def test_a_container_becomes_a_template_without_what_is_of_one_guest(
    host: Host, with_secrets: Path, tmp_path: Path
) -> None:
    before = host.observe("web01")
    file = tmp_path / "web.tar.zst"
    told = publish(host, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert told == {
        "path": f"{file}",
        "sha256": digest,
        "bytes": file.stat().st_size,
        "templates": {"web01": {"path": f"{file}", "sha256": digest}},
    }
    assert (host.observe("web01"), file.stat().st_mode & 0o777) == (before, 0o600)
    assert [each.name for each in tmp_path.glob(".*")] == []
    templates = {"debian": {"path": f"{file}", "sha256": digest}}
    new = host_at(tmp_path / "new", templates=templates)
    apply_plan(new, lifecycle.plan_verb(new, "provision", "web01")).unwrap()
    made = tree(new, "web01", "root")
    assert {name for name in ("srv/page", "etc/ssh/sshd_config") if (made / name).exists()} == {
        "srv/page",
        "etc/ssh/sshd_config",
    }
    assert not (made / "etc/ssh/ssh_host_ed25519_key").exists()
    assert [name for name in STATE if (made / name).exists()] == []
    assert (made / "var/lib/cloud/seed").is_dir()
    assert (made / "etc/machine-id").read_text() == ""
    assert (made / "etc/machine-id").stat().st_uid == made.stat().st_uid
    assert (made / "etc/hostname").read_text() == "web01\n"


def test_what_is_kept_stays_in_the_tarball(host: Host, with_secrets: Path, tmp_path: Path) -> None:
    publish(host, tmp_path / "web.tar.zst", ["ssh-host-keys", "machine-id"])
    argv = ["tar", "--zstd", "--list", "--file", f"{tmp_path}/web.tar.zst"]
    names = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.split()
    assert {"./etc/ssh/ssh_host_ed25519_key", "./etc/machine-id"} < {*names}
    assert [name for name in STATE if f"./{name}" in names] == [STATE[-1]]  # with the machine-id
    left = ["./etc/hostname", "./etc/firstboot.config", "./etc/salt/pki/minion/minion.pem"]
    left.append("./etc/salt/minion.d/99-geats.conf")
    assert [each for each in left if each in names] == []
    with pytest.raises(Refused, match=r"keep\[0\]: unknown word 'machineid', did you mean"):
        publishing.publish(host, "web01", None, ["machineid"])
    with pytest.raises(Refused, match="there is something at"):
        publish(host, tmp_path / "web.tar.zst")


def test_without_a_path_a_template_is_in_a_folder_of_geats(host: Host) -> None:
    planned = publishing.publish(host, "web01")
    file = publishing.file_of(planned)
    copies.apply_to_file(host, planned, file).unwrap()
    assert file.parent == Path(host.config.state_dir) / "published"
    assert (file.name[:7], file.name[-8:], file.is_file()) == ("web01-2", ".tar.zst", True)
