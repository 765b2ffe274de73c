"""What firmware and TPMs remember, in the files of libvirt."""

import os
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from zlib import compress

import pytest

from geats_host.drivers.libvirt.scripts import remembered

UEFI = "<domain><os firmware='efi'/><devices><tpm model='tpm-crb'/></devices></domain>"
QCOW2 = b"QFI\xfb\0\0\0\3" + bytes(72)


@dataclass
class Domain:
    """As much of one of libvirt's as is asked."""

    called: str
    xml: str = UEFI

    def name(self) -> str:
        return self.called

    def UUIDString(self) -> str:
        return f"uuid-of-{self.called}"

    def XMLDesc(self, flags: int) -> str:
        return self.xml


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, place in (("NVRAM", "nvram"), ("TPMS", "swtpm"), ("QEMU_CONF", "qemu.conf")):
        monkeypatch.setattr(remembered, name, f"{tmp_path}/{place}")
    return tmp_path


def packed(content: bytes) -> str:
    return b64encode(compress(content)).decode()


def test_what_one_domain_remembers_another_does_then(files: Path) -> None:
    (files / "qemu.conf").write_text('#swtpm_user = "tss"\n swtpm_user = "+12"\n')
    pieces = {"firmware.fd": packed(b"entries"), "tpm2": packed(b"keys")}
    remembered.remember(Domain("one"), pieces)
    folder = files / "swtpm/uuid-of-one/tpm2"
    assert (files / "nvram/one_VARS.fd").read_bytes() == b"entries"
    assert [(each.name, each.read_bytes()) for each in folder.iterdir()] == [
        ("tpm2-00.permall", b"keys")
    ]
    seen = [os.stat(each) for each in (folder.parent, folder, folder / "tpm2-00.permall")]
    assert [(f"{each.st_mode & 0o777:o}", each.st_uid) for each in seen] == [
        *(("711", 0), ("700", 12), ("600", 12))
    ]
    found = remembered.of_domain(Domain("one"))
    assert found == pieces
    remembered.remember(Domain("two"), {**found, "../three": packed(b"")})
    remembered.rename("two", "new")
    assert sorted(each.name for each in (files / "nvram").iterdir()) == [
        *("new_VARS.fd", "one_VARS.fd")
    ]


def test_a_machine_without_such_parts_gets_nothing(files: Path) -> None:
    pieces = {"firmware.fd": packed(b"entries"), "tpm2": packed(b"keys")}
    remembered.remember(Domain("one", "<domain><os/></domain>"), pieces)
    assert [*files.iterdir()] == []
    assert remembered.of_domain(Domain("one")) == {}


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("firmware.fd", b64encode(b"no zlib").decode(), "damaged"),
        ("tpm2", "no base64", "base64"),
        ("firmware.qcow2", packed(b"raw"), "no image"),
        ("firmware.qcow2", packed(QCOW2[:8] + b"\1" * 8 + QCOW2[16:]), "other files"),
        ("firmware.qcow2", packed(QCOW2[:79] + b"\4"), "other files"),
    ],
)
def test_what_is_damaged_or_names_files_of_the_host_is_refused(
    files: Path, key: str, text: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        remembered.remember(Domain("one"), {key: text})
    assert [*files.rglob("*VARS*")] == []


def test_an_image_of_its_own_is_taken(files: Path) -> None:
    remembered.remember(Domain("one"), {"firmware.qcow2": packed(QCOW2)})
    assert (files / "nvram/one_VARS.qcow2").read_bytes() == QCOW2


def test_what_no_firmware_makes_is_not_read(files: Path) -> None:
    (files / "nvram").mkdir()
    with (files / "nvram/one_VARS.fd").open("wb") as file:
        file.truncate(remembered.MOST_BYTES + 1)
    with pytest.raises(ValueError, match="has more than 4 MiB"):
        remembered.of_domain(Domain("one"))


def test_what_qemu_made_a_link_or_a_pipe_of_is_not_read(files: Path) -> None:
    (files / "secret").write_bytes(b"of root")
    (files / "nvram").mkdir()
    place = files / "nvram/one_VARS.fd"
    place.symlink_to(files / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        remembered.of_domain(Domain("one"))
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(ValueError, match="is no file"):
        remembered.of_domain(Domain("one"))
