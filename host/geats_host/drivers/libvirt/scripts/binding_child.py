"""Tells which binding to libvirt a Python has: run by ``binding``, ``python -I SCRIPT [FOLDER]``.

It imports nothing of geats, and runs in whichever Python is asked. FOLDER is one more place to
look for packages in. Its output is one object of JSON: ``version`` of this Python; ``library``,
with its own version; ``packages``, the folder that the binding is imported from; ``files`` of it,
with their sizes and times; and ``fault``, why there is none, or empty.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any


def main(argv: Sequence[str]) -> int:
    """Print what there is."""
    sys.path += argv
    found: dict[str, object] = {"version": platform.python_version(), "files": {}}
    try:
        found |= _binding()
    except ImportError as error:  # not there, or of another libvirt or Python
        found["fault"] = str(error)
    print(json.dumps(found))
    return 0


def _binding() -> dict[str, object]:
    libvirt: Any = import_module("libvirt")
    number, file = libvirt.getVersion(), libvirt.__file__
    version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
    seen = os.stat(file)
    return {
        "library": f"libvirt {version}",
        "packages": os.path.dirname(file),
        "files": {file: [seen.st_size, seen.st_mtime_ns]},
        "fault": "",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
