"""AppArmor, which confines containers: whether the kernel has it, and liblxc can use it."""

import shutil
from pathlib import Path

from geats_core.planning.plugin_facts import NoStart

ENABLED, INTERFACE = "sys/module/apparmor/parameters/enabled", "sys/kernel/security/apparmor"
PARSER = "apparmor_parser"  # liblxc has it load the profile that it generates for each container
PROFILE = "lxc.apparmor.profile"
FIX = "apt-get install apparmor"


def is_enforced(root: Path = Path("/")) -> bool:
    """Whether the kernel enforces AppArmor, and shows the interface that liblxc needs."""
    enabled = root / ENABLED
    there = enabled.exists() and (root / INTERFACE).exists()
    return there and enabled.read_text().startswith("Y")


def no_start() -> NoStart | None:
    """Why no container can be started: none without a profile of its own."""
    if not is_enforced() or shutil.which(PARSER) is not None:
        return None
    why = f"AppArmor is on in the kernel, and {PARSER} is not installed: {FIX}"
    return NoStart(why=why, unless=PROFILE)
