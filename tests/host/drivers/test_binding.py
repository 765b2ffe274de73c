"""Which Python calls a library: each is asked, and the first sound one is remembered."""

import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from geats_host.drivers import binding
from geats_host.drivers.binding import Binding
from geats_host.drivers.lxc.driver import open_driver
from geats_host.drivers.lxc.library import LXC
from geats_host.drivers.lxc.scripts import binding_child
from geats_host.errors import HostError, Refused


def python(folder: Path, name: str, said: str) -> str:
    """A program that answers as a Python would, and counts how often it was asked."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho >>{path}.asked\ncat <<'END'\n{said}\nEND\n")
    path.chmod(0o755)
    return f"{path}"


def asked(path: str) -> int:
    return len(Path(f"{path}.asked").read_text().splitlines())


def answer(folder: Path, fault: str = "") -> str:
    extension = folder / "_lxc.so"
    if not extension.exists():
        extension.touch()
    files = {f"{extension}": binding_child.stamp(f"{extension}")}
    found = {
        "version": "3.13.5",
        "library": "liblxc 6.0.4",
        "packages": f"{folder}",
        "fault": fault,
    }
    return json.dumps(found | {"files": files})


def test_a_sound_binding_is_asked_for_once_until_a_file_of_it_changes(tmp_path: Path) -> None:
    path = python(tmp_path, "python3", answer(tmp_path))
    want = Binding(python=path, version="3.13.5", library="liblxc 6.0.4", packages=f"{tmp_path}")
    assert [binding.sound(LXC, path, tmp_path) for _ in range(3)] == [want] * 3
    assert asked(path) == 1
    os.utime(tmp_path / "_lxc.so", ns=(1, 1))
    assert binding.sound(LXC, path, tmp_path) == want
    assert asked(path) == 2


def test_who_only_looks_writes_nothing(tmp_path: Path) -> None:
    path = python(tmp_path, "python3", answer(tmp_path))
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    assert [found.fault for found in binding.candidates(LXC, path, state_dir)] == [""]
    assert list(state_dir.iterdir()) == []


def test_what_is_remembered_and_cannot_be_read_is_asked_again(tmp_path: Path) -> None:
    path = python(tmp_path, "python3", answer(tmp_path))
    for memory in (
        "{",
        "[]",
        f'{{"{path}": 1}}',
        f'{{"{path}": {{"files": {{"/gone": [1, 2]}}}}}}',
    ):
        (tmp_path / LXC.memory).write_text(memory)
        assert binding.sound(LXC, path, tmp_path).version == "3.13.5"
    assert asked(path) == 4


def test_where_nothing_can_be_remembered_it_is_asked_each_time(tmp_path: Path) -> None:
    path = python(tmp_path, "python3", answer(tmp_path))
    for _ in range(2):
        assert not binding.sound(LXC, path, tmp_path / "missing").fault
    assert asked(path) == 2


def test_auto_takes_debians_where_its_own_binding_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = python(tmp_path, "own", answer(tmp_path, "its lxc dies"))
    debian = python(tmp_path, "debian", answer(tmp_path))
    monkeypatch.setattr(sys, "executable", dies)
    monkeypatch.setattr(binding, "OF_DEBIAN", debian)
    monkeypatch.setattr(binding, "find_spec", lambda name: ModuleSpec(name, None))
    assert binding.sound(LXC, binding.AUTO, tmp_path).python == debian
    assert binding.sound(LXC, binding.AUTO, tmp_path).script(Path("/x.py")) == [
        *(debian, "-I", "-S", "/x.py", f"{tmp_path}")
    ]
    assert (asked(dies), asked(debian)) == (1, 1)


def test_a_python_without_the_package_is_not_even_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = python(tmp_path, "debian", answer(tmp_path))
    monkeypatch.setattr(sys, "executable", "/opt/saltstack/salt/bin/python3")
    monkeypatch.setattr(binding, "OF_DEBIAN", debian)
    monkeypatch.setattr(binding, "find_spec", lambda name: None)
    own, other = binding.candidates(LXC, binding.AUTO, tmp_path)
    assert own.fault == "has no package lxc"
    assert other.python == debian


def test_where_none_is_sound_each_is_told_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = python(tmp_path, "own", answer(tmp_path, "its lxc dies"))
    monkeypatch.setattr(sys, "executable", dies)
    monkeypatch.setattr(binding, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr(binding, "OF_DEBIAN", f"{tmp_path}/none")
    with pytest.raises(HostError) as trouble:
        binding.sound(LXC, binding.AUTO, tmp_path)
    assert str(trouble.value) == (
        f"no Python here can call liblxc: {dies} (Python 3.13.5): its lxc dies; {tmp_path}/none:"
        f" {tmp_path}/none cannot be run: No such file or directory: {LXC.mend}"
    )


def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    for said in ("", "[]", "{}", "nothing"):
        (found,) = binding.candidates(LXC, python(tmp_path, "cat", said), tmp_path)
        assert "is not a Python that can be asked" in found.fault


@pytest.mark.parametrize(
    ("version", "holds", "sound"),
    [
        ((3, 11, 2), b"PyOS_AfterFork", True),
        ((3, 12, 3), b"PyOS_AfterFork", True),
        ((3, 13, 0), b"PyOS_AfterFork", False),
        ((3, 13, 5), b"PyOS_BeforeFork PyOS_AfterFork_Child", True),
    ],
)
def test_a_binding_that_does_not_announce_its_forks_dies_from_3_13_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: tuple[int, ...],
    holds: bytes,
    sound: bool,
) -> None:
    (tmp_path / "lxc").mkdir()
    (tmp_path / "lxc/__init__.py").write_text("version = '6.0.4'\n")
    (tmp_path / "_lxc.py").write_bytes(b"# " + holds)
    monkeypatch.setattr(sys, "path", [f"{tmp_path}"])
    monkeypatch.setattr(sys, "version_info", version)
    for name in ("lxc", "_lxc"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    binding_child.main([])
    found = json.loads(capsys.readouterr().out)
    fault = "" if sound else "its lxc dies in attach from Python 3.13 on"
    assert (found["packages"], found["library"], found["fault"]) == (
        f"{tmp_path}",
        "liblxc 6.0.4",
        fault,
    )
    assert set(found["files"]) == {f"{tmp_path}/lxc/__init__.py", f"{tmp_path}/_lxc.py"}
    monkeypatch.delitem(sys.modules, "lxc", raising=False)


def test_a_python_in_the_configuration_is_a_path_or_auto(tmp_path: Path) -> None:
    assert open_driver({}, tmp_path).options.python == "auto"
    assert open_driver({"python": "/opt/x/bin/python"}, tmp_path).options.python == (
        "/opt/x/bin/python"
    )
    with pytest.raises(Refused) as refused:
        open_driver({"python": "python3"}, tmp_path)
    assert str(refused.value) == "python: must be auto, or the path of a Python, got 'python3'"
