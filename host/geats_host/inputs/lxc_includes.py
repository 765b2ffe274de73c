"""What configs of LXC name of this host: files that they include, sources of mounts, cgroups."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from geats_core.foreign.lxc_lines import Files, OnHost, all_lines, bounded, included_by, own_lines
from geats_core.foreign.lxc_mounts import ENTRY, entry_of
from geats_core.vm.lxc_config import COMMON, USERNS
from geats_host.linux.cgroup_version import is_v2

LARGEST_BYTES = 1 << 20  # of one file, of all, and of what an include comes to
MOST = 256  # files
ENDING = ".conf"  # of the files of a directory that liblxc reads


def on_host(texts: Iterable[str]) -> OnHost:
    """What the configs with these *texts* name, as it is on this host now."""
    includes: dict[str, Files] = {}
    texts = [*texts]
    wanted = [COMMON, USERNS, *(each for text in texts for each in included_by(text))]
    left = LARGEST_BYTES
    while wanted and len(includes) < MOST:
        value = wanted.pop(0)
        files = None if value in includes else _files(value, left)
        if files is not None:
            includes[value] = files
            left -= sum(len(text) for _, text in files)
            wanted += [each for _, text in files for each in included_by(text)]
    includes = dict(bounded(includes, LARGEST_BYTES))
    lines = (line for text in texts for line in all_lines([*own_lines(text)], includes))
    entries = (entry_of(line.value, ()) for line in lines if line.key == ENTRY)
    sources = {entry.source for entry in entries if entry is not None}
    kinds = {each: os.path.isdir(each) for each in sources if os.path.exists(each)}
    standard = includes.get(COMMON, ())
    return OnHost(
        includes=includes,
        standard="".join(text for _, text in standard),
        kinds=kinds,
        cgroup2=is_v2(),
    )


def _files(value: str, most_bytes: int) -> Files | None:
    """The files of an include, as liblxc reads them; None if it is not there, or too much.

    Of a directory that is not there, and is named as one, liblxc reads nothing.
    """
    path = Path(value)
    if not path.is_absolute():
        return None
    try:
        if path.is_dir():
            with os.scandir(path) as entries:  # in the order that the directory has
                names = [entry.name for entry in entries]
            paths = [path / name for name in names if is_read(name)]
        else:
            paths = [] if value.endswith("/") else [path]
        return tuple((f"{each}", _text(each, most_bytes)) for each in paths)
    except (OSError, ValueError):
        return None


def is_read(name: str) -> bool:
    """Whether liblxc reads a file of this name in a directory that is included."""
    return not name.startswith(".") and name.endswith(ENDING) and len(name) > len(ENDING)


def _text(path: Path, most_bytes: int) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISCHR(kind):  # as /dev/null is, in some configs
            raise ValueError(f"{path} is no file")
        held = opened.read(most_bytes + 1) if stat.S_ISREG(kind) else b""
    if len(held) > most_bytes:
        raise ValueError(f"{path} is too large")
    return held.decode(errors="replace")
