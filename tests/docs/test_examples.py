"""The examples in the documentation give what they say."""

import dataclasses
import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import geats_core
from geats_core import HostConfig, parse_config, parse_vm, to_plain
from geats_core.declared.template import SOURCES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "\n>>> " in path.read_text())
BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def without_prose(text: str) -> str:
    """The examples of a page, each on the line where it stands there."""
    kept: list[str] = []
    end = 0
    for block in BLOCK.finditer(text):
        kept.append("\n" * text.count("\n", end, block.start(1)))
        kept.append(block[1])
        end = block.end(1)
    return "".join(kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_examples_of_a_page_give_what_they_say(page: Path) -> None:
    """In their order, as a reader would try them: what one defines, the next one knows."""
    text = page.read_text()
    examples = without_prose(text)
    assert examples.count(">>> ") == text.count(">>> "), (
        "an example stands outside of a pycon block"
    )
    test = doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0)
    said: list[str] = []
    found = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert found.failed == 0, "".join(said)
    assert found.attempted > 0


def test_the_example_of_the_package_gives_what_it_says() -> None:
    found = doctest.testmod(geats_core)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_every_page_with_examples_is_among_those_that_are_tried() -> None:
    assert {page.name for page in PAGES} >= {"library.md"}


def test_the_reference_names_everything_that_is_public_once() -> None:
    text = (DOCS / "reference/library.md").read_text()
    named = re.findall(r"^\.\. (?:auto\w+|py:\w+):: (\w+)$", text, re.MULTILINE)
    assert sorted(named) == sorted(geats_core.__all__)


def yaml_blocks() -> Iterator[str]:
    for page in [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md"]:
        yield from re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", list(yaml_blocks()))
def test_every_configuration_that_is_shown_is_valid(block: str) -> None:
    """Those of Salt's own files are passed over."""
    raw = yaml.safe_load(block)
    raw = raw.get("geats", raw)
    if raw.keys() <= {field.name for field in dataclasses.fields(HostConfig)}:
        config = parse_config(raw).unwrap()
        for name, vm in config.vms.items():
            assert parse_vm(name, vm, config.profiles).unwrap().name == name


def test_the_reference_names_every_key_of_the_configuration() -> None:
    text = (DOCS / "reference/configuration.md").read_text()
    limits = {"memory": "1GiB", "cpus": 1, "processes": 1}
    spec = parse_vm("web01", {"template": "debian", **limits}).unwrap()
    of_host = {field.name for field in dataclasses.fields(HostConfig)} - {"wrong"}  # is found
    keys = {"profile", *to_plain(spec), *of_host, *SOURCES}
    assert {key for key in keys if f"`{key}`" not in text} == set()
