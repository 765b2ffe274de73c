"""Man pages: one for each command and topic, in which no word of a text is an order."""

import re
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from geats_host.cli.commands import Commands
from geats_host.cli.help_pages import TOPICS
from geats_host.cli.main import cli
from geats_host.cli.manual import manual
from tests.host.cli.conftest import Geats
from tests.host.cli.test_help import COMMANDS

MACROS = {"TH", "SH", "SS", "PP", "TP", "IP", "B", "BR", "nf", "fi", "RS", "RE"}


@pytest.fixture(scope="module")
def pages() -> Mapping[str, str]:
    return manual(cli, "2026-01-01")


def test_there_is_a_page_for_each_command_and_topic(pages: Mapping[str, str]) -> None:
    paths = ["geats", *(f"geats-{path.replace(' ', '-')}" for path in COMMANDS)]
    assert pages.keys() == {
        *(f"man1/{name}.1" for name in paths),
        *(f"man7/geats-{name}.7" for name in TOPICS),
    }


def test_each_line_is_a_known_macro_or_text(pages: Mapping[str, str]) -> None:
    for name, text in pages.items():
        assert text.isascii() or "→" in text, name
        for line in text.splitlines():
            assert line, name
            assert not line.startswith("'"), (name, line)
            if line.startswith("."):
                assert line[1:].split(" ")[0] in MACROS, (name, line)


def test_a_page_says_what_help_says(pages: Mapping[str, str]) -> None:
    text = pages["man1/geats-templates-prune.1"]
    assert text == "\n".join(
        [
            text.splitlines()[0],
            ".SH NAME",
            "geats\\-templates\\-prune \\- Delete unpacked templates and files that no declared "
            "template needs",
            ".SH SYNOPSIS",
            ".B geats templates prune",
            "[OPTIONS]",
            ".SH DESCRIPTION",
            "Delete unpacked templates and files that no declared template needs.",
            '.SH "OPTIONS"',
            ".TP",
            ".B \\-\\-columns A,B",
            "Only these columns, in this order.",
            ".TP",
            ".B \\-\\-format [table|csv|json|yaml]",
            "How to show it (default: table). csv and table have the same columns.",
            ".TP",
            ".B \\-\\-dry\\-run",
            "Show the plan, and do nothing.",
            ".TP",
            ".B \\-\\-config FILE",
            "The host\\(aqs configuration (default: /etc/geats/geats.yaml).",
            ".TP",
            ".B \\-\\-json",
            "Answer with JSON, for programs.",
            ".TP",
            ".B \\-h, \\-\\-help",
            "Show this message and exit.",
            ".SH EXAMPLES",
            ".nf",
            ".RS 2",
            "geats templates prune \\-\\-dry\\-run",
            ".RE",
            ".fi",
            ".SH SEE ALSO",
            ".BR geats (1)",
            "",
        ]
    )


def test_the_first_page_leads_to_all_others(pages: Mapping[str, str]) -> None:
    text = pages["man1/geats.1"].replace("\\-", "-")
    told = re.findall(r"^\.BR (\S+) \((\d)\),?$", text, re.MULTILINE)
    top = {name for name in COMMANDS if " " not in name}
    assert {name for name, section in told if section == "1"} == {f"geats-{name}" for name in top}
    assert {name for name, section in told if section == "7"} == {
        f"geats-{name}" for name in TOPICS
    }


def test_no_text_is_an_order_to_the_formatter() -> None:
    hostile = click.Command(
        "evil", help=".so /etc/passwd\n\n'\\\" a `.TH` and\n.SH b\n\n\b\n.nf\n'x", params=[]
    )
    group = Commands(themes={})
    group.themes, group.modules = {"T": {"m": ("evil",)}}, {"evil": "m"}
    group.add_command(hostile)
    text = manual(group, "2026-01-01")["man1/geats-evil.1"]
    body = text.partition(".SH DESCRIPTION\n")[2].partition('.SH "OPTIONS')[0]
    assert body.splitlines() == [
        "\\&.so /etc/passwd",
        ".PP",
        "\\(aq\\e\\(dq a \\fB.TH\\fR and .SH b",
        ".PP",
        ".nf",
        ".RS 2",
        "\\&.nf",
        "\\(aqx",
        ".RE",
        ".fi",
    ]


def test_the_command_writes_them(call: Geats, tmp_path: Path) -> None:
    code, out, err = call("manual", str(tmp_path / "man"))
    found = [path for path in (tmp_path / "man").rglob("*") if path.is_file()]
    said = f"written: {len(found)} pages below {tmp_path}/man\n"
    assert (code, out, err) == (0, said, "")
    assert (tmp_path / "man/man1/geats-plan.1").read_text().startswith(".TH GEATS\\-PLAN 1 20")
