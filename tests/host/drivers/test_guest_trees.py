"""Directories by an agent that does as qemu-ga does, on this host; and by some that lie."""

import json
import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import FileToWrite
from geats_host.drivers import Copied
from geats_host.drivers.libvirt.guests import programs, trees
from geats_host.drivers.lxc.scripts import tree_stream
from geats_host.errors import HostError

AWAY = Path("/var/tmp")


class Agent:
    """Runs programs, and opens files, as those of the guest."""

    def __init__(self) -> None:
        self.ended: dict[int, subprocess.CompletedProcess[bytes]] = {}
        self.files: dict[int, FileIO] = {}
        self.says: bytes | None = None  # Python of the guest, whatever it did
        self.path = os.environ["PATH"]

    def __call__(self, command: str, asked: Mapping[str, object], within_s: float) -> object:
        match command, asked:
            case "guest-exec", {"path": str(path), "arg": [*words]}:
                return {"pid": self.run([path, *map(str, words)])}
            case "guest-exec-status", {"pid": int(pid)}:
                done = self.ended[pid]
                out, err = (b64encode(each).decode() for each in (done.stdout, done.stderr))
                return {
                    "exited": True,
                    "exitcode": done.returncode,
                    "out-data": out,
                    "err-data": err,
                }
            case "guest-file-open", {"path": str(path), "mode": str(mode)}:
                self.files[len(self.files)] = FileIO(path, mode)
                return len(self.files) - 1
            case "guest-file-write", {"handle": int(at), "buf-b64": str(text)}:
                return {"count": self.files[at].write(b64decode(text))}
            case "guest-file-read", {"handle": int(at), "count": int(count)}:
                data = self.files[at].read(count)
                return {"buf-b64": b64encode(data).decode(), "eof": len(data) < count}
            case "guest-file-close", {"handle": int(at)}:
                self.files[at].close()
                return {}
            case _:
                raise AssertionError(command)

    def run(self, argv: list[str]) -> int:
        done = subprocess.run(argv, capture_output=True, env={"PATH": self.path})
        if self.says is not None and "python3" in argv[2]:
            done.stdout = self.says
        self.ended[len(self.ended)] = done
        return len(self.ended) - 1


@pytest.fixture
def agent() -> Iterator[Agent]:
    before = set(AWAY.glob(".geats-*"))
    yield Agent()
    assert set(AWAY.glob(".geats-*")) <= before


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "a b/c").mkdir(parents=True)
    (top / "a b/c/file").write_bytes(b"x" * 3_000_000)
    (top / "a b/c/file").chmod(0o640)
    (top / "link").symlink_to("/etc/passwd")
    os.mkfifo(top / "pipe")
    return top


def file_to(path: Path, **owners: object) -> FileToWrite:
    return FileToWrite(path=f"{path}", **owners)  # type: ignore[arg-type]


def test_a_directory_comes_out_and_goes_in_with_all_that_a_container_keeps(
    agent: Agent, tree: Path, tmp_path: Path
) -> None:
    stream, new = tmp_path / "stream", tmp_path / "new"
    with stream.open("wb") as target:
        done = trees.pack(agent, f"{tree}", target.fileno(), 60)
    assert done == Copied(wrong=("pipe: is no file, directory or link, and left out",))
    with stream.open("rb") as source:
        done = trees.unpack(agent, file_to(new, owner=7, group="root"), source.fileno())

    assert done == Copied(files=1, size_bytes=3_000_000)
    copied = (new / "a b/c/file").stat()
    assert (copied.st_uid, copied.st_gid, copied.st_mode & 0o777) == (7, 0, 0o640)
    assert copied.st_mtime_ns == (tree / "a b/c/file").stat().st_mtime_ns
    assert os.readlink(new / "link") == "/etc/passwd"
    assert sorted(os.listdir(new)) == ["a b", "link"]


def test_a_file_is_said_to_be_one(agent: Agent, tree: Path) -> None:
    assert trees.pack(agent, f"{tree}/a b/c/file", 1, 60) == Copied(is_tree=False)


def test_what_cannot_be_is_told(agent: Agent, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="none: there is no such file or directory"):
        trees.pack(agent, f"{tmp_path}/none", 1, 60)
    empty = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(HostError, match="its directory is not there"):
        trees.unpack(agent, file_to(tmp_path / "none/new"), empty)
    with pytest.raises(HostError, match="the copy broke off"):
        trees.unpack(agent, file_to(tmp_path / "new"), empty)
    with pytest.raises(HostError, match="there is no nobody-of-all in /etc/passwd"):
        trees.unpack(agent, file_to(tmp_path / "new", owner="nobody-of-all"), empty)
    os.close(empty)
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(HostError, match="was not wanted to its end"):
        trees.pack(agent, f"{tree}", write, 60)
    os.close(write)


def test_a_guest_without_python_says_so(agent: Agent, tree: Path, tmp_path: Path) -> None:
    for name in ("mktemp", "rm"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    agent.path = f"{tmp_path}/bin"
    with pytest.raises(HostError, match="there is no python3 to copy a directory: install it"):
        trees.pack(agent, f"{tree}", 1, 60)


@pytest.mark.parametrize(
    "said", ["x", "[]", '{"files": "1", "size": 2}', "[" * 5000, json.dumps({"wrong": 7}), "\xff"]
)
def test_a_malformed_answer_is_an_error(agent: Agent, tree: Path, said: str) -> None:
    agent.says = said.encode("latin-1")
    with open(os.devnull, "wb") as target, pytest.raises(HostError, match="malformed"):
        trees.pack(agent, f"{tree}", target.fileno(), 60)


def test_the_name_of_a_file_on_the_way_is_one_that_can_be_shown(tree: Path) -> None:
    def lying(command: str, asked: Mapping[str, object], within_s: float) -> object:
        if command == "guest-exec":
            return {"pid": 1}
        return {"exited": True, "exitcode": 0, "out-data": b64encode(b"/a\x1b[2J\n").decode()}

    with pytest.raises(HostError, match="malformed answer") as failed:
        trees.pack(lying, f"{tree}", 1, 5)
    assert str(failed.value).isprintable()


def test_the_module_is_short_enough_for_one_argument_of_a_program() -> None:
    text = Path(tree_stream.__file__).read_text()
    assert len(text) + len(trees.MAIN) < 100 << 10
    assert programs.ANSWERS_S > 0
