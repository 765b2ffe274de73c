"""The formats of all that geats keeps in files. Each file says its own; a newer one is not read.

A number changes with the format that it names, and an older geats then leaves such a file alone. A
file that says none is of the first one, from before there were numbers.
"""

REGISTRY = 3  # the registry's tables
SPEC = 1  # a VM's definition in the registry, and in what drivers keep of it
FORMAT = "format"  # the key that holds it, where a file has keys


def newer(found: object, known: int) -> str:
    """Why a file that says the format *found* must not be used; empty where it may."""
    if found is None or (type(found) is int and 1 <= found <= known):
        return ""
    if type(found) is int and found > known:
        return f"was written by a newer geats (format {found}, and this one knows {known})"
    return f"says a format that geats never had: {found!r}"
