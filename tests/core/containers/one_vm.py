"""One VM with the keys that a test is about, or what is wrong with them."""

from returns.result import Failure, Success

from geats_core import VMSpec, parse_vm


def web(**keys: object) -> VMSpec:
    """That VM, of whose keys nothing is wrong."""
    return parse_vm("web", {"template": "t", **keys}).unwrap()


def said(**keys: object) -> list[str]:
    """What is wrong with a VM that has these keys."""
    match parse_vm("web", {"template": "t", **keys}):
        case Failure(problems):
            return [str(each) for each in problems]
        case Success():
            return []
