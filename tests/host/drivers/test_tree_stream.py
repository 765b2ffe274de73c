"""Trees as streams: there and back, and streams that are not what was agreed on."""

import io
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geats_host.drivers.lxc.scripts import tree_stream
from geats_host.drivers.lxc.scripts.tree_stream import Malformed, pack, unpack

LARGE = 1 << 30
END = b'{"kind": "end"}\n'


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def packed(folder: Path) -> tuple[bytes, list[str]]:
    stream, wrong = io.BytesIO(), list[str]()
    with opened(folder) as top:
        pack(top, stream.write, wrong.append)
    return stream.getvalue(), wrong


def unpacked(stream: bytes, folder: Path, most: int = LARGE) -> tuple[tuple[int, int], list[str]]:
    wrong: list[str] = []
    folder.mkdir(exist_ok=True)
    with opened(folder) as top:
        done = unpack(io.BytesIO(stream), top, None, most, wrong.append)
    return done, wrong


def entry(path: str, kind: str, content: bytes | None = None, to: str = "", mode: int = 0) -> bytes:
    line = {"path": path, "kind": kind, "mode": mode, "mtime": 0, "to": to}
    piece = len(content).to_bytes(4, "big") + content if content else b""
    return json.dumps(line).encode() + b"\n" + piece + (b"" if content is None else bytes(4))


def seen(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        is_link, now = path.is_symlink(), path.lstat()
        content = os.readlink(path) if is_link else path.read_bytes() if path.is_file() else None
        mode = None if is_link else stat.S_IMODE(now.st_mode)
        found[f"{path.relative_to(folder)}"] = (content, mode, now.st_mtime_ns)
    return found


def test_a_tree_goes_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub/deep").mkdir(parents=True)
    (source / "sub/deep/large").write_bytes(os.urandom(3_000_000))
    (source / "empty").touch(mode=0o640)
    (source / os.fsdecode(b"\xff\n")).write_text("odd")
    (source / "out").symlink_to("/etc")
    (source / "in").symlink_to("sub")
    os.utime(source / "sub", ns=(1, 2))
    (source / "sub").chmod(0o500)
    stream, wrong = packed(source)
    assert (wrong, unpacked(stream, tmp_path / "target")) == ([], ((3, 3_000_003), []))
    assert seen(tmp_path / "target") == seen(source)


def test_what_is_no_file_is_left_out_and_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "fifo")
    (source / "kept").touch()
    stream, wrong = packed(source)
    assert wrong == ["fifo: is no file, directory or link, and left out"]
    assert unpacked(stream, tmp_path / "target") == ((1, 0), [])


