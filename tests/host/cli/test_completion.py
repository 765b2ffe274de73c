"""Completion: what shells offer, by the interface of click, and once in a real bash."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete, get_completion_class

from geats_host.cli.commands import COMPLETION
from geats_host.cli.completion import SHELLS
from geats_host.cli.main import cli
from tests.host.cli.conftest import Geats


@pytest.fixture(autouse=True)
def _said_again() -> Iterator[None]:
    """What completes in a process of its own says nothing there; here others are still to."""
    yield
    logging.disable(logging.NOTSET)


def offered(config: Path, line: str, begun: str = "") -> list[str]:
    """What is offered where a word has *begun*, after this command line."""
    words = ["--config", str(config), *line.split()]
    found = ShellComplete(cli, {}, "geats", COMPLETION).get_completions(words, begun)
    return [each.value for each in found]


@pytest.mark.parametrize(
    ("line", "begun", "names"),
    [
        ("start", "", ["db01", "web01"]),
        ("start", "we", ["web01"]),
        ("start web01", "", ["db01"]),
        ("info", "", ["db01", "web01"]),
        ("restore web01", "", ["before"]),
        ("delete-snapshot web01", "b", ["before"]),
        ("restore db01", "", []),
        ("restore nobody", "", []),
        ("snapshot web01", "", []),
        ("clone", "", ["db01", "web01"]),
        ("clone web01", "", []),
        ("import /tmp/a.tar --name", "", []),
        ("templates import", "", ["debian"]),
        ("templates", "p", ["prune"]),
        ("plan --restart", "", ["if_needed", "always", "never"]),
        ("list --driver", "m", ["memory"]),
        ("journal", "d", ["db01"]),
        ("help", "sto", ["stop", "storage"]),
        ("adopt", "", []),
    ],
)
def test_names_are_those_of_the_host(
    geats: Geats, config: Path, line: str, begun: str, names: list[str]
) -> None:
    assert geats("apply", "web01", "--yes")[0] == 0
    assert geats("snapshot", "web01", "before")[0] == 0
    assert offered(config, line, begun) == names


@pytest.mark.parametrize("text", ["geats: [", "geats: 5", "x: 1"])
def test_what_cannot_be_read_completes_nothing(
    config: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(text)
    assert offered(config, "start") == []
    config.unlink()
    assert offered(config, "start") == []
    assert capsys.readouterr() == ("", "")


def test_commands_and_options_are_completed(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(config, "", "templ") == ["templates"]
    assert offered(config, "snapshot web01", "--d") == ["--dry-run"]
    monkeypatch.setenv(COMPLETION, "bash_complete")
    assert offered(config, "", "templ") == ["templates"]
    assert offered(config, "", "--j") == ["--json"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(call: Geats, shell: str) -> None:
    code, out, err = call("completion", shell)
    kind = get_completion_class(shell)
    assert kind is not None
    assert (code, out, err) == (0, f"{kind(cli, {}, 'geats', COMPLETION).source()}\n", "")
    assert call("completion", "tcsh")[0] == 2


def test_bash_completes_the_names_of_vms(config: Path) -> None:
    asked = (
        "source <(geats completion bash);"
        f"COMP_WORDS=(geats --config {config} stop w); COMP_CWORD=4;"
        '_geats_completion geats; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, env={"PATH": path}, check=True
    )
    assert (done.stdout, done.stderr) == ("web01\n", "")
