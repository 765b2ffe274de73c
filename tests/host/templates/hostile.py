"""Archives that try to write to the host, for every kind of source."""

import os

from tests.host.templates.archives import Members, device, file, folder, hard_link, link

# tar takes the folder that follows a link for the link, where the kernel gave it the inode that was
# the link's, and complains at the end; if another process was given that, it is just a folder.
EITHER = None


def hostile_archives(victim: str) -> dict[str, tuple[Members, Members | None, bool | None]]:
    """Base, overlay, and whether installing them must fail; ``../../victim`` is the victim too."""
    up = "../../victim"
    through = (folder("./x"), file("./x/passwd"))
    return {
        "dots": ((file("../../victim/etc/passwd"),), None, True),
        "dots within": ((folder("a"), file("a/../../../victim/etc/passwd")), None, True),
        "absolute name": ((file(f"{victim}/etc/passwd"),), None, False),
        "absolute link": ((link("x", f"{victim}/etc"), *through), None, EITHER),
        "relative link": ((link("x", f"{up}/etc"), *through), None, EITHER),
        "link of an earlier run": ((link("x", f"{victim}/etc"),), through, True),
        "relative link, earlier run": ((link("x", f"{up}/etc"),), through, True),
        "no folder entry": ((link("x", f"{victim}/etc"),), (file("x/passwd"),), True),
        "new name": ((link("x", f"{victim}/etc"),), (file("x/new"),), True),
        "two links": ((link("a", f"{victim}"), link("x", "a/etc")), (file("x/passwd"),), True),
        "folder through link": ((link("x", victim),), (folder("x/new"),), True),
        "mode through link": ((link("x", victim),), (folder("x/etc", mode=0o777),), True),
        "link to a file": ((link("x", f"{victim}/etc/passwd"),), (file("x", "in"),), False),
        "hard link": ((hard_link("x", f"{victim}/etc/passwd"), file("x")), None, True),
        "hard link by dots": ((hard_link("x", f"{up}/etc/passwd"), file("x")), None, True),
        "hard link by link": (
            (link("a", f"{victim}/etc"),),
            (hard_link("x", "a/passwd"),),
            True,
        ),
        "top is a link": ((file("a"), link("./", victim), file("./etc/passwd")), None, True),
        "top is a link first": ((link(".", victim), file("./etc/passwd")), None, True),
        "rootfs link twice": (
            (folder("rootfs"), link("rootfs", "/"), file(f"rootfs{victim}/etc/passwd")),
            None,
            True,
        ),
        "device": ((device("./etc-null"),), None, True),
        "process root": (
            (link("x", f"/proc/1/root{victim}/etc"),),
            (file("x/passwd"),),
            True,
        ),
        "own process root": (
            (link("x", f"/proc/{os.getpid()}/root{victim}/etc"),),
            (file("x/passwd"),),
            True,
        ),
        "own working directory": (
            (link("x", f"/proc/{os.getpid()}/cwd"),),
            (file("x/geats-was-here"),),
            True,
        ),
    }
