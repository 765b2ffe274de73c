"""What a host tells of what contains secrets is made with a key that only its registry has."""

import sqlite3
import stat
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from geats_host.registry import sqlite
from geats_host.registry.host_keys import keyed

DIGEST = sha256(b"1234").hexdigest()


def test_the_same_is_told_the_same_by_one_host_only(tmp_path: Path) -> None:
    here, there = (sqlite.open_registry({}, tmp_path / name) for name in ("here", "there"))
    told = keyed(here, DIGEST)
    assert told == keyed(sqlite.open_registry({}, tmp_path / "here"), DIGEST)
    assert len({told, keyed(here, sha256(b"1235").hexdigest()), keyed(there, DIGEST), DIGEST}) == 4
    assert stat.S_IMODE((tmp_path / "here/registry.sqlite").stat().st_mode) == 0o600


def test_nothing_is_written_to_a_registry_that_is_to_be_upgraded(tmp_path: Path) -> None:
    registry = sqlite.open_registry({}, tmp_path)
    registry.note("a", "b", "c")
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database, database:
        version = database.execute("pragma user_version").fetchone()[0]
        database.execute(f"pragma user_version = {version - 1}")
    assert registry.outdated() is not None
    assert keyed(registry, DIGEST) == keyed(registry, DIGEST) != DIGEST
    assert registry.notes("key") == {}
