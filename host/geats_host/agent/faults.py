"""Why a request was not carried out, as data: a name, and what there is to know."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from geats_core.reading.checked import Code, Problem, problem_to_plain
from geats_host.errors import Busy, HostError, Refused, is_unknown


class Fault(Exception):
    """One of the errors of the interface; see ``definition.FAULTS``."""

    def __init__(self, name: str, **parameters: object) -> None:
        self.name, self.parameters = name, parameters
        super().__init__(f"{name}: {parameters}")


def refused(path: str, message: str) -> Fault:
    """A refusal for one reason."""
    return fault_of(Refused(Problem(path, message, Code.REFUSED)))


def fault_of(error: Refused | HostError) -> Fault:
    """The same as data."""
    match error:
        case Busy():
            return Fault("Busy", vm=error.vm, holder=error.holder)
        case HostError():
            return Fault("HostFailed", message=str(error))
        case Refused():
            return Fault(_kind(error), problems=list(map(problem_to_plain, error.found)))


@contextmanager
def faults() -> Iterator[None]:
    """Whatever is refused meanwhile, or fails, is a ``Fault``."""
    try:
        yield
    except (Refused, HostError) as error:
        raise fault_of(error) from None


def _kind(error: Refused) -> str:
    if is_unknown(error, "name"):
        return "NotFound"
    return "Moved" if {each.code for each in error.found} == {Code.CHANGED} else "Refused"


def as_plain(fault: Fault) -> Mapping[str, object]:
    """To be kept: ``from_plain`` gives it back."""
    return {"name": fault.name, "parameters": fault.parameters}


def from_plain(raw: Mapping[str, Mapping[str, object]]) -> Fault:
    """What ``as_plain`` made plain."""
    return Fault(f"{raw['name']}", **raw["parameters"])
