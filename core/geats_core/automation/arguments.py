"""The arguments of one container, taken out one by one; and what both programs say alike.

A value that is no text, such as a list, is text nowhere: it is taken by those who know it.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from geats_core.foreign.notes import Plain, Taken
from geats_core.foreign.settings import Settings, text_of
from geats_core.reading.fields import printable
from geats_core.reading.sizes import format_size

SIZE = re.compile(r"([0-9]{1,12})\s*([BKMGT]?)(?:i?B)?", re.IGNORECASE)
UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
RENDERED = ("{{", "{%", "}}", "%}")
SERVER = "https://images.linuxcontainers.org"
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OPTIONS = {"-d": "dist", "--dist": "dist", "-r": "release", "--release": "release"} | {
    **{"-a": "arch", "--arch": "arch", "--variant": "variant"},
}
NO_IMAGE = "say by hand what the template is made of: no image of a server stands for it"
POOLED = "pools say what volumes are made of"


@dataclass(slots=True)
class Arguments:
    """What one container is: ``settings`` are its texts, ``others`` its lists and mappings."""

    settings: Settings
    others: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, taken: Taken, at: str, raw: Mapping[object, object]) -> "Arguments":
        """Those in *raw*, for the VM *at*."""
        said = {printable(text_of(key)): value for key, value in raw.items()}
        others: dict[str, object] = {
            key: each for key, each in said.items() if isinstance(each, list | dict)
        }
        texts = {key: text_of(each) for key, each in said.items() if key not in others}
        return cls(Settings(taken, at, texts), others)

    def list_of(self, key: str) -> list[str]:
        """A list, or a text with commas; the key is not taken by that."""
        raw = self.others.get(key, self.settings.get(key))
        words = raw if isinstance(raw, list) else text_of(raw).split(",")
        return [word for each in words if (word := text_of(each).strip())]

    def map_of(self, key: str) -> Mapping[object, object]:
        """A mapping; the key is not taken by that."""
        raw = self.others.get(key)
        return raw if isinstance(raw, Mapping) else {}

    def went(self, key: str, to: str, why: str = "") -> None:
        """Note that *key* is *to* be found there, below the VM."""
        if self.others.pop(key, None) is not None:
            self.settings.left_[key] = ""
        self.settings.went(key, to, why)

    def left(self, key: str, why: str) -> None:
        """Note that *key* is nowhere."""
        if self.others.pop(key, None) is not None:
            self.settings.left_[key] = ""
        self.settings.left(key, why)

    def rest(self, reasons: Mapping[str, str]) -> None:
        """Note all that is left, each for its reason."""
        self.settings.left_ |= dict.fromkeys(self.others, "")
        self.others = {}
        self.settings.rest(reasons)


def is_rendered(raw: object, depth: int = 12) -> bool:
    """Whether nothing of Jinja is in it any more."""
    match raw:
        case str():
            return not any(mark in raw for mark in RENDERED)
        case list() if depth:
            return all(is_rendered(each, depth - 1) for each in raw)
        case dict() if depth:
            return all(
                is_rendered(key, depth - 1) and is_rendered(value, depth - 1)
                for key, value in raw.items()
            )
        case _:
            return True


def size(text: str) -> str:
    """A size as LVM and mkfs have it, such as ``20G``, in words of geats; empty if it is none."""
    found = SIZE.fullmatch(text.strip())
    count = int(found[1]) * UNITS[found[2].upper()] if found else 0
    return format_size(count) if count else ""


def options_of(text: str) -> dict[str, str]:
    """The options of a script of LXC, such as ``-d debian -r bookworm``, by what they say."""
    try:
        words = shlex.split(text)
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in OPTIONS:
            found[OPTIONS[option]] = value if equals else (words[at + 1 : at + 2] or [""])[0]
    return found


def image_of(script: str, options: Mapping[str, str]) -> Plain:
    """The image that stands for what a script of LXC made; nothing if none is known for sure."""
    dist = options.get("dist", "") if script == "download" else script
    release, variant = options.get("release", ""), options.get("variant", "default")
    if not all(map(WORD.fullmatch, (dist, release, variant))):
        return {}
    ending = "" if variant == "default" else f"/{variant}"
    made: Plain = {"url": SERVER, "alias": f"{dist}/{release}{ending}"}
    arch = options.get("arch", "")
    return {"simplestreams": {**made, **({"arch": arch} if WORD.fullmatch(arch) else {})}}
