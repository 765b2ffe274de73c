"""An archive of a VM is there once nothing else is left to do for it."""

from pathlib import Path
from typing import Any

import pytest

from geats_core.planning.offers import Offer
from geats_core.vm.parse import parse_vm
from geats_host.archives import published, vm_archives
from geats_host.archives.disk_archives import Disk
from geats_host.archives.volume_archives import Tree
from geats_host.errors import HostError
from geats_host.linux import qemu_img

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


def test_a_link_in_place_of_an_unfinished_image_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may be able to write where a template is published."""
    disk, victim, path = tmp_path / "disk", tmp_path / "victim", tmp_path / "web.qcow2"
    disk.write_bytes(b"guest" * 10_000)
    victim.write_text("of root")
    work = qemu_img._work

    def exchanged(*words: Any) -> str:
        new = vm_archives.new_of(path)
        new.unlink()
        new.symlink_to(victim)
        return work(*words)

    monkeypatch.setattr(qemu_img, "_work", exchanged)
    published.write(path, Disk(disk, Offer.FILE, tmp_path), (), lambda: None)
    assert victim.read_text() == "of root"
