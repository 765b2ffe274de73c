"""libvirt, and the Python package that calls it."""

from pathlib import Path

from geats_host.drivers.binding import Library

LIBVIRT = Library(
    name="libvirt",
    package="libvirt",
    script=Path(__file__).parent / "scripts" / "binding_child.py",
    memory="libvirt-python.json",
    mend="install Debian's python3-libvirt, or name a Python that has it in the driver's option"
    " python",
)
