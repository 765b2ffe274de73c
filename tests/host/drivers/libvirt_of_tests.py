"""A driver of libvirt over libvirt's own driver for tests: no daemon, no QEMU, milliseconds.

That driver, ``test:///default``, forgets all once nobody is connected, and knows domains of one
type only, ``test``. So one child stays connected, and what it is told of the type of the driver is
of ``test`` there, and back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pytest

from geats_host.drivers import binding
from geats_host.drivers.binding import AUTO
from geats_host.drivers.libvirt import daemon
from geats_host.drivers.libvirt.children import Child
from geats_host.drivers.libvirt.daemon import LIBVIRT, SCRIPTS
from geats_host.errors import HostError

URI = "test:///default"
CHILD = """
import sys
sys.path += [*sys.argv[1:]]
import libvirt
stays = libvirt.open("{uri}")
for domain in stays.listAllDomains():  # it has one of its own
    domain.destroy()
    domain.undefine()
import libvirt_calls
libvirt_calls.IDLE_S = 600
sys.exit(libvirt_calls.main())
"""


@dataclass(slots=True)
class OneChild:
    """In place of ``Children``: each request is for the same one, which knows what was before."""

    kind: str
    child: Child
    one_at_a_time: Lock = field(default_factory=Lock)

    def ask(self, request: str, timeout_s: float, *, waits: bool = True) -> str:
        """Its answer."""
        with self.one_at_a_time:
            answer = self.child.ask(
                _renamed(request, '\\"', self.kind, "test"), time.monotonic() + timeout_s
            )
        if answer is None:
            raise HostError(f"no answer within {timeout_s:g} s")
        return _renamed(answer, "'", "test", self.kind)


def _renamed(text: str, quote: str, old: str, new: str) -> str:
    return text.replace(f"<domain type={quote}{old}{quote}", f"<domain type={quote}{new}{quote}")


@contextmanager
def libvirt_of_tests(kind: str, folder: Path) -> Iterator[OneChild]:
    """A libvirt without domains, for a driver of this process; skips where there is no libvirt."""
    try:
        found = binding.sound(LIBVIRT, AUTO, folder)
    except HostError as error:
        pytest.skip(f"{error}")
    script = folder / "child.py"
    script.write_text(CHILD.format(uri=URI))
    child = Child.of([*found.script(script), f"{SCRIPTS}"])
    one = OneChild(kind, child)
    with pytest.MonkeyPatch.context() as patched:
        asks: Callable[[object], OneChild] = lambda _: one  # noqa: E731
        patched.setattr(daemon, "children_of", asks)
        try:
            yield one
        finally:
            child.end()
