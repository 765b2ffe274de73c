"""What is kept of a VM beside libvirt's definition, in a directory for each.

Theory of operation
-------------------
libvirt shows what is noted in a domain to any user of the host, and a spec may contain secrets. So
a domain has the digest of its spec only, made with a key of the host, and ``spec.DIGEST`` contains
the text: of what is defined, and of what the VM was started with. ``record`` contains what was
written and its seal (see ``geats_core.domains.embedding``). Until libvirt has given back what it
made of it, there is no seal; should that be interrupted, ``record.new`` is the one that fits what
libvirt has.
"""

import json
import os
import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from returns.result import Failure, Success

from geats_core.domains.domain_devices import DomainFacts
from geats_core.domains.domain_xml import domain_xml, note_xml, spec_digest
from geats_core.domains.elements import is_marked
from geats_core.domains.embedding import DomainSeen, noted, read_domain, seal_of
from geats_core.domains.machine import Machine
from geats_core.vm.parse import parse_text, to_text
from geats_core.vm.spec import VMSpec
from geats_host.drivers import vm_files

RECORD, NEW_RECORD = "record", "record.new"
SPEC = "spec."  # and the digest of the spec in it
SEED = "seed.img"
KEY, KEY_BYTES = "_key", 32  # beside the folders of VMs: no VM can have that name
PASSED = 0o711  # QEMU goes through to the seed, and lists nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What geats wrote: the domain without what is by hand, that, and the seal once it is known.

    ``back`` is the SHA-256 of what libvirt gave back, in which ``by_hand`` was found: as long as
    that is the same, nobody needs to look again.
    """

    wanted: str
    keep: tuple[str, ...] = ()
    seal: frozenset[str] | None = None
    back: str = ""
    by_hand: tuple[str, ...] = ()


def on_trial(spec: VMSpec, machine: Machine, facts: DomainFacts, keep: tuple[str, ...]) -> Record:
    """The record of what is to be written, of which nobody knows yet what libvirt makes."""
    marked = [each for each in keep if is_marked(each)]
    return Record(wanted=domain_xml(spec, machine, facts, marked), keep=keep)


def sealed(back: str, wanted: str, keep: tuple[str, ...]) -> Record:
    """The record of what was *wanted*, with what libvirt gave *back* for it."""
    seal = _seal(back, wanted, keep)
    seen = _with_marked(read_domain(back, wanted, seal), keep)
    same = sha256(back.encode()).hexdigest() if seen.as_written else ""
    return Record(wanted=wanted, keep=keep, seal=seal, back=same, by_hand=seen.by_hand)


def _seal(back: str, wanted: str, keep: tuple[str, ...]) -> frozenset[str]:
    """What says how it stands to an element of geats is in what was *wanted*."""
    return seal_of(back, wanted, [each for each in keep if not is_marked(each)])


def _with_marked(seen: DomainSeen, keep: tuple[str, ...]) -> DomainSeen:
    return replace(seen, by_hand=(*seen.by_hand, *filter(is_marked, keep)))


def kept(folder: Path) -> tuple[str, ...]:
    """What is kept of the domain that is defined, beside what geats writes; if nobody knows,
    nothing."""
    record = _record(vm_files.read(folder, RECORD))
    return () if record is None else record.keep


def key_of(folder: Path) -> str:
    """The key of this host for digests of specs; empty as long as no spec was written."""
    return vm_files.read(folder.parent, KEY) or ""


def _make_key(folder: Path) -> None:
    """Durably, as no spec is found without it. Of two processes that do so at once, one wins."""
    if key_of(folder):
        return
    key = secrets.token_hex(KEY_BYTES)
    aside = f"{KEY}.{secrets.token_hex(4)}"  # whose name tells nothing of the key
    vm_files.write_atomically(folder.parent, aside, key)
    with suppress(FileExistsError):
        os.link(folder.parent / aside, folder.parent / KEY)
    os.unlink(folder.parent / aside)
    vm_files.sync(folder.parent)


def digest_of(folder: Path, spec: VMSpec) -> str:
    """By which *spec* is found, once it is written."""
    return spec_digest(spec, key_of(folder))


def write_spec(folder: Path, spec: VMSpec) -> None:
    """Keep *spec*, to be found by its digest."""
    vm_files.make_folder(folder, PASSED)
    _make_key(folder)
    vm_files.write_atomically(folder, f"{SPEC}{digest_of(folder, spec)}", to_text(spec))


def noted_of(folder: Path, spec: VMSpec) -> str:
    """What is to be noted in a domain that runs by *spec*, which is kept then."""
    write_spec(folder, spec)
    return note_xml(spec, key_of(folder))


def spec_of(folder: Path, digest: str) -> VMSpec | None:
    """The spec of that digest; None if it is not kept, or was changed."""
    text = vm_files.read(folder, f"{SPEC}{digest}") if digest.isalnum() else None
    match parse_text(folder.name, text or ""):
        case Success(spec):
            known = (digest_of(folder, spec), spec_digest(spec))  # an older geats had no key
            return spec if digest in known else None
        case Failure():
            return None


def only_digest(folder: Path) -> str:
    """The digest of the one spec that is kept; empty if there are several, or none."""
    found = (
        [file for file in os.listdir(folder) if file.startswith(SPEC)] if folder.is_dir() else []
    )
    return found[0].removeprefix(SPEC) if len(found) == 1 else ""


def is_recorded(folder: Path) -> bool:
    """Whether it is known what was written of this VM, and perhaps what came of it."""
    return any((folder / file).exists() for file in (NEW_RECORD, RECORD))


def forget_specs(folder: Path, but: Collection[str]) -> None:
    """Remove the specs whose digests are not among *but*."""
    kept = {f"{SPEC}{digest}" for digest in but}
    vm_files.remove_files(
        folder, [f for f in os.listdir(folder) if f.startswith(SPEC) and f not in kept]
    )


def write_record(folder: Path, record: Record) -> None:
    """Keep what was written; without its seal it is only on trial."""
    seal = None if record.seal is None else sorted(record.seal)
    text = json.dumps({**asdict(record), "seal": seal})
    vm_files.write_atomically(folder, NEW_RECORD, text)
    if seal is not None:  # in place of the one on trial, which no interruption leaves beside it
        os.replace(folder / NEW_RECORD, folder / RECORD)


def record_of(folder: Path, digest: str, back: str = "") -> Record | None:
    """What was written of a domain that has that digest of a spec; None if nobody knows.

    If libvirt gives *back* (a digest) what it did right after that, its text is not read.
    """
    for file in (NEW_RECORD, RECORD):
        record = _record(vm_files.read(folder, file))
        if record is None:
            continue
        if (back and record.back == back) or noted(record.wanted) == digest:
            return record
    return None


def uuid_of(folder: Path, digest: str) -> str:
    """The UUID of the domain that was written with that digest of a spec; empty if unknown."""
    record = record_of(folder, digest)
    return "" if record is None else read_domain(record.wanted).uuid


def last_written(folder: Path) -> str:
    """The domain as geats wrote it last, with its UUID and its machine; empty if nobody knows."""
    records = (_record(vm_files.read(folder, file)) for file in (RECORD, NEW_RECORD))
    return next((each.wanted for each in records if each is not None), "")


def _record(text: str | None) -> Record | None:
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    match found:
        case {
            "wanted": str(wanted),
            "keep": [*keep],
            "seal": seal,
            "back": str(back),
            "by_hand": [*by_hand],
        }:
            return Record(
                wanted=wanted,
                keep=tuple(map(str, keep)),
                seal=frozenset(map(str, seal)) if isinstance(seal, list) else None,
                back=back,
                by_hand=tuple(map(str, by_hand)),
            )
        case _:
            return None


def seen_of(folder: Path, xml: str) -> DomainSeen:
    """What libvirt's definition *xml* says, held against what was written.

    What is still on trial does not count as written: so it is defined once more, and gets its seal.
    """
    seen, back = read_domain(xml), sha256(xml.encode()).hexdigest()
    record = record_of(folder, seen.digest, back)
    if record is None:
        return seen
    if record.back == back:
        return replace(seen, as_written=True, by_hand=record.by_hand)
    if record.seal is None:
        seal = _seal(xml, record.wanted, record.keep)
        tried = _with_marked(read_domain(xml, record.wanted, seal), record.keep)
        return replace(tried, as_written=False)
    return _with_marked(read_domain(xml, record.wanted, record.seal), record.keep)


def remove(folder: Path) -> None:
    """Forget all that is kept of a VM."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
