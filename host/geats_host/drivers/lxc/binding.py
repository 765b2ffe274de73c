"""Which Python calls liblxc: the first one whose binding is sound.

Theory of operation
-------------------
Children that call liblxc are scripts that import the binding, and nothing of geats; so they need
not run in the Python that geats runs in. That one may have no binding (PyPI's is built with a
compiler, which few hosts have), or one that dies: PyPI's lxc 3.0.4 does in ``attach``, from Python
3.13 on. Debian's own Python has Debian's ``python3-lxc``. Each Python is asked once, in a child
(``binding_child``). What was found is remembered in a file, and holds as long as the Python and the
binding are the same files.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from geats_host.drivers.lxc import container_files
from geats_host.drivers.lxc.scripts.binding_child import stamp
from geats_host.errors import HostError
from geats_host.linux.run import run

AUTO = "auto"
OF_DEBIAN = "/usr/bin/python3"
SCRIPT = Path(__file__).parent / "scripts" / "binding_child.py"
MEMORY = "lxc-python.json"
ANSWERS_WITHIN_S = 30
MEND = "install Debian's python3-lxc, or name a Python that has a sound one in drivers.lxc.python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A Python, and the binding that it has: where it is imported from, and why it is not sound."""

    python: str
    version: str = ""
    liblxc: str = ""
    packages: str = ""
    fault: str = ""

    def script(self, script: Path) -> list[str]:
        """The command that runs *script*, whose first argument is where the binding is.

        To look at all that site-packages may hold takes longer than what most scripts do.
        """
        return [self.python, "-I", "-S", str(script), self.packages]

    def __str__(self) -> str:
        what = f"{self.python} (Python {self.version})" if self.version else self.python
        return f"{what}: {self.fault}" if self.fault else f"{what}, liblxc {self.liblxc}"


def sound(wanted: str, state_dir: Path) -> Binding:
    """The first sound binding; ``HostError`` says of each Python why it cannot be that one.

    *wanted* is the path of a Python, or ``auto``: the one that this runs in, then Debian's.
    """
    tried = []
    for found in candidates(wanted, state_dir, remember=True):
        if not found.fault:
            return found
        tried.append(str(found))
    raise HostError(f"no Python here can call liblxc: {'; '.join(tried)}: {MEND}")


def candidates(wanted: str, state_dir: Path, *, remember: bool = False) -> Iterator[Binding]:
    """Every Python that may be used, the preferred first, with what it has.

    *remember* writes down what was found: who only looks changes nothing.
    """
    for python in dict.fromkeys([sys.executable, OF_DEBIAN] if wanted == AUTO else [wanted]):
        if python == sys.executable and find_spec("lxc") is None:
            yield Binding(python=python, fault="has no package lxc")
        elif python:  # a program that has Python in it may not know of one
            yield _remembered(python, state_dir) or _asked(python, state_dir, remember)


def _remembered(python: str, state_dir: Path) -> Binding | None:
    """What was found earlier, if it still holds."""
    found = _memory(state_dir).get(python)
    if not isinstance(found, dict) or not isinstance(files := found.get("files"), dict):
        return None
    try:
        same = all(stamp(path) == before for path, before in files.items())
    except OSError:
        return None
    return _parsed(python, found) if same and python in files else None


def _asked(python: str, state_dir: Path, remember: bool) -> Binding:
    argv = [python, "-I", str(SCRIPT), *_own_packages(python)]
    try:
        found = json.loads(run(argv, timeout_s=ANSWERS_WITHIN_S))
        found["files"][python] = stamp(python)
    except HostError as error:
        return Binding(python=python, fault=str(error))
    except (ValueError, TypeError, LookupError, OSError):
        return Binding(python=python, fault="is not a Python that can be asked for its binding")
    if remember and found.get("packages"):  # one without a binding may have one the next time
        with suppress(OSError):  # then it is asked again the next time, which takes longer
            text = json.dumps({**_memory(state_dir), python: found})
            container_files.write_atomically(state_dir, MEMORY, text)
    return _parsed(python, found)


def _own_packages(python: str) -> list[str]:
    """Where this process has the binding from: it may be told of places that others are not."""
    found = find_spec("lxc") if python == sys.executable else None
    return [] if found is None or found.origin is None else [str(Path(found.origin).parents[1])]


def _memory(state_dir: Path) -> Mapping[str, object]:
    text = container_files.read(state_dir, MEMORY) if os.access(state_dir, os.R_OK) else None
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _parsed(python: str, found: Mapping[str, object]) -> Binding:
    def said(key: str) -> str:
        return str(found.get(key, ""))

    return Binding(
        python=python,
        version=said("version"),
        liblxc=said("liblxc"),
        packages=said("packages"),
        fault=said("fault"),
    )
