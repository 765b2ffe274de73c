"""The settings of one guest, taken out one by one: each leaves a note, and so does each option.

Values are in no note, since some are secret, such as ``cipassword`` or a description.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from geats_core.foreign.legacy_notes import Taken
from geats_core.proxmox.conf import Conf
from geats_core.reading.fields import printable
from geats_core.reading.sizes import format_size

NO_KEY = "has no key"
NOTES = "may contain secrets: say what everybody may read as description, in one line"
NO_EFFECT = "has no effect on the guest"
UNITS: Mapping[str, int] = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MOST_DIGITS = 15
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


def settings_of(taken: Taken, name: str, conf: Conf) -> Settings:
    """The settings of the VM *name*; what else is in the file is noted at once."""
    if conf.described and "description" not in conf.settings:
        taken.left("description", NOTES)
    for section in conf.sections:
        taken.left(f"[{section}]", SECTIONS.get(section.lower(), SNAPSHOT))
    for number in conf.unread:
        taken.left(f"line {number}", "cannot be read, and Proxmox passes over it too")
    return Settings(taken, f"vms.{name}", dict(conf.settings))


SNAPSHOT = "is a snapshot: it stays with the old disks, and the new VM has none"
SECTIONS = {
    "pending": "are changes that are not in effect yet: let the old guest take them first, or none",
    "special:cloudinit": "is what Proxmox has written for cloud-init: geats writes its own",
    "special:fleecing": "is of an unfinished backup",
}


def whole(text: str, most: int = 1 << 40) -> int | None:
    """A number without a sign; None if it is none, or more than *most*."""
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        return None
    return int(text) if int(text) <= most else None


def size_of(text: str) -> str:
    """A size of Proxmox, such as ``32G``, in words of geats; empty if it is none."""
    count, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    number = whole(count)
    return format_size(number * UNITS[unit]) if number and unit in UNITS else ""


def mebibytes(text: str) -> str:
    """Memory as Proxmox counts it; empty if it is none."""
    number = whole(text)
    return f"{number}MiB" if number else ""
