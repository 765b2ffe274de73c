"""The settings of one guest, taken out one by one: each leaves a note, and so does each option.

Values are in no note, since some are secret, such as a password or a description.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from geats_core.foreign.notes import Taken
from geats_core.reading.fields import NAME, printable

NO_KEY = "has no key"
NOTES = "may contain secrets: say what everybody may read as description, in one line"
NO_EFFECT = "has no effect on the guest"
MOST_DIGITS = 15
LARGEST_BITS = 64  # of a number; Python refuses to write those that are far larger
YES = ("1", "on", "yes", "true")


@dataclass(slots=True)
class Settings:
    """What of a file is not taken yet; ``wrong`` is what no key of geats can say."""

    taken: Taken
    at: str
    left_: dict[str, str]
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def get(self, key: str) -> str:
        """The value of a setting; empty without it."""
        return self.left_.get(key, "")

    def numbered(self, *words: str) -> list[str]:
        """The settings ``word0``, ``word1`` and so on that are there, in their order."""
        found = [
            (words.index(key.rstrip("0123456789")), int(number), key)
            for key in self.left_
            if (number := key[len(key.rstrip("0123456789")) :])
            and key.removesuffix(number) in words
            and len(number) < MOST_DIGITS
        ]
        return [key for _, _, key in sorted(found)]

    def went(self, key: str, to: str, why: str = "") -> None:
        """Note that *key* is *to* be found there, below the VM."""
        if self.left_.pop(key, None) is not None:
            self.taken.went(key, f"{self.at}.{to}" if to else self.at, why)

    def left(self, key: str, why: str) -> None:
        """Note that *key* is nowhere."""
        if self.left_.pop(key, None) is not None:
            self.taken.left(key, why)

    def refuse(self, key: str, why: str) -> None:
        """Note that *key* is nowhere, and that the guest would be another one without it."""
        self.left(key, why)
        self.wrong.append((key, why))

    def drop(self, prefix: str) -> bool:
        """Take all that begin with *prefix*, of which there is one note; whether there were any."""
        found = [key for key in self.left_ if key.startswith(prefix)]
        for key in found:
            del self.left_[key]
        return bool(found)

    def options(self, key: str, first: str = "") -> "Options":
        """The options of a setting, ``VALUE,name=value``; *first* is the name of that value."""
        found: dict[str, str] = {}
        text = self.left_.pop(key, "")
        for part in text.split(","):
            name, equals, value = part.strip().partition("=")
            if not equals:
                name, value = first, name
            if value or (name and text):
                found[name] = value
        if text and not found:
            self.taken.left(key, "is empty")
        return Options(self, key, found)

    def rest(self, reasons: Mapping[str, str]) -> None:
        """Note all that is left, each for its reason, which is told by its name without digits."""
        for key in [*self.left_]:
            word = key.rstrip("0123456789")
            self.left(key, reasons.get(key, reasons.get(word, NO_KEY)))


@dataclass(slots=True)
class Options:
    """The options of one setting, while they are taken; those that nobody took are noted last."""

    settings: Settings
    key: str
    left_: dict[str, str]

    def get(self, name: str) -> str:
        """The value of an option; empty without it."""
        return self.left_.get(name, "")

    def has(self, name: str) -> bool:
        """Whether an option is switched on."""
        return self.get(name) in YES

    def went(self, name: str, to: str, why: str = "") -> None:
        """Note that it is *to* be found there, below the VM."""
        self.became(name, f"{self.settings.at}.{to}", why)

    def became(self, name: str, where: str, why: str = "") -> None:
        """Note that it is to be found there."""
        if self.left_.pop(name, None) is not None:
            self.settings.taken.went(self._at(name), where, why)

    def left(self, names: Iterable[str], why: str) -> None:
        """Note that these are nowhere."""
        for name in names:
            if self.left_.pop(name, None) is not None:
                self.settings.taken.left(self._at(name), why)

    def refuse(self, name: str, why: str) -> None:
        """Note that it is nowhere, and that the guest would be another one without it."""
        self.left([name], why)
        self.settings.wrong.append((self._at(name), why))

    def rest(self, why: str = NO_KEY) -> None:
        """Note all that is left."""
        self.left([*self.left_], why)

    def _at(self, name: str) -> str:
        return f"{self.key}.{printable(name)}" if name else self.key


def whole(text: str, most: int = 1 << 40) -> int | None:
    """A number without a sign; None if it is none, or more than *most*."""
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        return None
    return int(text) if int(text) <= most else None


def root_template(vm: str) -> str:
    """The name of the template for the root of *vm*; templates can have fewer names than VMs."""
    if NAME.fullmatch(f"{vm}-root"):
        return f"{vm}-root"
    plain = re.sub("[^a-z0-9]+", "-", vm.lower()).strip("-")[:40]
    return f"{plain}-{sha256(vm.encode()).hexdigest()[:6]}-root"


def text_of(raw: object) -> str:
    """A value of YAML as people wrote it, more or less; nothing for lists and mappings."""
    match raw:
        case bool():
            return str(raw).lower()
        case int() if raw.bit_length() > LARGEST_BITS:
            return ""
        case str() | int() | float():
            return str(raw)
        case _:
            return ""
