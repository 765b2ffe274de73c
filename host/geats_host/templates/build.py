"""The source ``build``: a command that makes a tarball, which is run once and its result kept."""

import os
import shutil
import stat
from pathlib import Path

from geats_core.declared.template import OUTPUT, Build
from geats_core.foreign.simplestreams import Form
from geats_host.errors import HostError
from geats_host.linux.run import run
from geats_host.templates.digests import sha256_of
from geats_host.templates.store import Store, record_name
from geats_host.templates.stored_layers import (
    StoredLayer,
    check_file,
    kept,
    kept_or_made,
    problems_of_kept,
)

NAME = "output.tar"  # a command may add to it, as in {output}.zst
GRACE_S = 10
TIMED_OUT = 124  # see timeout(1)
BY_TIMEOUT = "timeout failed"


def record_of(source: Build) -> str:
    """Names what the store has of it: another command has another."""
    return record_name("build", *source.command)


def problems(source: Build, store: Store) -> tuple[str, ...]:
    """All that is wrong with what was built; before that, whether the command can be run."""
    found = kept(store, record_of(source))
    if found is not None:
        return problems_of_kept(store, found)
    if shutil.which(source.command[0]) is None:
        return (f"cannot be run: there is no program {source.command[0]!r}",)
    return ()


def ready(source: Build, store: Store, *, refresh: bool) -> StoredLayer:
    """What was built; if there is nothing, or with *refresh*, run the command."""

    def built(_: StoredLayer | None) -> StoredLayer:
        return Form.TAR, _build(source, store)

    return kept_or_made(store, record_of(source), built, refresh=refresh)


def _build(source: Build, store: Store) -> str:
    with store.scratch() as scratch:
        command = [word.replace(OUTPUT, f"{scratch / NAME}") for word in source.command]
        _run(source, command)
        path = _only_file(scratch, source)
        check_file(f"{path}", Form.TAR)
        sha256 = sha256_of(f"{path}")
        store.keep(path, sha256)
    return sha256


def _run(source: Build, command: list[str]) -> None:
    limit = ["timeout", f"--kill-after={GRACE_S}", f"{source.timeout_s}"]  # children, too
    try:
        run([*limit, *command], timeout_s=source.timeout_s + 3 * GRACE_S)
    except HostError as error:
        said = str(error).replace(BY_TIMEOUT, f"{command[0]} failed", 1)
        if f"exit code {TIMED_OUT}:" in said:
            said = f"{command[0]} did not end within {source.timeout_s} s"
        raise HostError(said) from None


def _only_file(scratch: Path, source: Build) -> Path:
    """What the command left, which is a file of its own and no link to another."""
    found = [path for path in scratch.iterdir() if path.name.startswith(NAME)]
    if len(found) != 1 or not stat.S_ISREG(os.lstat(found[0]).st_mode):
        raise HostError(f"{source.command[0]} must leave one file at {OUTPUT}, got {len(found)}")
    return found[0]
