"""Programs of the host that VMs run as they start and end: nobody but root can exchange them."""

import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from geats_core.containers.hooks import Hook
from geats_core.reading.checked import Code, Problem
from geats_core.reading.paths import allowed_by, is_within
from geats_core.vm.spec import VMSpec
from geats_host.planning.binds import unsafe


def problems(spec: VMSpec, allowed: Collection[str]) -> Iterable[Problem]:
    """What is wrong with the hooks of *spec*, where only those within *allowed* may run."""
    for hook in spec.hooks:
        try:
            why = _wrong_with(hook, allowed) if hook.is_of_host else ""
        except OSError as error:
            why = f"{hook.program!r} cannot be run: {error.strerror}"
        if why:
            yield Problem(f"hooks.{hook.kind}", why, Code.REFUSED)


def _wrong_with(hook: Hook, allowed: Collection[str]) -> str:
    """Nothing is said of what is elsewhere, not even whether it is there.

    A link is not followed: who may write where it is could exchange it after this look.
    """
    program = Path(hook.program)
    tops = [top for top in allowed if is_within(hook.program, [top])]
    if not tops:
        return f"{hook.program!r} {allowed_by('hook_directories', allowed)}"
    real = os.path.realpath(program)
    if real not in {os.path.realpath(top) + hook.program.removeprefix(top) for top in tops}:
        return f"{hook.program!r} leads to {real!r}: links below hook_directories are not followed"
    mode = program.stat().st_mode
    if not stat.S_ISREG(mode) or not mode & stat.S_IXUSR:
        return f"{hook.program!r} is no program"
    return unsafe(hook.program)
