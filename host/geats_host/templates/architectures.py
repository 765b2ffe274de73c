"""What this host's processor is called in images: by Go (as OCI has it), and by Debian."""

import platform

NAMES = {
    "x86_64": ("amd64", "amd64"),
    "aarch64": ("arm64", "arm64"),
    "armv7l": ("arm", "armhf"),
    "i686": ("386", "i386"),
    "ppc64le": ("ppc64le", "ppc64el"),
}


def oci_arch() -> str:
    """The name that the OCI has for it."""
    return NAMES.get(platform.machine(), (platform.machine(),) * 2)[0]


def debian_arch() -> str:
    """The name that Debian, and so image servers, have for it."""
    return NAMES.get(platform.machine(), (platform.machine(),) * 2)[1]
