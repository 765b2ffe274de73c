"""liblxc, and the Python package that calls it."""

from pathlib import Path

from geats_host.drivers.binding import Binding, Library, sound
from geats_host.drivers.lxc.options import Options

LXC = Library(
    name="liblxc",
    package="lxc",
    script=Path(__file__).parent / "scripts" / "binding_child.py",
    memory="lxc-python.json",
    mend="install Debian's python3-lxc, or name a Python that has a sound one in"
    " drivers.lxc.python",
)


def binding_of(options: Options) -> Binding:
    """What calls liblxc; ``HostError`` if nothing on this host can."""
    return sound(LXC, options.python, options.state_dir)
