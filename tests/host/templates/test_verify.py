"""A template with anything wrong is refused before the host is touched."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from geats_host import templates
from geats_host.errors import Refused
from geats_host.templates.store import Store
from tests.host.templates.archives import file, tarball, write

STORE = Store(Path("/nowhere"), Path("/nowhere"))  # archives need none


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.tar", [file(f"file{number}", "x" * 600) for number in range(9)])


def problems(path: Path, *overlays: Path, sha256: str | None = None) -> tuple[str, ...]:
    with pytest.raises(Refused) as refused:
        templates.verify(tarball(path, *overlays, sha256=sha256), STORE)
    return refused.value.problems


def packed(path: Path, program: str) -> Path:
    out = path.with_suffix(f".{program}")
    with out.open("wb") as stdout:
        subprocess.run([program, "-c", path], stdout=stdout, check=True)
    return out


def test_a_sound_template_is_taken(good: Path) -> None:
    digest = hashlib.sha256(good.read_bytes()).hexdigest()
    templates.verify(tarball(good, good, good, sha256=digest), STORE)


def test_a_wrong_checksum_says_what_was_expected_and_what_came(good: Path) -> None:
    digest = hashlib.sha256(good.read_bytes()).hexdigest()
    assert problems(good, sha256="0" * 64) == (
        f"templates.t.path: must have the sha256 {'0' * 64}, got {digest}: {str(good)!r}",
    )


def test_every_archive_is_looked_at(good: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    found = problems(tmp_path / "no", tmp_path / "good.tar", tmp_path / "fifo")
    assert [text.partition(",")[0] for text in found] == [
        f"templates.t.path: cannot be read: No such file or directory: {str(tmp_path / 'no')!r}",
        "templates.t.overlays[1]: must be a regular file",
    ]


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "must be a regular file" in problems(tmp_path / "fifo")[0]


@pytest.mark.parametrize("content", [b"", b"hello", bytes(2048), b"PK\x03\x04" + bytes(600)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "base.tar").write_bytes(content)
    assert "must be a tar archive" in problems(tmp_path / "base.tar")[0]


@pytest.mark.parametrize("program", ["gzip", "xz", "zstd"])
def test_packed_text_is_no_archive(tmp_path: Path, program: str) -> None:
    (tmp_path / "text").write_text("hello\n" * 500)
    assert "is not a sound archive" in problems(packed(tmp_path / "text", program))[0]


@pytest.mark.parametrize("program", ["gzip", "xz", "zstd"])
def test_a_packed_archive_that_is_cut_short_is_refused(good: Path, program: str) -> None:
    path = packed(good, program)
    templates.verify(tarball(path), STORE)
    os.truncate(path, path.stat().st_size - 9)
    assert "is not a sound archive" in problems(path)[0]


@pytest.mark.parametrize("kept", [1536, 2048, 5000])
def test_a_plain_archive_that_is_cut_short_is_refused(good: Path, kept: int) -> None:
    """Also at the end of a member, where tar sees nothing wrong."""
    os.truncate(good, kept)
    assert "is truncated" in problems(good)[0]


def test_a_template_that_changes_is_read_again(good: Path) -> None:
    templates.verify(tarball(good), STORE)
    good.write_text("changed")
    assert "must be a tar archive" in problems(good)[0]
