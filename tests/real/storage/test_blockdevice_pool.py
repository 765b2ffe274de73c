"""Block devices conform, alone and under filesystems, and none that holds data is touched."""

import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from geats_core import Goal, Target, explain, parse_vm
from geats_core.vm.observation import Stage
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.linux import block_devices
from geats_host.planning.plans import plan_vm
from geats_host.storage import Pool, VolumeId, ZeroingPool, filesystem
from geats_host.storage.blockdevice import open_pool
from geats_host.storage.filesystem import FilesystemPool
from geats_host.testing import pool_conformance_content
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import OF_A_VM, Reopen
from tests.host.templates.disks import raw_disk
from tests.real.storage.cuts import converge, cuts_of
from tests.real.storage.one_device_each import Devices, OneDeviceEach
from tests.real.storage.places import in_memory, loop_device, memory, mounted, own_mounts, sh, uses
from tests.real.storage.test_filesystem_pool import SIZES, room_of

__all__ = ["in_memory", "memory", "own_mounts"]

MIB = 2**20
VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("web02", "root")


@pytest.fixture
def devices(memory: Path) -> Iterator[Devices]:
    with ExitStack() as stack:
        yield Devices(memory, 3 * SIZES["xfs"], stack)


def test_a_guest_reads_nothing_that_was_on_its_device(memory: Path) -> None:
    """The plan says that it is zeroed; what anything knows to be data is left as it is."""
    raw_disk(memory / "image")
    left = b"of another tenant".ljust(64)
    with loop_device(memory / "disk.img", 64 * MIB) as device:
        with device.open("r+b") as file:
            for at in (0, 2 * MIB, 64 * MIB - len(left)):
                file.seek(at)
                file.write(left)
        data = {"type": "blockdevice", "device": f"{device}", "marks": f"{memory}/marks"}
        host = Host.from_config(
            {
                **{key: f"{memory / key}" for key in ("state_dir", "run_dir")},
                "registry": "memory",
                "drivers": {"vm": {"type": "memory", "roots": "disk"}},
                "pools": {"default": {"type": "sparsefile", "path": f"{memory}/p"}, "lun": data},
                "templates": {"image": {"disk": {"path": f"{memory}/image", "format": "raw"}}},
            }
        )
        volumes = [{"name": "root", "size": "8MiB"}, {"name": "data", "pool": "lun"}]
        spec = parse_vm("web", {"driver": "vm", "template": "image", "volumes": volumes}).unwrap()
        wanted = Goal(name="web", target=Target.PROVISIONED, spec=spec)
        made = plan_vm(host, wanted, host.observe("web"))
        assert "(and zeroed: others may have left data there)" in explain(made.plan)
        apply_plan(host, made).unwrap()
        assert device.read_bytes() == bytes(64 * MIB)

        with device.open("r+b") as file:
            file.write(left)
        pool = host.pools["lun"]
        assert isinstance(pool, ZeroingPool)
        pool.zero(VolumeId("web", "data"))  # it is the guest's by now
        pool.grow_zeroed(VolumeId("web", "data"), 64 * MIB)
        assert device.read_bytes().startswith(left)
        pool.deactivate(VolumeId("web", "data"))
        pool.destroy(VolumeId("web", "data"))
        pool.allocate(OTHER, None)
        sh("mkfs.ext4", "-q", device)
        with pytest.raises(HostError, match="contains ext4, and is not used unless"):
            pool.zero(OTHER)
        assert sh("blkid", "-o", "value", "-s", "TYPE", device).strip() == "ext4"


class TestAlone(PoolConformance):
    thin = False

    @pytest.fixture
    def reopen(self, devices: Devices) -> Reopen:
        return lambda: OneDeviceEach(devices)

    def is_refused(self, reopen: Reopen) -> None:
        """Where each is on a device of its own, none can be cloned."""
        for volume in (OF_A_VM, VOLUME):
            self.ready(reopen(), volume, str(volume))
        with pytest.raises(HostError, match="one volume"):
            reopen().clone(OF_A_VM, VOLUME)
        pool_conformance_content.check(reopen(), VOLUME, str(VOLUME))

    @pytest.mark.parametrize("source", [OF_A_VM])
    @pytest.mark.parametrize("active", [True])
    def test_a_clone_holds_what_its_source_holds(
        self, reopen: Reopen, source: VolumeId, active: bool
    ) -> None:
        self.is_refused(reopen)

    def test_clones_of_one_source_have_nothing_to_do_with_each_other(self, reopen: Reopen) -> None:
        self.is_refused(reopen)

    def test_a_clone_outlives_its_source_or_keeps_it(self, reopen: Reopen) -> None:
        self.is_refused(reopen)

    def test_a_clone_keeps_the_size_of_its_own(self, reopen: Reopen) -> None:
        self.is_refused(reopen)


