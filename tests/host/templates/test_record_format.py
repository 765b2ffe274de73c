"""What the store of templates remembers of a source says its format."""

import json
from pathlib import Path

import pytest

from geats_core.reading import file_formats
from geats_host.errors import HostError
from geats_host.templates.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "templates", tmp_path / "run")
    with made.scratch() as scratch:
        (scratch / "file").write_bytes(b"")
        made.keep(scratch / "file", "a" * 64)
    made.write_record("source", {"tar": "a" * 64})
    return made


def test_a_record_says_its_format_and_one_of_the_first_says_none(store: Store) -> None:
    path = store.root / "records" / "source.json"
    assert json.loads(path.read_text()) == {"format": file_formats.TEMPLATES, "tar": "a" * 64}
    assert store.record("source") == {"tar": "a" * 64}
    path.write_text(json.dumps({"tar": "a" * 64}))
    assert store.record("source") == {"tar": "a" * 64}


def test_a_record_of_a_newer_geats_is_refused(store: Store) -> None:
    path = store.root / "records" / "source.json"
    path.write_text(json.dumps({"format": 99, "tar": "a" * 64}))
    with pytest.raises(HostError, match=r"source\.json: was written by a newer geats"):
        store.record("source")
