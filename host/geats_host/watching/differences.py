"""What is declared of VMs, held against what is on the host: the fields that differ."""

from collections.abc import Iterable
from typing import TypedDict

from geats_core.plans.field_changes import Difference, undeclared, unlike
from geats_core.reading.checked import Problems, absent, problems_to_plain
from geats_core.vm.observation import Observation
from geats_host.errors import Refused
from geats_host.host import Host

Differences = dict[str, tuple[Difference, ...]]


def differences(host: Host, names: Iterable[str] = ()) -> tuple[Differences, dict[str, Problems]]:
    """What differs, by the name of the VM; and why some VMs cannot be compared.

    Without *names*: of every VM that is declared, or that is on the host. Nothing is planned, and
    whether VMs are on makes no difference.
    """
    seen = host.observe_all()
    found: Differences = {}
    refused: dict[str, Problems] = {}
    known = {*host.config.vms, *seen}
    for name in dict.fromkeys(names or sorted(known)):
        have = seen.get(name, Observation())
        try:
            if name not in known:
                raise Refused(f"name: {absent(name, known)}")
            unlike_declared = _of_one(host, name, have)
        except Refused as wrong:
            refused[name] = wrong.found
            continue
        if unlike_declared:
            found[name] = unlike_declared
    return found, refused


def _of_one(host: Host, name: str, have: Observation) -> tuple[Difference, ...]:
    unseen = host.out_of_sight(name, have)
    if unseen:
        raise Refused(*unseen)
    declared = host.declared(name)
    return undeclared(have) if declared is None else unlike(declared, have)


class DifferencesReport(TypedDict):
    """``vms``: of each VM that is not as declared, ``old`` and ``new`` by path; and ``refused``."""

    vms: dict[str, dict[str, dict[str, object]]]
    refused: dict[str, list[dict[str, str]]]


def differences_report(host: Host, names: Iterable[str] = ()) -> DifferencesReport:
    """The same as plain data."""
    found, refused = differences(host, names)
    return {
        "vms": {
            name: {each.path: {"old": each.old, "new": each.new} for each in unlike_declared}
            for name, unlike_declared in found.items()
        },
        "refused": problems_to_plain(refused),
    }
