"""Every command line that stands in a block of a page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    *sorted(path for path in DOCS.rglob("*.md") if not {"_build", "generated"} & {*path.parts}),
    *(DOCS.parent / name for name in ("README.md", "CONTRIBUTING.md")),
]
BLOCK = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LANGUAGES = ("console", "bash", "sh", "")
# The first word of a line that is a command, in a block that shows nothing else than commands.
WORD = re.compile(r"(?:[a-z]\w*=\S+ )*(/\S+/|script/)?[a-z][a-z0-9-]*(?= |$)")


class Line(NamedTuple):
    """A command line, where it stands."""

    page: str
    text: str

    @property
    def program(self) -> str:
        """What it runs."""
        return self.text.split(maxsplit=1)[0]


def lines() -> Iterator[Line]:
    """All of them, in their order, with those that are continued in one."""
    for path in PAGES:
        page = f"{path.relative_to(DOCS)}" if DOCS in path.parents else path.name
        for language, block in BLOCK.findall(path.read_text()):
            if language in LANGUAGES:
                yield from (Line(page, text) for text in _commands(language, block))


def _commands(language: str, block: str) -> Iterator[str]:
    for line in re.sub(r" *\\\n *", " ", block).splitlines():
        said = line.strip()
        if language == "console":
            if said.startswith("$ "):
                yield said[2:]
        elif (language or _is_of_commands(block)) and WORD.match(said):
            yield said


def _is_of_commands(block: str) -> bool:
    """Whether a block that says nothing of itself begins with a command that pages show."""
    found = WORD.match(block.strip())
    return found is not None and found[0].rpartition("=")[0] == "" and found[0] in BEGINNINGS


BEGINNINGS = frozenset(
    (
        *("geats", "salt", "salt-call", "salt-run", "salt-pip", "apt", "apt-get", "systemctl"),
        *("git", "pip", "python", "python3", "ruff", "echo", "scp", "rsync", "incus", "virsh"),
        *("export", "mkdir", "editor", "ip", "sed", "varlinkctl", "check-jsonschema", "printf"),
        *("script/install", "script/test", "script/mutation", "script/template", "script/demo"),
        *("script/deb", "/opt/geats/bin/pip"),
    )
)
