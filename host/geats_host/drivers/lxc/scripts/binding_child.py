"""Tells which binding to liblxc a Python has: run by ``binding``, as ``python -I SCRIPT [FOLDER]``.

It imports nothing of geats, and runs in whichever Python is asked. FOLDER is one more place to
look for packages in. Its output is one object of JSON:

- ``version`` of this Python, and ``library``, with its own version;
- ``packages``, the folder that the binding is imported from, and ``files`` of it, with their sizes
  and times;
- ``fault``, why the binding is not sound, or empty.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.util import find_spec

FORKS_AS = b"PyOS_BeforeFork"  # a name that a binding which forks rightly has among its imports
NEEDED_FROM = (3, 13)  # Python that dies in a fork which was not announced: python3-lxc issue 35


def main(argv: Sequence[str]) -> int:
    """Print what there is."""
    sys.path += argv
    found: dict[str, object] = {"version": platform.python_version(), "files": {}}
    try:
        found |= _binding()
    except ImportError as error:  # not there, or of another liblxc or Python
        found["fault"] = str(error)
    print(json.dumps(found))
    return 0


def _binding() -> dict[str, object]:
    import lxc

    module = find_spec("_lxc")
    if module is None or module.origin is None or lxc.__file__ is None:
        raise ImportError("the package lxc has no compiled part")
    with open(module.origin, "rb") as file:
        sound = sys.version_info < NEEDED_FROM or FORKS_AS in file.read()
    fault = (
        "" if sound else f"its lxc dies in attach from Python {'.'.join(map(str, NEEDED_FROM))} on"
    )
    return {
        "library": f"liblxc {lxc.version}",
        "packages": os.path.dirname(os.path.dirname(lxc.__file__)),
        "files": {path: stamp(path) for path in (lxc.__file__, module.origin)},
        "fault": fault,
    }


def stamp(path: str) -> list[int]:
    """By which a file is known to be the same as before."""
    seen = os.stat(path)
    return [seen.st_size, seen.st_mtime_ns]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