class UnderFilesystem(PoolConformance):
    fstype = ""
    thin = False

    @pytest.fixture
    def reopen(self, devices: Devices, monkeypatch: pytest.MonkeyPatch) -> Reopen:
        monkeypatch.setattr(pool_conformance_content, "fill", room_of)  # so much is not written
        options: Mapping[object, object] = {
            "fstype": self.fstype,
            "mounts": f"{devices.place}/mounts",
        }
        return lambda: filesystem.open_pool(options, OneDeviceEach(devices))


class TestUnderExt4(UnderFilesystem):
    fstype = "ext4"
    size_bytes = SIZES["ext4"]


class TestUnderXfs(UnderFilesystem):
    fstype = "xfs"
    size_bytes = SIZES["xfs"]


class TestUnderBtrfs(UnderFilesystem):
    fstype = "btrfs"
    size_bytes = SIZES["btrfs"]


@pytest.fixture
def device(memory: Path) -> Iterator[Path]:
    with loop_device(memory / "disk.img", 64 * MIB) as made:
        yield made


Open = Callable[..., Pool]


def sealed(head: bytes, rest: bytes, crc: int) -> bytes:
    """A header that holds its own checksum, in little endian."""
    return head + struct.pack("<I", crc) + rest


def volume_group() -> bytes:
    """The label of LVM2, see its lib/format_text/layout.h: its checksum begins with 0xf597a6cf."""
    rest = struct.pack("<I", 32) + b"LVM2 001" + b"u" * 32
    rest = rest.ljust(512 - 20, b"\0")
    crc = zlib.crc32(rest, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return sealed(b"LABELONE" + struct.pack("<Q", 1), rest, crc)


def array() -> bytes:
    """The superblock of md, version 1.2, see linux/raid/md_p.h."""
    block = bytearray(256)
    struct.pack_into("<II", block, 0, 0xA92B4EFC, 1)
    struct.pack_into("<QQ", block, 128, 8, 0)
    struct.pack_into("<Q", block, 144, 8)
    total = sum(struct.unpack("<64I", block))
    struct.pack_into("<I", block, 216, (total & 0xFFFFFFFF) + (total >> 32))
    return bytes(block)


def guid_table() -> bytes:
    """The header of a GUID partition table without partitions, see UEFI, chapter 5."""
    entries = zlib.crc32(bytes(128 * 128))
    rest = struct.pack("<IQQQQ16sQIII", 0, 1, 131_071, 34, 131_038, b"g" * 16, 2, 128, 128, entries)
    head = b"EFI PART" + struct.pack("<II", 0x10000, 92)
    return sealed(head, rest, zlib.crc32(sealed(head, rest, 0)))


def boot_record(kind: int) -> bytes:
    """The end of a master boot record, with one partition."""
    partition = struct.pack("<B3sB3sII", 0, b"\0\2\0", kind, b"\xff" * 3, 1, 100_000)
    return partition.ljust(64, b"\0") + b"\x55\xaa"


SIGNATURES = {
    "dos": [(446, boot_record(0x83))],
    "gpt": [(446, boot_record(0xEE)), (512, guid_table())],
    "LVM2_member": [(512, volume_group())],
    "linux_raid_member": [(4096, array())],
    "crypto_LUKS": [(0, b"LUKS\xba\xbe\0\1")],
}


@pytest.fixture
def opened(memory: Path, device: Path) -> Open:
    """Opens the pool of the device, with more options."""

    def open_with(**options: object) -> Pool:
        given: dict[object, object] = {"device": str(device), "marks": f"{memory}/marks"}
        return open_pool(given | dict(options.items()), None)

    return open_with


def ready(pool: Pool, volume: VolumeId = VOLUME) -> None:
    pool.allocate(volume, None)
    pool.format(volume)
    pool.activate(volume)


def test_every_wrong_option_is_reported_at_once(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(Refused) as refused:
        open_pool({"device": str(file), "wipe": "yes", "marks": "x", "mark": 1}, opened())
    assert [text.split(":")[0] for text in refused.value.problems] == [
        "device",
        "marks",
        "wipe",
        "on",
        "mark",
    ]


def test_it_holds_one_volume_and_names_its_owner(opened: Open, device: Path) -> None:
    opened().allocate(VOLUME, None)
    with pytest.raises(HostError, match=f"{device}: is taken by web01/root"):
        opened().allocate(OTHER, None)
    assert set(opened().observe()) == {VOLUME}
    assert opened().facts.location == str(device)
    opened().destroy(VOLUME)
    opened().allocate(OTHER, None)


def test_its_volume_is_renamed_with_the_filesystem_on_it(opened: Open, memory: Path) -> None:
    """Its label is that of the new name, and its content the same; the device stays as it is."""

    def above() -> FilesystemPool:
        pool = filesystem.open_pool({"mounts": f"{memory}/mnt"}, opened())
        assert isinstance(pool, FilesystemPool)
        return pool

    ready(above())
    (above().path(VOLUME) / "kept").write_text("kept")
    for _ in range(2):
        above().rename(VOLUME, OTHER)
    assert set(above().observe()) == {OTHER}
    above().activate(OTHER)
    assert (above().path(OTHER) / "kept").read_text() == "kept"
    above().deactivate(OTHER)
    above().destroy(OTHER)


def test_what_holds_data_is_neither_formatted_nor_claimed(opened: Open, device: Path) -> None:
    for make, held in (("mkfs.ext4", "ext4"), ("mkswap", "swap")):
        sh(make, device)
        with pytest.raises(HostError, match=f"contains {held}, and is not used unless"):
            opened().allocate(VOLUME, None)
        assert opened().observe() == {}
        sh("wipefs", "--all", device)
    opened().allocate(VOLUME, None)
    sh("mkfs.ext4", "-q", device)
    with pytest.raises(HostError, match="contains ext4"):
        opened().format(VOLUME)
    opened().destroy(VOLUME)
    assert "ext4" in sh("wipefs", device)  # geats had not formatted it


@pytest.mark.parametrize("held", SIGNATURES)
def test_what_is_part_of_something_else_is_not_claimed(
    opened: Open, device: Path, held: str
) -> None:
    """Partition tables, and parts of volume groups, arrays and encrypted disks."""
    for offset, signature in SIGNATURES[held]:
        with device.open("r+b") as file:
            file.seek(offset)
            file.write(signature)
    with pytest.raises(HostError, match=f"contains {held}, .*is not used unless"):
        opened().allocate(VOLUME, None)
    assert opened().observe() == {}
    with device.open("rb") as file:
        for offset, signature in SIGNATURES[held]:
            file.seek(offset)
            assert file.read(len(signature)) == signature


def test_a_disk_of_which_a_partition_is_mounted_is_not_wiped(
    opened: Open, device: Path, memory: Path
) -> None:
    for offset, signature in SIGNATURES["dos"]:
        with device.open("r+b") as file:
            file.seek(offset)
            file.write(signature)
    sh("partx", "--add", device)
    partition = Path(f"{device}p1")
    try:
        sh("mkfs.ext4", "-q", partition)
        (memory / "point").mkdir()
        with (
            mounted(partition, memory / "point"),
            pytest.raises(HostError, match=f"{device}: is in use"),
        ):
            opened(wipe=True).allocate(VOLUME, None)
    finally:
        sh("partx", "--delete", device)


def test_what_may_be_wiped_is_wiped_when_it_is_formatted(opened: Open, device: Path) -> None:
    sh("mkfs.ext4", "-q", device)
    opened(wipe=True).allocate(VOLUME, None)
    assert "ext4" in sh("wipefs", device)
    opened(wipe=True).format(VOLUME)
    assert sh("wipefs", device) == ""


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_mounted_is_not_touched(
    opened: Open, device: Path, memory: Path, elsewhere: bool
) -> None:
    """In a mount namespace of another process as well."""
    point = memory / "point"
    point.mkdir()
    sh("mkfs.ext4", "-q", device)
    other = f"mount {device} {point} && echo && read -r _ && umount {point}"
    argv = ["unshare", "--mount", "sh", "-c", other] if elsewhere else ["sh", "-c", other]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    try:
        process.stdout.readline()
        with pytest.raises(HostError, match=f"is mounted on {point}"):
            opened(wipe=True).allocate(VOLUME, None)
        assert opened().observe() == {}
    finally:
        process.stdin.write(b"\n")
        process.stdin.close()
        process.wait()


def test_what_another_device_stands_on_is_not_touched(opened: Open, device: Path) -> None:
    ready(opened())
    upper = sh("losetup", "--find", "--show", device).strip()
    try:
        sh("mkswap", upper)
        with pytest.raises(HostError, match=f"is in use by {upper}"):
            opened().destroy(VOLUME)
        assert VOLUME in opened().observe()
    finally:
        sh("losetup", "--detach", upper)


def test_a_device_that_is_not_there_is_said_to_be_so(opened: Open, memory: Path) -> None:
    gone = opened(device="/dev/disk/by-id/gone")
    with pytest.raises(HostError, match="/dev/disk/by-id/gone: is not there"):
        gone.allocate(VOLUME, None)
    assert gone.observe() == {}
    assert gone.facts.size_bytes is None


def test_a_device_that_went_is_not_active_and_can_be_forgotten(
    opened: Open, device: Path, memory: Path
) -> None:
    link = memory / "by-id"
    link.symlink_to(device)
    pool = opened(device=str(link))
    ready(pool)
    link.unlink()
    assert not pool.observe()[VOLUME].active
    for change in (pool.activate, lambda volume: pool.grow(volume, MIB)):
        with pytest.raises(HostError, match="is not there"):
            change(VOLUME)
    pool.destroy(VOLUME)
    assert pool.observe() == {}


@pytest.mark.parametrize("key", ["ID_SERIAL", "DM_UUID"])
def test_another_device_of_the_same_name_is_not_touched(
    key: str, opened: Open, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_devices, "OF_UDEV", tmp_path)
    found = device.stat().st_rdev
    known = tmp_path / f"b{found >> 8}:{found & 255}"
    known.write_text(f"E:{key}=first\n")
    ready(opened())
    sh("mkfs.ext4", "-q", device)
    known.write_text(f"E:{key}=second\n")
    for change in (opened().activate, opened().destroy):
        with pytest.raises(HostError, match=f"is now '{key}=second', and was '{key}=first'"):
            change(VOLUME)
    assert "ext4" in sh("wipefs", device)
    known.write_text(f"E:{key}=first\n")
    opened().destroy(VOLUME)
    assert sh("wipefs", device) == ""


def test_no_volume_is_larger_than_the_device(opened: Open) -> None:
    with pytest.raises(HostError, match="is of 64MiB, and 65MiB do not fit"):
        opened().allocate(VOLUME, 65 * MIB)
    ready(opened())
    with pytest.raises(HostError, match="is of 64MiB, and 65MiB do not fit"):
        opened().grow(VOLUME, 65 * MIB)


@pytest.mark.parametrize("fstype", ["ext4"])
def test_a_cut_anywhere_is_finished_by_the_next_attempt(
    opened: Open, memory: Path, fstype: str
) -> None:
    options: Mapping[object, object] = {"fstype": fstype, "mounts": f"{memory}/mounts"}
    pool = filesystem.open_pool(options, opened())

    def life() -> None:
        converge(pool, VOLUME, 32 * MIB)
        converge(pool, VOLUME, 48 * MIB)
        remove()

    def remove() -> None:
        pool.deactivate(VOLUME)
        pool.destroy(VOLUME)

    for _ in cuts_of(life):
        converge(pool, VOLUME, 48 * MIB)
        assert pool.observe()[VOLUME].stage is Stage.FORMATTED
        remove()
        assert pool.observe() == {}
        assert [each for each in uses(memory) if "mounts" in each] == []
