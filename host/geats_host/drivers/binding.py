"""Which Python calls a library: the first one whose binding to it is sound.

Theory of operation
-------------------
Children that call liblxc or libvirt are scripts that import the binding, and nothing of geats; so
they need not run in the Python that geats runs in. That one may have no binding (PyPI's are built
with a compiler, which few hosts have), or one that dies: PyPI's lxc 3.0.4 does in ``attach``, from
Python 3.13 on. Debian's own Python has those that Debian packages. Each Python is asked once, in a
child (``Library.script``). What was found is remembered in a file, and is valid as long as the
Python and the binding are the same files.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from geats_core.reading.values import dataclass
from geats_host.drivers import vm_files
from geats_host.drivers.options import AUTO as AUTO
from geats_host.errors import HostError
from geats_host.linux.run import run

OF_DEBIAN = "/usr/bin/python3"
ANSWERS_WITHIN_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library that is called through the Python ``package``; ``script`` asks a Python for it.

    What is found is remembered in the file ``memory``; ``mend`` says what to do if there is none.
    """

    name: str
    package: str
    script: Path
    memory: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A Python, and the binding that it has: where it is imported from, and why it is not sound."""

    python: str
    version: str = ""
    library: str = ""
    packages: str = ""
    fault: str = ""

    def script(self, script: Path) -> list[str]:
        """The command that runs *script*, whose first argument is where the binding is.

        To look at all that site-packages may contain takes longer than what most scripts do.
        """
        return [self.python, "-I", "-S", str(script), self.packages]

    def __str__(self) -> str:
        what = f"{self.python} (Python {self.version})" if self.version else self.python
        return f"{what}: {self.fault}" if self.fault else f"{what}, {self.library}"


def sound(library: Library, wanted: str, state_dir: Path) -> Binding:
    """The first sound binding; ``HostError`` says of each Python why it cannot be that one.

    *wanted* is the path of a Python, or ``auto``: the one that this runs in, then Debian's.
    """
    tried = []
    for found in candidates(library, wanted, state_dir, remember=True):
        if not found.fault:
            return found
        tried.append(str(found))
    raise HostError(f"no Python here can call {library.name}: {'; '.join(tried)}: {library.mend}")


def candidates(
    library: Library, wanted: str, state_dir: Path, *, remember: bool = False
) -> Iterator[Binding]:
    """Every Python that may be used, the preferred first, with what it has.

    *remember* writes down what was found: who only looks changes nothing.
    """
    for python in dict.fromkeys([sys.executable, OF_DEBIAN] if wanted == AUTO else [wanted]):
        if python == sys.executable and find_spec(library.package) is None:
            yield Binding(python=python, fault=f"has no package {library.package}")
        elif python:  # a program that has Python in it may not know of one
            known = _remembered(library, python, state_dir)
            yield known or _asked(library, python, state_dir, remember=remember)


def _remembered(library: Library, python: str, state_dir: Path) -> Binding | None:
    """What was found earlier, if it still holds."""
    found = _memory(library, state_dir).get(python)
    if not isinstance(found, dict) or not isinstance(files := found.get("files"), dict):
        return None
    try:
        same = all(stamp(path) == before for path, before in files.items())
    except OSError:
        return None
    is_whole = python in files and "library" in found
    return _parsed(python, found) if same and is_whole else None


def _asked(library: Library, python: str, state_dir: Path, *, remember: bool) -> Binding:
    argv = [python, "-I", str(library.script), *_own_packages(library, python)]
    try:
        found = json.loads(run(argv, timeout_s=ANSWERS_WITHIN_S))
        found["files"][python] = stamp(python)
    except HostError as error:
        return Binding(python=python, fault=str(error))
    except (ValueError, TypeError, LookupError, OSError):
        return Binding(python=python, fault="is not a Python that can be asked for its binding")
    if remember and found.get("packages"):  # one without a binding may have one the next time
        with suppress(OSError):  # then it is asked again the next time, which takes longer
            text = json.dumps({**_memory(library, state_dir), python: found})
            vm_files.write_atomically(state_dir, library.memory, text)
    return _parsed(python, found)


def _own_packages(library: Library, python: str) -> list[str]:
    """Where this process has the binding from: it may be told of places that others are not."""
    found = find_spec(library.package) if python == sys.executable else None
    if found is None or found.origin is None:
        return []
    is_module = found.submodule_search_locations is None
    return [str(Path(found.origin).parents[0 if is_module else 1])]


def stamp(path: str) -> list[int]:
    """By which a file is known to be the same as before; the scripts tell the same of theirs."""
    seen = os.stat(path)
    return [seen.st_size, seen.st_mtime_ns]


def _memory(library: Library, state_dir: Path) -> Mapping[str, object]:
    try:
        found = json.loads(vm_files.read(state_dir, library.memory) or "{}")
    except (OSError, ValueError):  # not for this user to read, or nothing that was written here
        return {}
    return found if isinstance(found, dict) else {}


def _parsed(python: str, found: Mapping[str, object]) -> Binding:
    def said(key: str) -> str:
        return str(found.get(key, ""))

    return Binding(
        python=python,
        version=said("version"),
        library=said("library"),
        packages=said("packages"),
        fault=said("fault"),
    )
