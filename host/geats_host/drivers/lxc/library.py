"""liblxc, and the Python package that calls it."""

from pathlib import Path

from geats_host.drivers.binding import Library

LXC = Library(
    name="liblxc",
    package="lxc",
    script=Path(__file__).parent / "scripts" / "binding_child.py",
    memory="lxc-python.json",
    mend="install Debian's python3-lxc, or name a Python that has a sound one in"
    " drivers.lxc.python",
)
