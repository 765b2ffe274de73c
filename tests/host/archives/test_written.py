"""An archive of a VM is there once nothing else is left to do for it."""

from pathlib import Path

import pytest

from geats_core.vm.parse import parse_vm
from geats_host.archives import vm_archives
from geats_host.archives.volume_archives import Tree
from geats_host.errors import HostError

SPEC = parse_vm("web01", {"template": "debian"}).unwrap()


def test_it_appears_when_what_was_read_for_it_is_cleared_away(tmp_path: Path) -> None:
    path, there = tmp_path / "web01.tar", []
    (tmp_path / "root").mkdir()
    trees = {"root": Tree(tmp_path / "root")}
    vm_archives.write(path, SPEC, "debian", trees, 1, (), lambda: there.append(path.exists()))
    assert (there, path.exists()) == ([False], True)


def test_it_does_not_if_that_cannot_be_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "web01.tar"
    (tmp_path / "root").mkdir()

    def fails() -> None:
        raise HostError("the clone is in use")

    with pytest.raises(HostError, match="in use"):
        vm_archives.write(path, SPEC, "debian", {"root": Tree(tmp_path / "root")}, 1, (), fails)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["root"]
