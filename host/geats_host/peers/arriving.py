"""A VM that comes from another host while it runs: received, taken over, and going on here."""

from collections.abc import Mapping

from geats_core.planning.actions import TakeOver
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Arrived, LiveMoving, Meeting, Place
from geats_host.errors import HostError, Refused
from geats_host.peers.peer import Peer, peer_of

UUID = "uuid"
STALE = "stale"  # what is answered if the VM runs on there: what came here is not it


def take_over(
    action: TakeOver, driver: LiveMoving, spec: VMSpec, places: Mapping[str, Place]
) -> None:
    """Have it sent, if it is not here already; then let it go on.

    What came here stands still until the other host has forgotten the VM. So it can only be what
    that host sent last, or nothing of worth: then it is dropped.
    """
    try:
        peer, vm = peer_of(action.source)
        request: dict[str, object] = {"vm": vm, "mark": action.mark}
        there = driver.arrived(spec.name)
        if there is Arrived.WHOLE and _is_stale(peer, request):
            there = Arrived.NOTHING
        if there not in (Arrived.WHOLE, Arrived.RUNNING):
            uuid = _met(peer, request)
            _receive(peer, request, driver.expect(spec, places, uuid))
        driver.go_on(spec, places)
    except Refused as refused:
        raise HostError("; ".join(refused.problems)) from None
    finally:
        driver.part(spec.name)


def _is_stale(peer: Peer, request: dict[str, object]) -> bool:
    """Whether what came here is not the VM; if it is, the other host has forgotten the VM now."""
    with peer.asked({"do": "let go", **request}) as (answer, _):
        return answer.get(STALE) is True


def _met(peer: Peer, request: dict[str, object]) -> str:
    """The other host is ready to send it; the answer is the UUID that it comes with."""
    with peer.asked({"do": "meet", **request}) as (answer, _):
        return f"{answer.get(UUID, '')}"


def _receive(peer: Peer, request: dict[str, object], meeting: Meeting) -> None:
    move = {"do": "move", **request, "domain": meeting.domain}
    with peer.asked(move, forwards=meeting.sockets):
        pass
