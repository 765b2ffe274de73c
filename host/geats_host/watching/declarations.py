"""What would declare the VMs of a host as they are defined."""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from geats_core.reading.checked import Code, Problem, Problems
from geats_core.vm.secrets import declaration
from geats_core.vm.spec import VMSpec
from geats_host.errors import Refused
from geats_host.host import Host


class Declarations(TypedDict):
    """The keys of each VM by its name, as they stand below ``geats`` in a configuration."""

    vms: dict[str, dict[str, object]]


def declarations_report(
    host: Host, names: Iterable[str] = (), *, shows_secrets: bool = False
) -> Declarations:
    """What declares the VMs *names*, or all that are defined, without keys that have defaults.

    Raises ``Refused`` with every one of *names* that is not defined.
    """
    specs = _named(host, dict.fromkeys(names)) or _all(host)
    return {
        "vms": {
            name: declaration(spec, shows_secrets=shows_secrets) for name, spec in specs.items()
        }
    }


def _all(host: Host) -> Mapping[str, VMSpec]:
    seen = host.observe_all()
    return {name: spec for name in sorted(seen) if (spec := seen[name].recorded) is not None}


def _named(host: Host, names: Iterable[str]) -> Mapping[str, VMSpec]:
    found: dict[str, VMSpec] = {}
    wrong: Problems = ()
    for name in names:
        try:
            spec = host.whole(name).recorded
        except Refused as refused:
            wrong += refused.found
            continue
        if spec is None:
            wrong += (Problem(name, "is not defined", Code.REFUSED),)
        else:
            found[name] = spec
    if wrong:
        raise Refused(*wrong)
    return found
