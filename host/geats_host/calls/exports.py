"""The archives in the folder of exports: what there is, and which go by the rules of retention."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from geats_core.declared.keep import Keep, parse_keep
from geats_core.declared.retention import Snapshot, retain
from geats_core.plans.codec import encode
from geats_core.reading.fields import VM_NAME
from geats_core.vm.secrets import without_secrets
from geats_core.vm.spec import VMSpec
from geats_host.archives import vm_archives
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host

Report = dict[str, object]


@dataclass(frozen=True, slots=True)
class Exported:
    """An archive that geats named: of which VM, and when it was written."""

    path: Path
    vm: str
    taken_s: int
    spec: VMSpec


def pruned(host: Host, rules: Mapping[str, object], *, dry_run: bool) -> list[Report]:
    """Delete archives that no rule keeps, for each VM separately; or only say which, and why.

    *rules* are the same as for snapshots (``last``, ``daily``, ...), by default ``policy.exports``.
    Files that geats did not name, or that are not archives of the VM in their name, are left alone.
    """
    keep = accepted(parse_keep("", rules), "keep") if rules else host.config.policy.exports
    if keep is None:
        raise Refused("exports: say how many to keep, such as last: 3, here or in policy.exports")
    report: list[Report] = []
    for each, reasons in _divided(vm_archives.folder_of(host.config), keep):
        gone = not reasons
        if gone and not dry_run:
            _delete(each.path)
        report.append(
            {
                "archive": f"{each.path}",
                "vm": each.vm,
                "action": "delete" if gone else "keep",
                "reason": ", ".join(reasons) or "no rule keeps it",
            }
        )
    return report


def archives(host: Host) -> list[Report]:
    """Every archive that geats named, the newest first: ``path``, ``vm``, ``taken_s`` and ``spec``.

    The spec is as a plan has it, but for what may be secret: its metadata and its environment.
    """
    there = sorted(_found(vm_archives.folder_of(host.config)), key=lambda each: -each.taken_s)
    return [
        {
            "path": f"{each.path}",
            "vm": each.vm,
            "taken_s": each.taken_s,
            "spec": encode(without_secrets(each.spec)),
        }
        for each in there
    ]


def _divided(folder: Path, keep: Keep) -> Iterator[tuple[Exported, tuple[str, ...]]]:
    """Every archive, with the rules that keep it; by VM, the newest first."""
    there, now_s = list(_found(folder)), int(time.time())
    for vm in sorted({each.vm for each in there}):
        by_name = {each.path.name: each for each in there if each.vm == vm}
        dated = [Snapshot(name, each.taken_s) for name, each in by_name.items()]
        retention = retain(dated, keep, now_s)
        yield from ((by_name[each.snapshot.name], each.reasons) for each in retention.kept)
        yield from ((by_name[each.name], ()) for each in retention.gone)


def _found(folder: Path) -> Iterator[Exported]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        named = vm_archives.NAMED.fullmatch(path.name)
        if named is None or not VM_NAME.fullmatch(named["vm"]) or not _is_file(path):
            continue
        with suppress(HostError, Refused, ValueError):  # it is none, or no moment: it stays
            spec = vm_archives.read(path).manifest.spec
            if spec.name == named["vm"]:
                at = datetime.strptime(named["at"], "%Y-%m-%d-%H%M%S").replace(tzinfo=UTC)
                yield Exported(path, named["vm"], int(at.timestamp()), spec)


def _is_file(path: Path) -> bool:
    """Whether it is no link, and no pipe, which would let a reader wait without end."""
    return path.is_file() and not path.is_symlink()


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
