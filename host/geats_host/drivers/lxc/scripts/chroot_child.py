"""One file or one tree written or read in the root of a container that is off.

It is run as a script: ``python -I -S chroot_child.py ROOT ANSWER FILE``. Input, ANSWER and FILE are
as of ``attach_child``. Links in the root lead where they lead for the guest, as it is this
process's root too; nothing of the guest runs.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.append(f"{Path(__file__).parent}")
attach_child: Any = import_module("attach_child")


def main(argv: Sequence[str]) -> int:
    """Do what is asked, with another root."""
    root, answer, file = argv
    request = json.loads(sys.stdin.readline()) | {"answer": int(answer), "file": int(file)}
    os.umask(0o022)
    os.chroot(root)
    os.chdir("/")
    return int(attach_child.inside(request))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
