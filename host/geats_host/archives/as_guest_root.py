"""Runs a program as root of a user namespace: ``python -I as_guest_root.py DESCRIPTOR ARGV...``.

DESCRIPTOR is an open file of the namespace. The program reads and writes the ids that a guest of
that namespace sees. It is a script, because only a process with one thread can enter a user
namespace. It does not need /proc, which is missing where writing is confined.
"""

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000  # linux/sched.h


def main(argv: list[str]) -> None:
    """Enter the namespace, become its root, and go on as the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(int(argv[0]), CLONE_NEWUSER) != 0:
        raise SystemExit(f"setns: {os.strerror(ctypes.get_errno())}")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.execvp(argv[1], argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
