"""What the drivers of libvirt can be told: which daemon, by which Python, and what is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from returns.result import Failure, Success

from geats_core.domains.flavours import FLAVOURS
from geats_core.domains.host_parts import USB, pci_address, usb_device
from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import Reader, each
from geats_core.reading.sizes import parse_size
from geats_host.drivers import options as driver_options
from geats_host.drivers.binding import AUTO
from geats_host.errors import Refused

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which daemon, by which Python, and how long it may take; ``settle_s`` is "a moment".

    ``media`` are the directories that the file of a cdrom must be in. ``raw_xml``: a VM may have
    elements of its own in ``hardware.xml``, which can give it anything of the host. ``devices`` are
    those of the host that VMs may get, by their PCI addresses, or by vendor and product on USB.
    A VM that moves as it runs is sent with ``bandwidth_mib`` MiB a second, at most; 0: no limit.
    """

    kind: str
    state_dir: Path
    uri: str = "qemu:///system"
    python: str = AUTO
    timeout_s: int = 30
    settle_s: float = 0.5
    media: tuple[str, ...] = ()
    raw_xml: bool = False
    devices: tuple[str, ...] = ()
    bandwidth_mib: int = 0

    @property
    def folder(self) -> Path:
        """Where each VM has a directory: see ``definition``."""
        return self.state_dir / "libvirt" / self.kind

    @property
    def log_folder(self) -> Path | None:
        """Where libvirt has QEMU write what it says; None if that is not known."""
        root = self._root
        return None if root is None else Path(root or "/var", "log", self._below)

    @property
    def run_folder(self) -> Path | None:
        """Where libvirt notes the pid of each QEMU; None if that is not known."""
        root = self._root
        return None if root is None else Path(root or "/", "run", self._below)

    @property
    def _below(self) -> str:
        return "qemu" if self._root else "libvirt/qemu"

    @property
    def _root(self) -> str | None:
        """Of a QEMU of this host: the root of its driver, or empty; None if it is none."""
        uri = urlsplit(self.uri)
        if (uri.scheme, uri.netloc) != ("qemu", "") or uri.path not in ("/system", "/embed"):
            return None
        return parse_qs(uri.query).get("root", [""])[0]


def read_options(kind: str, options: Mapping[object, object], state_dir: Path) -> Options:
    """The options of the driver *kind*; ``Refused`` with all that is wrong with them."""
    read = Reader("", options)
    checked = read.done(
        Options(
            kind=kind,
            state_dir=state_dir,
            uri=read.take("uri", fields.text, FLAVOURS[kind].uri),
            python=read.take("python", driver_options.python, AUTO),
            timeout_s=read.take("timeout", fields.positive_int, 30),
            settle_s=read.take("settle", driver_options.seconds, 0.5),
            media=read.take("media", each(fields.bind_source), ()),
            raw_xml=read.take("raw_xml", fields.boolean, False),
            devices=read.take("devices", each(_device), ()),
            bandwidth_mib=read.take("bandwidth", _mebibytes, 0),
        )
    )
    match checked:
        case Success(parsed):
            return parsed
        case Failure(found):
            raise Refused(*found)


def _device(path: str, raw: object) -> Checked[str]:
    """A PCI address, or vendor and product on USB."""
    is_usb = isinstance(raw, str) and USB.fullmatch(raw)
    return usb_device(path, raw) if is_usb else pci_address(path, raw)


def _mebibytes(path: str, raw: object) -> Checked[int]:
    """A size in whole MiB, which is what libvirt counts in."""
    match parse_size(path, raw):
        case Success(size) if size % MIB:
            return problem(path, f"must be whole MiB a second, such as 100MiB, got {shown(raw)}")
        case Success(size):
            return Success(size // MIB)
        case failure:
            return failure
