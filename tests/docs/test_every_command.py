"""Every command line of the documentation is run, or it is said why not: see ``not_run``.

Those of geats are run on a host in memory, page by page in their order, as a reader would.
"""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from geats_host.cli.main import main
from geats_host.observing.known_places import VARIABLE
from tests.docs.not_run import NOT_RUN, PAGES
from tests.docs.pages import DOCS, Line, lines
from tests.memory_host import memory_config

LINES = list(lines())
ELSEWHERE = re.compile(r"(?<![\w.:/])/(?=(?:srv|var|etc|usr|root)/)")  # paths of the machine
# What is so on a page before its commands are run: VMs are described otherwise by then.
CHANGED: Mapping[str, Mapping[str, object]] = {
    "how-to/boot.md": {"web02": {"profile": "small", "autostart": {"groups": ["shop"]}}},
    "how-to/plans.md": {"web01": {"profile": "small", "hostname": "other"}},
    "README.md": {"web01": {"profile": "small", "hostname": "other"}},
}
FOLDERS = ("srv/backup", "srv/pillar", "var/backups", "var/lib/geats/exports", "root", "usr/local")
BEFORE = {"how-to/backups.md": ["geats export web01 /var/lib/geats/exports/web01.geats.tar"]}
# What else than 0 a command of a page may exit with here, as the page says or as others did before.
CODES = {
    "geats plan --exit-code": {3},
    "geats plan --max-impact live": {0, 2},  # nothing is left to do after the README's apply
    "geats apply --max-impact live": {2},
    "geats why 'restart web01'": {2},  # of the README: it was applied before
    "geats import /var/lib/geats/exports/web01.geats.tar --dry-run": {2},  # it is there
    "geats import /srv/backup/web01.geats.tar": {2},  # on another host, which does not have it
    "geats import /srv/backup/web01.geats.tar --name web02 --set 'nics=[]' --set pools=fast": {2},
}


def why_not(line: Line) -> str | None:
    """Why it is not run here; None if it is."""
    plain = line.text.partition(" #")[0].strip()
    found = (why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, plain))
    return PAGES.get(line.page) or next(found, None)


RUN = {
    page: [line for line in LINES if line.page == page and why_not(line) is None]
    for page in dict.fromkeys(line.page for line in LINES)
}


def run(line: Line, config: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code, with paths of the machine below *here*."""
    text = line.text.replace("$(date +%F)", "2026-11-23")
    program, *words = shlex.split(ELSEWHERE.sub(f"{here}/", text), comments=True)
    assert program == "geats", f"{line.page}: say in not_run.py why this is not run: {line.text}"
    for end in (word for word in (">", "&&") if word in words):
        words = words[: words.index(end)]
    monkeypatch.setattr(sys, "argv", ["geats", "--config", str(config), *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of a host in memory which has the VMs of the pages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "")
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    pools = {name: {"type": "memory", "path": f"{tmp_path}/{name}"} for name in ("default", "fast")}
    declared = {
        **memory_config(tmp_path),
        "drivers": {"lxc": {"type": "memory"}},
        "pools": pools,
        "registry": "sqlite",
        "policy": {"exports": {"last": 3}, "snapshots": {"last": 3}},
        "profiles": {"small": {"template": "debian"}},
    }
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": declared}))
    return file


@pytest.mark.parametrize("page", [page for page, of_page in RUN.items() if of_page])
def test_the_commands_of_a_page_run_in_their_order(
    page: str,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wrong = []
    for before in ("geats apply", "geats stop db01", *BEFORE.get(page, ())):
        assert run(Line(page, before), config, tmp_path, monkeypatch) == 0
    declared = yaml.safe_load(config.read_text())
    declared["geats"]["vms"] |= CHANGED.get(page, {})
    config.write_text(yaml.safe_dump(declared))
    for line in RUN[page]:
        code = run(line, config, tmp_path, monkeypatch)
        plain = line.text.partition(" #")[0].strip()
        if code not in CODES.get(plain, {0}):
            wrong.append(f"{plain}: exits with {code}: {capfd.readouterr().err}")
        capfd.readouterr()
    assert wrong == []


@pytest.mark.parametrize("reason", dict.fromkeys((*NOT_RUN.values(), *PAGES.values())))
def test_where_else_a_command_is_tried_there_is_such_a_test(reason: str) -> None:
    for path in re.findall(r"tests/[\w/.]*\w", reason):
        assert (DOCS.parent / path).exists()


def test_every_reason_is_that_of_a_command() -> None:
    plain = [line.text.partition(" #")[0].strip() for line in LINES]
    unused = [each for each in NOT_RUN if not any(re.fullmatch(each, text) for text in plain)]
    assert unused == []
    assert PAGES.keys() <= RUN.keys()
    assert sum(map(len, RUN.values())) > 70
