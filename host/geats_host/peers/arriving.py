"""A VM that comes from another host while it runs: received, and taken over."""

from collections.abc import Callable, Mapping

from geats_core.planning.actions import TakeOver
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place
from geats_host.drivers.abilities import Arrived, LiveMoving, Meeting
from geats_host.errors import HostError, Refused
from geats_host.peers.fetching import KEPT
from geats_host.peers.peer import Peer, peer_of

UUID = "uuid"
WHOLE = "whole"  # what is said of a VM that came here to its end: under which mark
STALE = "stale"  # what is answered if the VM runs on there: what came here is not it
RUNS_THERE = "it runs on at its source, though it was sent: move it again"


def take_over(
    action: TakeOver,
    driver: LiveMoving,
    spec: VMSpec,
    places: Mapping[str, Place],
    along: Mapping[str, object],
    came_as: str,
    comes_as: Callable[[str], None],
    keep: Callable[[object], None],
) -> None:
    """Have it sent, if it is not here already, and forgotten by the other host: it stands still.

    What came here is the VM only if it came under the mark of this offer, and if the other host has
    forgotten the VM for it; else it is of no worth, and dropped. *came_as* is the mark under which
    it came; *comes_as* notes another one, or none. *along* is what is said of volumes that are not
    copied: see ``passed_on``. What is kept with their snapshots is kept here by *keep* first.
    """
    try:
        peer, vm = peer_of(action.source)
        request: dict[str, object] = {"vm": vm, "mark": action.mark, **along}
        there = driver.arrived(spec.name)
        is_here = came_as == action.mark and there in (Arrived.WHOLE, Arrived.RUNNING)
        if not is_here or _is_stale(peer, request):
            uuid = _met(peer, request, keep)
            comes_as("")
            meeting = driver.expect(spec, places, uuid)
            comes_as(action.mark)
            _receive(peer, request, meeting)
        driver.settle(spec, places)
    except Refused as refused:
        raise HostError("; ".join(refused.problems)) from None
    finally:
        driver.part(spec.name)


def _is_stale(peer: Peer, request: dict[str, object]) -> bool:
    """Whether what came here is not the VM; if it is, the other host has forgotten the VM now."""
    with peer.asked({"do": "let go", **request}) as (answer, _):
        return answer.get(STALE) is True


def _met(peer: Peer, request: dict[str, object], keep: Callable[[object], None]) -> str:
    """The other host is ready to send it; the answer is the UUID that it comes with."""
    with peer.asked({"do": "meet", **request}) as (answer, _):
        keep(answer.get(KEPT))
        return f"{answer.get(UUID, '')}"


def _receive(peer: Peer, request: dict[str, object], meeting: Meeting) -> None:
    move = {"do": "move", **request, "domain": meeting.domain}
    with peer.asked(move, forwards=meeting.sockets) as (answer, _):
        if answer.get(STALE) is True:
            raise HostError(RUNS_THERE)
