"""What an archive of a VM says of it: its manifest, and whether a VM can be read from that."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from hashlib import sha256

from returns.result import Failure, Success

from geats_core.planning.host_facts import HostFacts
from geats_core.plans.codec import decode, encode
from geats_core.reading import file_formats
from geats_core.reading.checked import Checked, Code, Problem, problem
from geats_core.reading.shown_lines import shown_line
from geats_core.reading.sizes import format_size
from geats_core.reading.values import dataclass
from geats_core.vm.lxc_config import unwritable
from geats_core.vm.spec import RootKind, VMSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedVolume:
    """A volume's part of an archive: the sha256 of it, and its size in bytes, as it is packed.

    ``disk_bytes`` is the size of the disk that it contains; None if it contains a tree of files.
    """

    name: str
    sha256: str
    size_bytes: int
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive contains: the VM's spec, its volumes, and the template of its root.

    ``taken_s`` is when it was written, in seconds since the epoch. ``by_hand`` are the lines that a
    person added to the driver's definition, ``remembered`` is what its driver keeps of its machine
    (see ``machine_memory``), by what it is.
    """

    spec: VMSpec
    template: str
    volumes: tuple[PackedVolume, ...]
    taken_s: int
    version: int = file_formats.ARCHIVE
    by_hand: tuple[str, ...] = ()
    remembered: Mapping[str, str] = field(default_factory=dict)


def manifest_to_json(manifest: Manifest) -> str:
    """As text, with its own checksum: ``manifest_from_json`` reads it."""
    plain = encode(manifest)
    return json.dumps({"manifest": plain, "sha256": _digest(plain)}, indent=1) + "\n"


def manifest_from_json(path: str, text: str) -> Checked[Manifest]:
    """Read the manifest of an archive; report everything that is wrong with it."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        return problem(path, f"is not JSON: {error}")
    match raw:
        case {"manifest": {"version": int(version)} as plain, "sha256": str(digest)}:
            pass
        case _:
            return problem(path, "is not written by geats")
    why = file_formats.newer(version, file_formats.ARCHIVE)
    if why:
        return problem(path, why)
    if digest != _digest(plain):
        return problem(path, "has another checksum than it should: the file was changed")
    match decode(Manifest, path, plain):
        case Success(manifest):
            wrong = tuple(_inconsistent(path, manifest))
            return Failure(wrong) if wrong else Success(manifest)
        case Failure() as refused:
            return refused


def _inconsistent(path: str, manifest: Manifest) -> Iterable[Problem]:
    packed = sorted(volume.name for volume in manifest.volumes)
    if packed != sorted(volume.name for volume in manifest.spec.volumes):
        yield Problem(path, "its volumes are not those of its VM")
    for line in unwritable(manifest.by_hand):
        yield Problem(path, f"it has a line that no config can hold: {shown_line(line)!r}")


def digest_of(manifest: Manifest) -> str:
    """The checksum of a manifest: of two archives that are alike in all they say, the same."""
    return _digest(encode(manifest))


def _digest(plain: object) -> str:
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def template_of(spec: VMSpec, manifest: Manifest) -> str:
    """From which template the root volume of a copy counts as installed."""
    kept = spec.template == manifest.spec.template
    return manifest.template if kept else spec.template


def other_volumes(spec: VMSpec, manifest: Manifest) -> Iterable[Problem]:
    wanted, packed = [sorted(each.name for each in s.volumes) for s in (spec, manifest)]
    if wanted != packed:
        message = f"must be those of the archive ({', '.join(packed)}), got {', '.join(wanted)}"
        yield Problem(f"{spec.name}.volumes", message)


def other_kinds(spec: VMSpec, manifest: Manifest, facts: HostFacts) -> Iterable[Problem]:
    """Trees are not written to disks, nor disks to directories or to what is smaller."""
    volumes = {volume.name: volume for volume in spec.volumes}
    for packed in manifest.volumes:
        if packed.name not in volumes:
            continue
        volume, disk_bytes = volumes[packed.name], packed.disk_bytes
        offers, size_bytes = facts.pool(volume.pool).offers, volume.size_bytes
        path = f"{spec.name}.volumes[{volume.name}]"
        kind = RootKind.TREE if disk_bytes is None else RootKind.DISK
        if offers is not None and not offers.takes(kind):
            message = f"is a {kind} in the archive, and the pool {volume.pool!r} offers a {offers}"
            yield Problem(f"{path}.pool", message, Code.REFUSED)
        if disk_bytes is not None and size_bytes is not None and size_bytes < disk_bytes:
            least = f"must be at least {format_size(disk_bytes)}, that of the disk in the archive"
            yield Problem(f"{path}.size", least, Code.REFUSED)
