"""What is asked of cryptsetup, and what is refused, without the device mapper; see tests/vm."""

import shutil
from pathlib import Path

import pytest

from geats_host.errors import Refused
from geats_host.storage import VolumeId, directory, luks, sparsefile
from geats_host.storage.luks_commands import HEADER_BYTES, Cryptsetup, header_label, open_mappings

COMMAND = Cryptsetup(key_file="/etc/key")
DEVICE = Path("/dev/-x")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A file with a key."""
    file = tmp_path / "key"
    file.write_bytes(b"secret")
    file.chmod(0o400)
    return file


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is there, by its name."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/sbin/{name}")


def test_a_header_of_a_size_that_is_known() -> None:
    assert COMMAND.format(DEVICE, "web01/root") == [
        "cryptsetup",
        "luksFormat",
        "--batch-mode",
        "--type=luks2",
        "--label=web01/root",
        "--offset=32768",
        "--pbkdf=argon2id",
        "--key-file=/etc/key",
        "--",
        "/dev/-x",
    ]
    fast = Cryptsetup(key_file="/etc/key", pbkdf="pbkdf2", iterations=1000)
    assert "--pbkdf=pbkdf2" in fast.format(DEVICE, "x")
    assert "--pbkdf-force-iterations=1000" in fast.format(DEVICE, "x")


def test_what_is_discarded_is_passed_on_only_where_that_is_wanted() -> None:
    assert "--allow-discards" not in COMMAND.open(DEVICE, "m")
    assert "--allow-discards" in Cryptsetup(key_file="/k", discard=True).open(DEVICE, "m")
    assert COMMAND.open(DEVICE, "m")[-3:] == ["--", "/dev/-x", "m"]


def test_names_never_become_options() -> None:
    for argv in (
        COMMAND.format(DEVICE, "l"),
        COMMAND.renew(DEVICE, "u"),
        COMMAND.name(DEVICE, "l"),
        COMMAND.erase(DEVICE),
        COMMAND.close("-m"),
        COMMAND.resize("-m"),
    ):
        assert argv[0] == "cryptsetup"
        assert argv[-2] == "--"


def test_the_label_of_a_header(tmp_path: Path) -> None:
    file = tmp_path / "disk"
    file.write_bytes(b"")
    assert header_label(file) is None
    file.write_bytes(b"LUKS\xba\xbe\0\2" + bytes(16) + b"web01/root".ljust(48, b"\0"))
    assert header_label(file) == "web01/root"
    file.write_bytes(b"LUKS\xba\xbe\0\1" + bytes(64))
    assert header_label(file) is None


def test_mappings_and_their_sizes(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        (tmp_path / f"dm-{number}/dm").mkdir(parents=True)
        (tmp_path / f"dm-{number}/dm/name").write_text(f"{name}\n")
        (tmp_path / f"dm-{number}/size").write_text("8\n")
    (tmp_path / "dm-2").mkdir()  # it is being closed
    assert open_mappings(tmp_path) == {"a": 4096, "b": 4096}


def test_every_wrong_option_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    below = directory.open_pool({"path": f"{tmp_path}/pool"}, None)
    options: dict[object, object] = {
        "key_file": "key",
        "pbkdf": "md5",
        "iterations": 0,
        "discard": "no",
        "kee": 1,
    }
    with pytest.raises(Refused) as refused:
        luks.open_pool(options, below)
    assert [text.split(":")[0] for text in refused.value.problems] == [
        "key_file",
        "discard",
        "pbkdf",
        "iterations",
        "type",
        "on",
        "kee",
    ]
    assert "type: cryptsetup is not installed (package cryptsetup-bin)" in refused.value.problems
    assert "on: luks needs a file or a block device" in refused.value.problems


@pytest.mark.parametrize(
    ("mode", "content", "problem"),
    [
        (0o600, b"", "must be a file with the key in it"),
        (0o640, b"secret", "must be root's, with mode 0600 or 0400"),
        (0o604, b"secret", "must be root's, with mode 0600 or 0400"),
        (None, b"", "cannot be read: No such file or directory"),
    ],
)
def test_a_key_file_that_others_can_read_or_that_is_none(
    key: Path, mode: int | None, content: bytes, problem: str
) -> None:
    below = sparsefile.open_pool({"path": f"{key.parent}/pool"}, None)
    luks.open_pool({"key_file": str(key)}, below)
    if mode is None:
        key.unlink()
    else:
        key.write_bytes(content)
        key.chmod(mode)
    with pytest.raises(Refused) as refused:
        luks.open_pool({"key_file": str(key)}, below)
    assert refused.value.problems == (f"key_file: {problem}: {str(key)!r}",)


def test_a_volume_is_smaller_than_what_it_stands_on_by_its_header(key: Path) -> None:
    below = sparsefile.open_pool({"path": f"{key.parent}/pool"}, None)
    pool = luks.open_pool({"key_file": str(key)}, below)
    volume = VolumeId("web01", "root")
    pool.allocate(volume, 2**20)
    assert below.observe()[volume].size_bytes == 2**20 + HEADER_BYTES
    assert pool.observe()[volume].size_bytes == 2**20
    pool.destroy(volume)
