"""Files of a template that was found sound are not read again, until they are touched."""

import os
import time
from pathlib import Path

import pytest

from geats_core.declared.template import Template
from geats_host import templates
from geats_host.errors import Refused
from geats_host.templates import digests, sources, verified
from geats_host.templates.store import Store
from tests.host.templates.archives import file, folder, tarball, write


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process had begun after what the tests write was left alone for a while."""
    monkeypatch.setattr(verified, "BEGAN_NS", time.time_ns() + 60 * 10**9)


@pytest.fixture
def template(tmp_path: Path) -> Template:
    base = write(tmp_path / "base.tar", [folder("etc"), file("etc/issue", "base")])
    (tmp_path / "overlay/etc").mkdir(parents=True)
    (tmp_path / "overlay/etc/who").write_text("web")
    return tarball(base, tmp_path / "overlay")


def is_read(template: Template, store: Store, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the files are read to verify the template."""

    def problems(*_: object) -> tuple[()]:
        read.append(True)
        return ()

    read: list[bool] = []
    with monkeypatch.context() as patched:
        patched.setattr(sources, "problems", problems)
        templates.verify(template, store)
    return bool(read)


def rewrite(path: Path) -> None:
    """Something else, of the same size and the same time."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_sound_template_is_read_once(
    template: Template, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = templates.key_of(template, store)
    assert is_read(template, store, monkeypatch)
    templates.remember_sound(template, store)
    assert not is_read(template, store, monkeypatch)
    monkeypatch.setattr(digests, "_sha256_of_file", None)  # nor for its key
    assert templates.key_of(template, store) == key


def test_what_only_looks_writes_nothing(template: Template, store: Store) -> None:
    templates.verify(template, store)
    templates.key_of(template, store)
    assert not store.root.exists()


@pytest.mark.parametrize("which", ["base.tar", "overlay/etc/who"])
def test_a_file_that_was_touched_is_read_again(
    template: Template, store: Store, tmp_path: Path, which: str
) -> None:
    """Also if its size and its time of modification are as before."""
    templates.remember_sound(template, store)
    before = verified.known_key(template, store)
    rewrite(tmp_path / which)
    assert verified.known_key(template, store) is None
    assert templates.key_of(template, store) != before
    if which == "base.tar":
        with pytest.raises(Refused, match="must be a tar archive"):
            templates.verify(template, store)


def test_what_was_touched_a_moment_before_is_not_remembered(
    template: Template, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be changed once more, and look the same."""
    newest = max(each.last_ns for each in verified.files_now(template, store))
    monkeypatch.setattr(verified, "BEGAN_NS", newest + verified.TICK_NS - 1)
    templates.remember_sound(template, store)
    assert is_read(template, store, monkeypatch)
    monkeypatch.setattr(verified, "BEGAN_NS", newest + verified.TICK_NS)
    templates.remember_sound(template, store)
    assert not is_read(template, store, monkeypatch)


def test_what_is_changed_while_it_is_read_is_not_remembered(
    template: Template, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = verified.files_now(template, store)
    key = templates.key_of(template, store)
    rewrite(tmp_path / "base.tar")
    verified.remember(template, store, key, read)
    assert verified.known_key(template, store) is None


def test_what_is_not_sound_is_not_remembered(
    template: Template, store: Store, tmp_path: Path
) -> None:
    rewrite(tmp_path / "base.tar")
    templates.remember_sound(template, store)
    assert not verified.file_of(template, store).exists()


def test_another_checksum_is_another_declaration(
    template: Template, store: Store, tmp_path: Path
) -> None:
    templates.remember_sound(template, store)
    with pytest.raises(Refused, match="must have the sha256"):
        templates.verify(tarball(tmp_path / "base.tar", sha256="0" * 64), store)


def test_another_program_that_reads_archives_reads_them_again(
    template: Template, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    templates.remember_sound(template, store)
    (tmp_path / "tar").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert is_read(template, store, monkeypatch)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99}', '{"format": 1, "seen": 2}'])
def test_a_file_that_makes_no_sense_is_ignored_and_replaced(
    template: Template, store: Store, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file_of = verified.file_of(template, store)
    file_of.parent.mkdir(parents=True)
    file_of.write_text(text)
    assert is_read(template, store, monkeypatch)
    templates.remember_sound(template, store)
    assert not is_read(template, store, monkeypatch)
