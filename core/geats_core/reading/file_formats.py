"""The formats of all files that geats writes. Each file has its format number; newer ones are not
read.

If a format changes, its number changes, and an older geats leaves such a file alone. A file without
a number has the first format, from before there were numbers.
"""

REGISTRY = 3  # the registry's tables
SPEC = 1  # a VM's definition in the registry
CONFIG = 1  # what the driver lxc writes at the head of a container's config, and in ``started``
MARKS = 1  # what pools remember of a volume: in files, tags, or properties
POOL = 1  # what tells a pool from others, in a file of its root
OWNER = 1  # which host has a VM in a shared pool
RECORDED = 10  # recorded hosts
PLAN = 9  # saved plans
OLDEST_PLAN = 2  # that is read: before, the fingerprint was that of the observations only
ARCHIVE = 4  # what stands in the archive of a VM
MACHINE = 1  # what a machine remembers of where its VMs are
TEMPLATES = 1  # which files of the store a template's source has
VERIFIED = 1  # what the files of templates were like when they were found sound
FORMAT = "format"  # the key that contains it, if a file has keys


def newer(found: object, known: int) -> str:
    """Why a file with the format *found* must not be used; empty if it may."""
    if found is None or (type(found) is int and 1 <= found <= known):
        return ""
    if type(found) is int and found > known:
        return f"was written by a newer geats (format {found}, and this one knows {known})"
    return f"has a format number that geats never used: {found!r}"
