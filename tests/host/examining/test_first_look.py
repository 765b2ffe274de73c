"""What is found for a first configuration: on a tree of files, and on this host."""

from pathlib import Path

import pytest

from geats_core.declared.first_configuration import Storage
from geats_host.examining import first_look as looked
from geats_host.examining.findings import HostFiles
from geats_host.examining.first_look import first_look
from geats_host.linux.mounts import fstype_of


def test_vms_and_ids_that_are_there_are_found(tmp_path: Path) -> None:
    for file in ("var/lib/lxc/b/config", "var/lib/lxc/a/config", "etc/libvirt/qemu/mail.xml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for file in ("subuid", "subgid"):
        (tmp_path / "etc" / file).write_text("root:200000:65536\n")
    found = first_look(tmp_path / "state", HostFiles(tmp_path))
    assert (found.containers, found.domains, found.ids) == (("a", "b"), ("mail",), (200000, 65536))
    assert (found.lxc_path, found.libvirt) == (str(tmp_path / "var/lib/lxc"), "")
    (tmp_path / "run/libvirt").mkdir(parents=True)
    (tmp_path / "run/libvirt/libvirt-sock").touch()
    assert first_look(tmp_path, HostFiles(tmp_path)).libvirt == "qemu"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kvm").touch()
    assert first_look(tmp_path, HostFiles(tmp_path)).libvirt == "kvm"


@pytest.mark.parametrize(
    ("fstype", "shares", "lacks", "ids", "storage"),
    [
        ("btrfs", True, "", True, Storage.BTRFS),
        ("xfs", True, "", True, Storage.REFLINKS),
        ("ext4", False, "", True, Storage.OVERLAY),
        ("ext4", False, "", False, Storage.PLAIN),
        ("overlay", False, "it is an overlay itself", True, Storage.PLAIN),
    ],
)
def test_the_pool_is_the_best_that_the_filesystem_can_have(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fstype: str,
    shares: bool,
    lacks: str,
    ids: bool,
    storage: Storage,
) -> None:
    monkeypatch.setattr(looked, "fstype_of", lambda _: fstype)
    monkeypatch.setattr(looked, "can_share", lambda _: shares)
    monkeypatch.setattr(looked, "is_supported", lambda: True)
    monkeypatch.setattr(looked, "lacks_for_upper_layer", lambda _: lacks)
    (tmp_path / "etc").mkdir()
    if ids:
        for file in ("subuid", "subgid"):
            (tmp_path / "etc" / file).write_text("root:100000:65536\n")
    found = first_look(tmp_path / "not/there", HostFiles(tmp_path))
    assert (found.storage, found.fstype) == (storage, fstype)


def test_this_host_has_something(tmp_path: Path) -> None:
    found = first_look(tmp_path)
    assert (found.fstype, found.state_dir) == (fstype_of(tmp_path), str(tmp_path))
