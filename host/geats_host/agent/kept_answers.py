"""Answers that are kept, so that the same request again gets the same answer.

They are notes beside the journal: one list of all that are known, and each answer by itself. A
request that ended before anything was changed is not kept: it is simply made again.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

from geats_host.agent.faults import Fault, as_plain, from_plain, refused
from geats_host.locks import file_locks
from geats_host.registry import Registry

REQUESTS, ANSWER = "request", "answer of "
MOST = 500  # requests of a user that are remembered
LONGEST_ID = 200  # characters
LOOKS_S = 0.1
CANCELLED = "it was cancelled while {} carried out the same request"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, known by its user and an id of the user's; *digest* is of its parameters."""

    uid: int
    id: str
    digest: str

    @property
    def key(self) -> str:
        """By which it is kept."""
        return f"{self.uid} {self.id}"

    def check(self, digest: str) -> None:
        """Raise ``Fault`` if the id was given to a call with other parameters."""
        if digest != self.digest:
            raise Fault("OtherRequest", id=self.id)


def request(uid: int, id_: str, parameters: Mapping[str, object]) -> Request:
    """The request of a user that has these parameters; ``Fault`` if the id cannot be kept."""
    if not (id_.isprintable() and 0 < len(id_) <= LONGEST_ID):
        raise refused("id", f"must be printable, and of 1 to {LONGEST_ID} characters")
    text = json.dumps(parameters, sort_keys=True)
    return Request(uid, id_, sha256(text.encode()).hexdigest())


@contextmanager
def alone(run_dir: Path, wanted: Request, over: Event) -> Iterator[None]:
    """Be the only one on this host that carries it out: others wait, for the answer that is kept.

    Each connection by ssh has a process of its own, and so has each request in one shot.
    """

    def wait(lock: int) -> None:
        while not file_locks.is_taken(lock):
            if over.wait(LOOKS_S):
                why = CANCELLED.format(file_locks.holders_of(lock))
                raise Fault("Failed", step=None, error=why, done=[], not_tried=[])

    name = sha256(wanted.key.encode()).hexdigest()
    with file_locks.passing(run_dir, "requests", name, wait):
        yield


def answered(registry: Registry, wanted: Request) -> Mapping[str, Any] | None:
    """The answer that was kept; None if there is none. It may be a ``Fault``, which is raised."""
    known = registry.notes(REQUESTS).get(wanted.key)
    text = registry.notes(f"{ANSWER}{wanted.key}").get("") if known else None
    if known is None or text is None:
        return None
    wanted.check(json.loads(known)["digest"])
    kept = json.loads(text)
    if "fault" in kept:
        raise from_plain(kept["fault"])
    answer: Mapping[str, Any] = kept["answer"]
    return answer


def keep(registry: Registry, wanted: Request, answer: Mapping[str, object] | Fault) -> None:
    """Remember an answer; the oldest of too many that this user has are forgotten."""
    kept = {"fault": as_plain(answer)} if isinstance(answer, Fault) else {"answer": answer}
    registry.note(f"{ANSWER}{wanted.key}", "", json.dumps(kept))
    known = {"digest": wanted.digest, "time_s": time.time()}
    registry.note(REQUESTS, wanted.key, json.dumps(known))
    times = {
        key: json.loads(text)["time_s"]
        for key, text in registry.notes(REQUESTS).items()
        if key.startswith(f"{wanted.uid} ")
    }
    for key in sorted(times, key=times.__getitem__)[:-MOST]:
        registry.forget_note(REQUESTS, key)
        registry.forget_note(f"{ANSWER}{key}", "")
