"""The libvirt daemon: each question is asked by a child, which is killed when its time is up."""

import json
from dataclasses import dataclass
from pathlib import Path

from geats_host.drivers import binding
from geats_host.drivers.binding import Binding, Library
from geats_host.drivers.libvirt.children import children_of
from geats_host.drivers.libvirt.options import Options
from geats_host.errors import HostError

SCRIPTS = Path(__file__).parent / "scripts"
CHILD = SCRIPTS / "child.py"
LIBVIRT = Library(
    name="libvirt",
    package="libvirt",
    script=SCRIPTS / "binding_child.py",
    memory="libvirt-python.json",
    mend="install Debian's python3-libvirt, or name a Python that has it in the driver's option"
    " python",
)


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon that the options name."""

    options: Options

    @property
    def binding(self) -> Binding:
        """What calls libvirt; ``HostError`` if nothing on this host can."""
        return binding.sound(LIBVIRT, self.options.python, self.options.state_dir)

    def ask(
        self, do: str, name: str | None, *, within_s: float | None = None, **more: object
    ) -> dict[str, object]:
        """The child's answer; ``HostError`` says why there is none."""
        request = json.dumps({"uri": self.options.uri, "do": do, "name": name, **more})
        timeout_s = self.options.timeout_s if within_s is None else within_s
        children = children_of(self.binding.script(CHILD))
        answer = json.loads(children.ask(request, timeout_s, waits=within_s is None))
        if not isinstance(answer, dict) or "failed" in answer:
            raise HostError(f"{answer.get('failed') or 'libvirt does not say why'}")
        return answer

    def xml(self, name: str) -> str:
        """The definition that libvirt has of a domain; empty if it has none."""
        return self._of(name, "xml")

    def live_xml(self, name: str) -> str:
        """The XML of a domain that runs; empty if it does not."""
        return self._of(name, "live")

    def _of(self, name: str, key: str) -> str:
        found = self.ask("observe", name)["domains"]
        return f"{found[0][key]}" if isinstance(found, list) and found else ""
