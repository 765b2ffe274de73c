"""The files that geats writes into a guest's tree, which may hold anything."""

import os
from pathlib import Path

import pytest

from geats_core import parse_vm
from geats_host.guest_trees.guest_names import configure_guest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to root")
WEB = parse_vm("web01", {"template": "t"}).unwrap()


def test_a_new_guest_is_named_in_every_file(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    for file, text in {"hostname": "build\n", "mailname": "build.x\n"}.items():
        (etc / file).write_text(text)
    (etc / "hosts").write_bytes(b"# \xff\n127.0.1.1 build.x build\n")
    configure_guest(tmp_path, WEB, owner=0, new=True)
    assert (etc / "hosts").read_bytes() == b"# \xff\n127.0.1.1\tweb01\n"
    assert [(etc / file).read_text() for file in ("hostname", "mailname")] == ["web01\n"] * 2


def test_a_template_without_etc_gets_hosts_and_no_mailname(tmp_path: Path) -> None:
    configure_guest(tmp_path, WEB, owner=0, new=True)
    assert {each.name for each in (tmp_path / "etc").iterdir()} == {
        *("hosts", "hostname", "firstboot.config")
    }
    assert "127.0.1.1\tweb01\n" in (tmp_path / "etc/hosts").read_text()


@pytest.mark.parametrize("make", ["link", "fifo", "folder"])
def test_hosts_that_is_no_file_stays_as_it_is(tmp_path: Path, make: str) -> None:
    (tmp_path / "etc").mkdir()
    hosts, outside = tmp_path / "etc/hosts", tmp_path / "outside"
    outside.write_text("build\n")
    match make:
        case "link":
            hosts.symlink_to("/outside")
        case "fifo":
            os.mkfifo(hosts)
        case _:
            hosts.mkdir()
    before = hosts.lstat()
    configure_guest(tmp_path, WEB, owner=0, new=True)
    assert (hosts.lstat().st_ino, outside.read_text()) == (before.st_ino, "build\n")
