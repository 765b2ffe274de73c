"""Lines and elements that a person added to a definition, as everybody may see them.

They may contain secrets: what the environment of a guest says, the arguments of programs, the
password of a mount or of a display, what another program noted in a domain. So values that may be
secret are hidden, and what they are values of is shown.
"""

import re
from collections.abc import Iterable

HIDDEN = "(hidden)"
SECRET = (
    r"[\w.-]*(?:pass|pw(?!r)|secret|token|credential|cookie|psk|private)[\w.-]*"
    r"|(?:[\w.-]*[._-])?(?:api)?key"
)
NAMED = re.compile(rf"(?i)(?<![\w.-])({SECRET})(\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;]+)")
IN_URL = re.compile(r"(?<=://)[^/@\s]*(?=@)")
LINE = re.compile(r"(\s*#*\s*)(lxc\.[^\s=]+)(\s*=\s*)(.*)", re.DOTALL)
VARIABLE = re.compile(r"([^=]*)=.*", re.DOTALL)
PROGRAMS = re.compile(r"lxc\.(hook\.(?!version).+|(init|execute)\.cmd|net\..+\.script\..+)")
TAG = re.compile(r"<(/?)([\w.-]+:)?([\w.-]+)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
ATTRIBUTE = re.compile(r"([\w.:-]+)(\s*=\s*)(\"[^\"]*\"|'[^']*')")


def shown_line(line: str) -> str:
    """*line* with something else in place of each value that may be secret."""
    if line.lstrip().startswith("<"):
        return _shown_element(line)
    if found := LINE.fullmatch(line):
        before, key, equals, value = found.groups()
        return f"{before}{key}{equals}{_shown_value(key, value)}"
    return _without_named(line)


def shown_lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Each of them as everybody may see it."""
    return tuple(map(shown_line, lines))


def _shown_value(key: str, value: str) -> str:
    if key == "lxc.environment" or key.startswith("lxc.environment."):
        return VARIABLE.sub(rf"\1={HIDDEN}", value)
    if PROGRAMS.fullmatch(key):
        program, space, _ = value.strip().partition(" ")
        return f"{program} {HIDDEN}" if space else value
    if value and re.fullmatch(f"(?i){SECRET}", key.rpartition(".")[2]):
        return HIDDEN
    return _without_named(value)


def _without_named(text: str) -> str:
    return NAMED.sub(rf"\1\2{HIDDEN}", IN_URL.sub(HIDDEN, text))


def _shown_element(text: str) -> str:
    """Texts are hidden, and of elements of another namespace, such as of QEMU, attributes too."""
    shown: list[str] = []
    end = 0
    for tag in TAG.finditer(text):
        shown += [_shown_text(text[end : tag.start()]), _shown_tag(tag)]
        end = tag.end()
    return "".join((*shown, _shown_text(text[end:])))


def _shown_text(text: str) -> str:
    return HIDDEN if text.strip() else text


def _shown_tag(found: re.Match[str]) -> str:
    slash, namespace, name, attributes = found.groups()
    shown = ATTRIBUTE.sub(
        lambda each: _shown_attribute(each, is_of_others=bool(namespace)), attributes
    )
    return f"<{slash}{namespace or ''}{name}{shown}>"


def _shown_attribute(found: re.Match[str], *, is_of_others: bool) -> str:
    name, equals, value = found.groups()
    if name.startswith("xmlns"):
        return found[0]
    is_secret = (is_of_others and name != "name") or re.fullmatch(f"(?i){SECRET}", name)
    said = value[0] + (HIDDEN if is_secret else _without_named(value[1:-1])) + value[0]
    return f"{name}{equals}{said}"
