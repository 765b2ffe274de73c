"""The ids that root may give to guests, out of /etc/subuid and /etc/subgid."""

import shutil
from pathlib import Path

import pytest

from geats_core import parse_vm
from geats_core.vm.lxc_config import spec_line
from geats_core.vm.spec import IdRange, Ids
from geats_host.drivers.lxc.options import Options
from geats_host.drivers.lxc.seen import ids_by_hand
from geats_host.linux.subordinate_ids import allocatable, not_roots

HOLE = (
    IdRange(guest=0, host=100_000, count=70_000),
    IdRange(guest=70_000, host=1000, count=1, ids=Ids.USERS),
)


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two ranges, one right after the other, for users and groups alike."""
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    for file in ("subuid", "subgid"):
        (tmp_path / file).write_text("other:1:9\nroot:165536:65536\nroot:100000:65536\n")
    return tmp_path


def test_ids_that_root_may_not_give_are_told_with_what_to_do(etc: Path) -> None:
    assert list(not_roots(HOLE, etc)) == [
        "root may not give users 1000 to 1000: add root:1000:1 to /etc/subuid"
    ]
    with (etc / "subuid").open("a") as file:
        file.write("root:1000:1\n")
    assert list(not_roots(HOLE, etc)) == []


def test_without_newuidmap_root_may_give_any(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert list(not_roots(HOLE, etc)) == []


def test_ids_that_can_be_allocated_are_roots_for_both_and_nobody_elses(tmp_path: Path) -> None:
    """By name or number; a line that is wrong is passed over."""
    (tmp_path / "subuid").write_text("root:100:50\nada:120:10\n0:1000:100\noops\nada:900:110\n")
    assert allocatable(tmp_path) == ()
    (tmp_path / "subgid").write_text("root:90:40\n0:145:2000\nbob:1050:1\n")
    assert allocatable(tmp_path) == ((100, 20), (145, 5), (1010, 40), (1051, 49))
    assert allocatable(tmp_path, [(90, 20), (1051, 49)]) == ((110, 10), (145, 5), (1010, 40))


def test_ids_that_a_person_gave_to_containers_are_not_allocated(tmp_path: Path) -> None:
    own = parse_vm("web", {"template": "t", "idmap": {"first": 2_000_000}}).unwrap()
    told = "lxc.idmap = u 0 2000000 65536\nlxc.idmap = g 0 2000000 65536\n"
    configs = {
        "foreign": " lxc.idmap= u 0 3000000 65536\nlxc.idmap = g 0 3000000 65536 \nlxc.idmap = \n",
        "web": f"{spec_line(own)}\n{told}lxc.idmap = b 70000 4000000 1\n",
        "old": "lxc.id_map = u 0 5000000 9\n# lxc.idmap = u 0 6000000 9\n",
        "none": "lxc.uts.name = none\n",
        "broken": "lxc.idmap = whatever\n",
    }
    for name, text in configs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config").write_text(text)
    (tmp_path / "empty").mkdir()
    found = {*ids_by_hand(Options(path=tmp_path, state_dir=tmp_path))}
    assert found == {(3_000_000, 65_536), (4_000_000, 1), (5_000_000, 9)}
