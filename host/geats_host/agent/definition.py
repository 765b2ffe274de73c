"""The interface ``io.geats.Host``: its methods and errors, with the types of all that they carry.

The varlink service, the one-shot form, both schemas and the reference are made from these tables.
What is ``object`` in them is JSON: specs as of ``geats schema``, and reports as of ``--json``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NewType, TypeAlias, TypedDict

from geats_core.declared.access import Right

NAME = "io.geats.Host"
Object: TypeAlias = Any  # JSON of any shape
Descriptor = NewType("Descriptor", int)  # of an open file, that goes along with the message
Types: TypeAlias = Mapping[str, Any]  # by the name of a parameter, its type


class Problem(TypedDict):
    """What is wrong, and where: codes are stable, messages may change."""

    code: str
    path: str
    message: str


class Replies(Enum):
    """How a method answers."""

    ONE = auto()
    MANY = auto()  # a stream: the call must say ``more``


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method: what it does, who may call it, what it takes and answers."""

    about: str
    takes: Types = field(default_factory=dict)
    gives: Types
    right: Right = Right.READ
    replies: Replies = Replies.ONE


WISH: Types = {
    "names": list[str] | None,
    "verb": str | None,
    "spec": Object | None,
    "policies": Object | None,
}
ABOUT_WISH = """\
names: the VMs; without any, all that are declared.
verb: such as start, undefine or deprovision; without one, the VMs are brought to policies.target.
spec: describes the one VM that is named, instead of the configuration.
policies: target, restart, power_off, by_hand, max_impact, allow_data_loss, at_most and at_once, as
the options of 'geats plan'; with a verb, max_impact and allow_data_loss only."""
METHODS: Mapping[str, Method] = {
    "GetHost": Method(
        about="What this host is and has: versions, processors, memory, load, drivers, pools.",
        gives={"host": Object},
    ),
    "GetSchema": Method(
        about="The JSON Schema of the configuration; a VM is its definition 'vm'.",
        gives={"schema": Object},
    ),
    "List": Method(
        about="The VMs. filter: vms, power, driver, label, group, declared, defined, locked.",
        takes={"filter": Object | None},
        gives={"vms": Object, "sequence": int},
    ),
    "Info": Method(
        about="One VM: its definition, state and volumes; its memory, CPU, disk and network.",
        takes={"name": str},
        gives={"vm": Object},
    ),
    "Validate": Method(
        about="What is wrong with one VM, or with all and the configuration: problems by name.",
        takes={"name": str | None, "spec": Object | None},
        gives={
            "problems": dict[str, Object]
        },  # for each a list of Problem, which systemd cannot read
    ),
    "Plan": Method(
        about=f"What Apply would do, and a fingerprint of it; nothing is changed.\n{ABOUT_WISH}",
        takes=WISH,
        gives={"plan": Object, "fingerprint": str},
    ),
    "Apply": Method(
        about=f"""\
Plan, and carry the plan out. The first reply has the plan, each of the next a step that begins or
ends, and the last the result. It goes on if the caller goes away.
{ABOUT_WISH}
fingerprint: of a plan; if what would be done is not the same any more, the answer is Moved.
id: made by the caller. The same call again gives the same answer, or joins what is under way.
wait: for so many seconds, if another operation on one of the VMs is under way.""",
        takes={**WISH, "fingerprint": str | None, "id": str | None, "wait": float | None},
        gives={
            "plan": Object | None,
            "fingerprint": str | None,
            "id": str | None,
            "step": Object | None,
            "result": Object | None,
        },
        right=Right.APPLY,
        replies=Replies.MANY,
    ),
    "Cancel": Method(
        about="Begin no other step of an Apply of the same user: steps under way are finished.",
        takes={"id": str},
        gives={"cancelled": bool},
        right=Right.APPLY,
    ),
    "Exec": Method(
        about="""\
Run a program in a VM that runs, for a time and with an output that are limited.
options: user, cwd, env and timeout.""",
        takes={"name": str, "argv": list[str], "options": Object | None},
        gives={
            "code": int | None,
            "stdout": str,
            "stderr": str,
            "truncated": bool,
            "timed_out": bool,
        },
        right=Right.APPLY,
    ),
    "Console": Method(
        about="A terminal with the console of a VM: a descriptor, which only a unix socket takes.",
        takes={"name": str},
        gives={"terminal": Descriptor},
        right=Right.APPLY,
    ),
    "Watch": Method(
        about="""\
What happens, as it happens. The first reply has what there is now, and the number of the newest
step in the journal; then come the steps after 'since', and then each event as it comes.
since: the number of the last step that the caller knows; without it, only what is new is told.
vms: patterns of names.""",
        takes={"since": int | None, "vms": list[str] | None},
        gives={"sequence": int, "overview": Object | None, "event": Object | None},
        replies=Replies.MANY,
    ),
    "Journal": Method(
        about="The newest steps, oldest first, after the number 'after'; of one VM, or of all.",
        takes={"name": str | None, "limit": int | None, "since": str | None, "after": int | None},
        gives={"entries": list[Object]},
    ),
    "Metrics": Method(
        about="What is counted on this host, as text for Prometheus.",
        gives={"text": str},
    ),
}
OF_PROBLEMS: Types = {"problems": list[Problem]}
FAULTS: Mapping[str, tuple[str, Types]] = {
    "Refused": ("It is wrong, or does not fit what there is; nothing was changed.", OF_PROBLEMS),
    "NotFound": ("Nobody knows this VM.", OF_PROBLEMS),
    "Moved": ("What the plan was made from has changed: plan again.", OF_PROBLEMS),
    "Busy": ("Another operation on the VM is under way.", {"vm": str, "holder": str}),
    "Failed": (
        "A step failed, or the call was cancelled: what was done stays, and the same call, with "
        "another id, does the rest. Without 'step' it was cancelled.",
        {"step": Object | None, "error": str, "done": list[Object], "not_tried": list[Object]},
    ),
    "HostFailed": ("The host could not answer.", {"message": str}),
    "NotAllowed": ("The caller has no right to that.", {}),
    "OtherRequest": ("The id was given to a call with other parameters.", {"id": str}),
    "TooOld": (
        "Not all steps after that number can be told: 'oldest' is the first that can, see Journal.",
        {"oldest": int},
    ),
}
