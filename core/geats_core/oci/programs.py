"""What an image of the OCI says of the program in it, as keys of a VM.

See https://github.com/opencontainers/image-spec/blob/main/config.md. liblxc takes only the path of
a program, and splits what follows it at blanks. So a command that needs more, such as one that is
looked for in ``PATH``, is run by the guest's shell: in a line without blanks, as ``${IFS}`` stands
for them.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from returns.result import Failure, Success

from geats_core.containers.programs import FIRST, HIGHEST_ID, Pairs, WhatRuns, read_what_runs
from geats_core.foreign.lxc_programs import signal_name
from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import Reader, of_mapping
from geats_core.reading.json_documents import parse_document
from geats_core.reading.mappings import Raw
from geats_core.reading.values import dataclass

SHELL = ("/bin/sh", "-c")
BLANKS = "${IFS}"  # unquoted: the shell divides its line there
BLANK = '"${IFS%??}"'  # quoted, and without the tab and the end of a line that follow the blank
PLAIN = re.compile(r"[A-Za-z0-9_./:=@%+,-]+")
NO_WORDS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgram:
    """``runs``, as the image says it; ``user`` is yet to be looked up in its ``/etc/passwd``."""

    runs: WhatRuns
    user: str = ""


def parse_image_program(path: str, text: bytes) -> Checked[ImageProgram]:
    """Read the program out of the configuration of an image, which is JSON."""
    return parse_document(path, text, _configuration)


def with_ids(path: str, image: ImageProgram, passwd: str, group: str) -> Checked[WhatRuns]:
    """What runs, with the user and group as numbers; these are the image's own files."""
    user, _, of_group = image.user.partition(":")
    if not user:
        return Success(image.runs)
    entries = [*_entries(passwd, 4)]
    same = [each for each in entries if user == each[0]] or [e for e in entries if user == e[2]]
    uid = _number(same[0][2] if same else user)
    gids = [each[2] for each in _entries(group, 3) if of_group == each[0]] or [of_group]
    gid = _number(gids[0] if of_group else same[0][3] if same else "0")
    if uid is None:
        return problem(path, f"/etc/passwd of the image has no user {shown(user)}")
    if gid is None:
        wanted = f"group {shown(of_group)}" if of_group else f"group of {shown(user)}"
        return problem(path, f"/etc/group of the image has no {wanted}")
    return Success(replace(image.runs, user=uid, group=gid))


def _entries(text: str, least: int) -> Iterable[list[str]]:
    """The lines of passwd(5) or group(5) that have so many fields."""
    found = (line.split(":") for line in text.splitlines())
    return (each for each in found if len(each) >= least)


def _number(text: str) -> int | None:
    is_id = re.fullmatch("[0-9]{1,10}", text) and int(text) <= HIGHEST_ID
    return int(text) if is_id else None


@of_mapping
def _configuration(read: Reader) -> Checked[ImageProgram]:
    given = Reader(read.path, _without_null(read.raw))
    return given.checked(given.take("config", _config, ImageProgram(runs=WhatRuns())))


def _without_null(raw: Raw) -> Raw:
    """What Go writes as null is not there."""
    return {key: value for key, value in raw.items() if value is not None}


@of_mapping
def _config(given: Reader) -> Checked[ImageProgram]:
    read = Reader(given.path, _without_null(given.raw))
    words = read.take("Entrypoint", _words, NO_WORDS) + read.take("Cmd", _words, NO_WORDS)
    cwd = read.take("WorkingDir", fields.text, "")
    signal = read.take("StopSignal", fields.text, "")
    user = read.take("User", fields.text, "")
    variables: Pairs = ()
    said: dict[object, object] = {
        "command": [*_command(words)] or None,
        "cwd": _directory(cwd),
        "stop_signal": signal_name(signal) if signal else None,
        "environment": dict(read.take("Env", _environment, variables)),
    }
    reader = Reader(read.path, _without_null(said))
    runs = read_what_runs(reader)
    read.problems += reader.problems
    return read.checked(ImageProgram(runs=runs, user=user))


def _directory(said: str) -> str | None:
    """As ``cwd`` is written, without the slashes and dots that mean nothing."""
    if not said.startswith("/"):
        return said or None
    path = fields.normal_path(said)
    return None if path == "/" else path


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words as liblxc takes them: as they are, or as a line for the guest's shell."""
    if not words or (FIRST.fullmatch(words[0]) and all(word and " " not in word for word in words)):
        return words
    return (*SHELL, BLANKS.join(["exec", *map(_quoted, words)]))


def _quoted(word: str) -> str:
    """One word of a line for the shell, without blanks."""
    if PLAIN.fullmatch(word):
        return word
    parts = ["'" + part.replace("'", "'\\''") + "'" for part in word.split(" ")]
    return BLANK.join(parts)


def _environment(path: str, raw: object) -> Checked[Pairs]:
    """Of a variable that is there twice, the last counts."""
    match _secret_words(path, raw):
        case Success(found):
            pairs = (each.partition("=") for each in found)
            return Success(tuple((name, value) for name, _, value in pairs))
        case Failure() as refused:
            return refused


_words = fields.each(fields.text)
_secret_words = fields.each(fields.secret_text)
