"""``geats create`` and ``geats edit``, on a host in memory and a file with comments."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from geats_host.errors import HostError
from tests.host.cli.conftest import Geats


@pytest.fixture
def commented(config: Path) -> Path:
    config.write_text(f"# this host\n{config.read_text()}# the end\n")
    return config


def declared(config: Path, name: str) -> object:
    return yaml.safe_load(config.read_text())["geats"]["vms"].get(name)


def editor(directory: Path, script: str) -> str:
    """An editor that changes its file by a script of sed."""
    path = directory / "editor"
    path.write_text(f'#!/bin/sh\nexec sed -i "{script}" "$1"\n')
    path.chmod(0o755)
    return str(path)


def test_a_vm_is_declared_and_created(geats: Geats, commented: Path) -> None:
    before = commented.read_text()
    options = ("--memory", "64MiB", "--disk", "1GiB", "--bridge", "br0", "--cpus", "2")
    more = ("--address", "10.0.0.9/24", "--gateway", "10.0.0.1", "--set", "hostname=www")
    words = ("create", "web09", "--profile", "small", *options, *more)
    code, out, err = geats(*words, "--dry-run")
    assert (code, err) == (0, "")
    assert "web09:" in out
    assert "create, 7 steps" in out
    assert commented.read_text() == before

    assert geats(*words)[0] == 0
    assert declared(commented, "web09") == {
        "profile": "small",
        "memory": "64MiB",
        "cpus": 2,
        "volumes": [{"name": "root", "size": "1GiB"}],
        "nics": [
            {
                "name": "eth0",
                "bridge": "br0",
                "addresses": ["10.0.0.9/24"],
                "gateways": ["10.0.0.1"],
            }
        ],
        "hostname": "www",
    }
    assert commented.read_text().startswith("# this host\n")
    assert commented.read_text().endswith("# the end\n")
    assert "running" in geats("list", "web09")[1]
    assert geats("diff", "web09")[0] == 0


def test_a_vm_can_be_created_without_a_start(geats: Geats, commented: Path) -> None:
    assert geats("create", "web09", "--profile", "small", "--no-start")[0] == 0
    assert "stopped" in geats("list", "web09")[1]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("web01", "--profile", "small"), "web01: is declared already"),
        (("web09", "--template", "debian", "--memory", "lots"), "web09.memory: must be"),
        (("web09", "--template", "debain"), "did you mean"),
        (("we/b", "--template", "debian"), "name: must be"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_written(
    geats: Geats, commented: Path, words: tuple[str, ...], why: str
) -> None:
    before = commented.read_text()
    code, _, err = geats("create", *words)
    assert (code, why in err) == (2, True), err
    assert commented.read_text() == before


def test_a_vm_that_nobody_declared_is_not_taken_over(geats: Geats, commented: Path) -> None:
    geats("define", "db01")
    raw = yaml.safe_load(commented.read_text())
    del raw["geats"]["vms"]["db01"]
    commented.write_text(yaml.safe_dump(raw))
    code, _, err = geats("create", "db01", "--profile", "small")
    assert (code, "is on this host already" in err) == (2, True)


def test_in_a_file_that_cannot_be_changed_the_yaml_is_shown(geats: Geats, config: Path) -> None:
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()), default_flow_style=True))
    code, _, err = geats("create", "web09", "--profile", "small")
    assert code == 2
    assert "write it there yourself" in err
    assert "web09: {profile: small}" in err


def test_a_declaration_is_edited_and_applied(
    geats: Geats, commented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor(tmp_path, "s/512MiB/1GiB/"))
    geats("apply", "web01")
    before = commented.read_text()
    assert geats("edit", "web01", "--dry-run")[0] == 0
    assert commented.read_text() == before
    assert geats("edit", "web01")[0] == 0
    assert commented.read_text() == before.replace("512MiB", "1GiB")
    assert geats("diff", "web01")[0] == 0
    assert geats("edit", "web01") == (0, "nothing was changed\n", "")


@pytest.mark.parametrize(
    ("script", "why"),
    [("s/512MiB/lots/", "web01.memory: must be"), ("s/web01/web02/", "must stay the one key")],
)
def test_what_is_edited_wrongly_is_kept(
    geats: Geats,
    commented: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    why: str,
) -> None:
    monkeypatch.setenv("VISUAL", editor(tmp_path, script))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = commented.read_text()
    code, _, err = geats("edit", "web01")
    assert (code, why in err) == (2, True), err
    assert commented.read_text() == before
    (kept,) = tmp_path.glob("geats-web01-*.yaml")
    assert str(kept) in err
    assert kept.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("fails", ["editor", "host"])
def test_whatever_fails_the_user_is_told_where_the_draft_is(
    geats: Geats, commented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def broken(*_: object) -> None:
        raise HostError("disk I/O error")

    script = "s/512MiB/1GiB/" if fails == "host" else "no script"
    monkeypatch.setenv("VISUAL", editor(tmp_path, script))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if fails == "host":
        monkeypatch.setattr("geats_host.cli.declare.plan_wishes", broken)
    code, _, err = geats("edit", "web01")
    (kept,) = tmp_path.glob("geats-web01-*.yaml")
    assert (code != 0, f"what you wrote is kept in {kept}" in err) == (True, True), err
    assert kept.stat().st_mode & 0o77 == 0


def test_what_is_written_and_edited_is_utf_8_in_any_locale(tmp_path: Path) -> None:
    script = """
from pathlib import Path
from geats_host.cli import declare, first
from geats_host.inputs.declaration_files import DeclarationFile
here, text = Path("."), "# gr\\u00fcezi\\r\\n"
Path("a").touch()
DeclarationFile.at(Path("a")).replace(text)
first._write(Path("b"), text)
declare._draft("x", text).rename("c")
"""
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path, check=True)
    assert {(tmp_path / name).read_bytes() for name in "abc"} == {"# grüezi\r\n".encode()}


def test_what_is_not_declared_cannot_be_edited(geats: Geats) -> None:
    code, _, err = geats("edit", "nobody")
    assert (code, "geats show nobody" in err) == (2, True)


DATA = "        - {name: root}\n        - {name: data, mount: /srv}\n"


def test_a_volume_that_is_left_over_is_declared_again(geats: Geats, config: Path) -> None:
    raw = yaml.safe_load(config.read_text())
    raw["geats"]["vms"] = {"web01": raw["geats"]["vms"]["web01"]}
    text = yaml.safe_dump(raw, sort_keys=False)
    with_data = text + f"      volumes:\n{DATA}"
    config.write_text(with_data)
    assert geats("apply")[0] == 0
    config.write_text(text)
    assert geats("volumes", "attach", "web01", "data", "--mount", "/srv")[0] == 2
    assert geats("apply")[0] == 0
    rows = yaml.safe_load(geats("volumes", "--format", "yaml")[1])
    assert {row["name"]: row["wanted"] for row in rows} == {"root": True, "data": False}

    attach = ("volumes", "attach", "web01", "data", "--mount", "/srv")
    assert geats(*attach, "--dry-run")[0] == 0
    assert config.read_text() == text
    assert geats(*attach)[0] == 0
    declared_now = yaml.safe_load(config.read_text())["geats"]["vms"]["web01"]["volumes"]
    assert declared_now[-1] == {"name": "data", "pool": "default", "mount": "/srv"}
    assert geats("diff")[0] == 0
    code, _, err = geats(*attach)
    assert (code, "unknown volume that is left over" in err) == (2, True)
