"""What is in the directory of a container, and goes with it when that is undefined."""

from pathlib import Path

import pytest

from geats_host.drivers import vm_files
from geats_host.drivers.lxc.definition import CONFIG, OURS, PROFILES, ROOTFS
from geats_host.errors import HostError

PROFILE = "lxc-web01_<-var-lib-lxc>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As liblxc leaves it on a host with AppArmor."""
    made = tmp_path / "web01"
    (made / PROFILES).mkdir(parents=True)
    (made / PROFILES / PROFILE).touch()
    (made / CONFIG).touch()
    return made


def test_the_profile_that_liblxc_generated_goes_with_the_container(folder: Path) -> None:
    assert vm_files.strange_files(folder, OURS, ROOTFS, PROFILES) == ""
    vm_files.remove_folder(folder, OURS, ROOTFS, PROFILES)
    assert not folder.exists()


def test_what_the_first_geats_marked_it_as_locked_with_goes_with_it(folder: Path) -> None:
    (folder / "rootfs.locked").write_text("VM has been marked as locked down.\n")
    vm_files.remove_folder(folder, OURS, ROOTFS, PROFILES)
    assert not folder.exists()


@pytest.mark.parametrize("strange", ["a folder", "a link"])
def test_whatever_else_is_there_stays(folder: Path, strange: str) -> None:
    if strange == "a folder":
        (folder / PROFILES / "of-the-operator").mkdir()
    else:
        (folder / PROFILES).rename(folder.parent / "elsewhere")
        (folder / PROFILES).symlink_to("../elsewhere")
    with pytest.raises(HostError, match=f"what geats did not make: {PROFILES}"):
        vm_files.remove_folder(folder, OURS, ROOTFS, PROFILES)
    assert (folder / PROFILES / PROFILE).exists()
    assert (folder / CONFIG).exists()
