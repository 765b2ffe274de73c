"""A template that puts nothing on a root."""

from pathlib import Path

from geats_core.declared.template import Empty, Template
from geats_core.vm.spec import RootKind
from geats_host import templates
from geats_host.plugins.opened import Opened
from geats_host.storage import VolumeId, sparsefile
from geats_host.templates.disks import known_size
from geats_host.templates.sources import files_of
from geats_host.templates.store import Store
from geats_host.templates.upkeep import Upkeep

TREE, DISK = (Template(name=kind, source=Empty(root_kind=kind)) for kind in RootKind)
ROOT, MIB = VolumeId("web01", "root"), 2**20


def test_a_tree_is_left_empty(target: Path, store: Store) -> None:
    (target / "left").write_text("by an earlier try")
    templates.verify(TREE, store)
    templates.make_ready(TREE, store)
    templates.install(TREE, target, store)
    templates.remember_sound(TREE, store)
    assert ([*target.iterdir()], templates.size_of(TREE, store)) == ([], None)


def test_a_disk_is_left_as_it_was_made(tmp_path: Path, store: Store) -> None:
    pool = sparsefile.open_pool({"path": str(tmp_path / "pool")}, None)
    pool.allocate(ROOT, MIB)
    pool.format(ROOT)
    pool.activate(ROOT)
    templates.verify(DISK, store)
    templates.fill(DISK, pool, ROOT, store, MIB)
    assert pool.path(ROOT).read_bytes() == bytes(MIB)
    assert (templates.size_of(DISK, store), known_size(DISK.source, store)) == (0, 0)
    assert templates.problems_of_disks([DISK], store) == ()
    assert files_of(DISK, store) == ()


def test_both_are_listed_and_are_not_the_same(store: Store) -> None:
    upkeep = Upkeep({"tree": TREE, "disk": DISK}, Opened("pool", {}), store)
    listed = {name: each["from"] for name, each in upkeep.listed().items()}
    assert listed == {"tree": "nothing, for a tree", "disk": "nothing, for a disk"}
    assert templates.key_of(TREE, store) != templates.key_of(DISK, store)
