"""What a layer of an OCI image takes away from those below it, before it is unpacked over them.

``.wh.NAME`` hides NAME of the layers below, ``.wh..wh..opq`` all that they have in its folder; see
https://github.com/opencontainers/image-spec/blob/main/layer.md. What a layer has as something else
than those below, a folder instead of a link to one say, is taken away as well. All of it is reached
as a process would whose root directory is the target: no link leads out of that.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from geats_host.errors import HostError
from geats_host.guest_trees.guest_files import openat2
from geats_host.guest_trees.trees import remove
from geats_host.templates.tarballs import Member, members

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
NO_WHITEOUTS = ("--no-anchored", f"--exclude={WHITEOUT}*", "--anchored")
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def make_way(layer: str, target: Path) -> None:
    """Take away from *target* what the archive *layer* hides or replaces."""
    try:
        if not os.listdir(target):
            return
        root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{target}: {error.strerror}") from None
    try:
        for member in members(layer):
            _make_way_for(root, member)
    except OSError as error:
        raise HostError(f"{target}: {error.strerror} ({error.filename})") from None
    finally:
        os.close(root)


def _make_way_for(root: int, member: Member) -> None:
    names = [name for name in os.fsdecode(member.name).split("/") if name not in ("", ".")]
    if not names or ".." in names:
        return  # the top itself; or tar refuses it
    folder, name = "/".join(names[:-1]) or ".", names[-1]
    with suppress(FileNotFoundError, NotADirectoryError):
        parent = openat2(root, folder, DIRECTORY)
        try:
            if name == OPAQUE:
                for each in os.listdir(parent):
                    remove(each, parent)
            elif name.startswith(WHITEOUT):
                _hide(name.removeprefix(WHITEOUT), parent)
            elif _is_folder(name, parent) != (member.kind == "d"):
                remove(name, parent)
        finally:
            os.close(parent)


def _hide(name: str, parent: int) -> None:
    if name not in ("", ".", "..") and not name.startswith(WHITEOUT):
        remove(name, parent)


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