def test_nothing_runs_as_its_owner_on_the_other_side(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/su").touch()
    (tmp_path / "source/su").chmod(0o6755)
    stream, _ = packed(tmp_path / "source")
    assert b'"mode": 493' in stream
    unpacked(entry("su", "file", b"", mode=0o6755) + END, tmp_path / "target")
    assert seen(tmp_path / "target")["su"][1] == 0o755


@pytest.mark.parametrize("path", ["../x", "/x", "a/../x", ".", "a//b", "", "x\0y"])
def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    for kind, content in (("file", b"theirs"), ("link", None), ("dir", None)):
        if (path, kind) == ("", "dir"):
            continue  # the top itself
        with pytest.raises(Malformed, match=r"^a path in the copy leads elsewhere$"):
            unpacked(entry(path, kind, content) + END, tmp_path / "target")
    assert [each.name for each in tmp_path.iterdir()] == ["target"]
    assert list((tmp_path / "target").iterdir()) == []


def test_no_link_leads_out(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("mine")
    stream = (
        entry("way", "link", to="../outside")
        + entry("way/new", "file", b"theirs")
        + entry("way", "dir", mode=0o777)
        + entry("file", "link", to="../outside/kept")
        + entry("file", "file", b"theirs")
    )
    done, wrong = unpacked(stream + END, tmp_path / "target")
    assert (done, wrong) == ((1, 6), ["way/new: Not a directory", "way: Not a directory"])
    assert seen(tmp_path / "outside")["kept"][0] == b"mine"
    assert [each.name for each in (tmp_path / "outside").iterdir()] == ["kept"]


def test_one_that_cannot_be_written_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "target/taken").mkdir(parents=True)
    stream = entry("taken", "file", b"one") + entry("b", "file", b"two") + END
    assert unpacked(stream, tmp_path / "target") == ((1, 3), ["taken: Is a directory"])
    assert sorted(seen(tmp_path / "target")) == ["b", "taken"]


def test_a_file_that_could_not_be_read_to_its_end_is_not_there(tmp_path: Path) -> None:
    begun = entry("a", "file", b"begun")[:-4] + tree_stream.FAILED.to_bytes(4, "big")
    done, wrong = unpacked(begun + entry("b", "file", b"") + END, tmp_path / "target")
    assert (done, wrong, list(seen(tmp_path / "target"))) == ((1, 0), [], ["b"])


def test_more_than_is_wanted_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = entry("a", "file", b"1234") + entry("b", "file", b"5") + END
    with pytest.raises(Malformed, match=r"^it is larger than wanted: see max_size$"):
        unpacked(stream, tmp_path / "target", most=2 * len(entry("a", "file")) + 4)
    assert list(seen(tmp_path / "target")) == ["a"]
    monkeypatch.setattr(tree_stream, "MOST_ENTRIES", 1)
    with pytest.raises(Malformed, match=r"^there are more than 1 files$"):
        unpacked(stream, tmp_path / "target")


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"", "the copy broke off"),
        (entry("a", "file", b"abc")[:-5], "the copy broke off"),
        (entry("a", "file"), "the copy broke off"),
        (b"[" * 9999, "the copy is malformed"),
        (b"{}\n", "the copy is malformed"),
        (b"x" * (1 << 17), "the copy is malformed"),
        (entry("a", "device"), "the copy is malformed"),
        (entry("a", "link", to="x\0y"), "the copy is malformed"),
        (entry("\ud800", "file", b""), "the copy is malformed"),
        (
            entry("a", "file", b"").replace(b'"mtime": 0', b'"mtime": 1%s' % (b"0" * 40)),
            "malformed",
        ),
        (entry("a", "dir").replace(b'"mtime": 0', b'"mtime": 1%s' % (b"0" * 40)), "malformed"),
        (entry("a", "file") + (1 << 30).to_bytes(4, "big"), "it is larger than wanted"),
    ],
)
def test_a_stream_that_is_wrong_is_an_error(tmp_path: Path, stream: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        unpacked(stream, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_a_directory_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "target/etc").mkdir(parents=True, mode=0o711)
    stream = entry("etc", "dir", mode=0o700) + entry("etc/a", "file", b"") + END
    unpacked(stream, tmp_path / "target")
    assert seen(tmp_path / "target")["etc"][1] == 0o711


def test_names_count_as_what_is_wanted_too(tmp_path: Path) -> None:
    stream = b"".join(entry(f"{n}", "dir") for n in range(9))
    with pytest.raises(Malformed, match=r"^it is larger than wanted: see max_size$"):
        unpacked(stream + END, tmp_path / "target", most=len(stream) - 1)
    assert unpacked(stream + END, tmp_path / "other", most=len(stream)) == ((0, 0), [])


def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    source, outside = tmp_path / "source", tmp_path / "outside"
    (source / "a/b").mkdir(parents=True)
    (outside / "b").mkdir(parents=True)
    (outside / "b/secret").touch()
    stream, wrong = io.BytesIO(), list[str]()

    def write(data: bytes) -> None:
        stream.write(data)
        if b'"a/b"' in data:
            (source / "a").rename(source / "was")
            (source / "a").symlink_to(outside)

    with opened(source) as top:
        pack(top, write, wrong.append)
    assert wrong == ["a/b: Not a directory"]
    assert b"secret" not in stream.getvalue()
