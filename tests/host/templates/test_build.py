"""A command makes a template: run once, and its result kept."""

from pathlib import Path

import pytest

from geats_core.declared.template import Build, Template
from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.templates.store import Store
from tests.host.templates.archives import file, write


def built(*command: str, timeout_s: int = 60) -> Template:
    return Template(name="t", source=Build(command=command, timeout_s=timeout_s))


def shell(script: str, timeout_s: int = 60) -> Template:
    return built("sh", "-c", script, "sh", "{output}", timeout_s=timeout_s)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write(tmp_path / "made.tar", [file("new", "x")])


def test_the_command_is_run_once(archive: Path, target: Path, store: Store, tmp_path: Path) -> None:
    template = shell(f'echo run >>{tmp_path}/runs; cp {archive} "$1"')
    templates.verify(template, store)
    for _ in range(2):
        templates.install(template, target, store)
        templates.verify(template, store)
    assert (target / "new").read_text() == "x"
    assert (tmp_path / "runs").read_text() == "run\n"
    before = templates.key_of(template, store)
    write(archive, [file("newer", "y")])
    templates.make_ready(template, store, refresh=True)
    assert templates.key_of(template, store) != before
    assert list((store.root / "scratch").iterdir()) == []


def test_another_command_has_another_result(archive: Path, tmp_path: Path, store: Store) -> None:
    other = write(tmp_path / "other.tar", [file("new", "y")])
    keys = set()
    for path in (archive, other):
        templates.make_ready(built("cp", str(path), "{output}"), store)
        keys.add(templates.key_of(built("cp", str(path), "{output}"), store))
    assert len(keys) == 2


def test_a_command_may_choose_the_suffix(archive: Path, target: Path, store: Store) -> None:
    template = built("zstd", "-q", str(archive), "-o", "{output}.zst")
    templates.install(template, target, store)
    assert (target / "new").read_text() == "x"


def test_a_command_that_is_not_there_is_refused_before_anything_changes(store: Store) -> None:
    with pytest.raises(Refused) as refused:
        templates.verify(built("no-such-program", "{output}"), store)
    said = "templates.t.build: cannot be run: there is no program 'no-such-program'"
    assert refused.value.problems == (said,)
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo oops >&2; exit 7", "^sh failed with exit code 7: oops"),
        (":", "must leave one file"),
        ('echo >"$1.a"; echo >"$1.b"', "got 2"),
        ('mkdir "$1"', "must leave one file"),
        ('ln -s /etc/passwd "$1"', "must leave one file"),
        ('mkfifo "$1"', "must leave one file"),
        ('echo hello >"$1"', "must be a tar archive"),
        ('head -c 1000 /dev/zero >"$1"', "must be a tar archive"),
    ],
)
def test_a_command_that_fails_leaves_nothing(
    target: Path, store: Store, script: str, said: str
) -> None:
    with pytest.raises(HostError, match=said):
        templates.install(shell(script), target, store)
    assert not any(path.is_file() for path in store.root.rglob("*"))
    assert list((store.root / "scratch").iterdir()) == []


def test_of_many_templates_it_is_said_which_cannot_be_built(store: Store) -> None:
    with pytest.raises(HostError, match=r"^templates\.t: sh failed with exit code 7: oops"):
        templates.make_ready(shell("echo oops >&2; exit 7"), store)


def test_a_command_that_hangs_is_ended_with_its_children(target: Path, store: Store) -> None:
    with pytest.raises(HostError, match="sh did not end within 1 s"):
        templates.install(shell("sleep 1000 & sleep 1000", timeout_s=1), target, store)


def test_what_was_built_and_then_damaged_is_refused(archive: Path, store: Store) -> None:
    template = built("cp", str(archive), "{output}")
    templates.make_ready(template, store)
    (blob,) = (store.root / "blobs").iterdir()
    blob.write_bytes(write(archive, [file("evil")]).read_bytes())
    with pytest.raises(Refused, match="must have the sha256"):
        templates.verify(template, store)
