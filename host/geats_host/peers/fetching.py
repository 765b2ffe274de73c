"""One volume, fetched from another host; with its root, the VM is taken over."""

from collections.abc import Callable, Mapping

from geats_core.planning.actions import TakeVolumes, UnpackVolume
from geats_core.vm.spec import ROOT
from geats_host.archives.vm_archives import Content
from geats_host.errors import HostError, Refused
from geats_host.peers.peer import Answer, Peer, peer_of
from geats_host.peers.volumes import had, receive
from geats_host.streams import meters

REMEMBERED = "remembered"
KEPT = "kept"  # what is answered beside it: the same, of each snapshot of the root


def fetch(
    action: UnpackVolume, content: Content, remember: Callable[[Mapping[str, str]], None]
) -> None:
    """Copy the volume of the other host to *content*; then take over, if that is due.

    What the machine there remembers comes with the root, and is kept here by *remember* before the
    other host forgets it.
    """
    try:
        peer, vm = peer_of(action.archive)
        request = {"vm": vm, "volume": action.volume, "mark": action.sha256}
        here = had(content)
        with peer.asked({"do": "volume", **request}, here) as (answer, stream):
            receive(content, here, meters.counted(stream), _disk_bytes(answer))
        remember(_remembered(answer))
        if action.takes_over:
            _ask(peer, {"do": "give", **request})
    except Refused as refused:
        raise HostError("; ".join(refused.problems)) from None


def take(
    action: TakeVolumes,
    along: Mapping[str, object],
    remember: Callable[[Mapping[str, str]], None],
    keep: Callable[[object], None],
) -> None:
    """Have the other host pass on what comes *along*, and forget the VM.

    What its machine remembers is kept here before, by *remember*; and by *keep*, what it remembered
    when its snapshots were taken, which come along.
    """
    try:
        peer, vm = peer_of(action.source)
        request = {"vm": vm, "mark": action.mark}
        if any(each.name == ROOT for each in action.volumes):
            with peer.asked({"do": "remembered", **request}) as (answer, _):
                remember(_remembered(answer))
                keep(answer.get(KEPT))
        _ask(peer, {"do": "give", **request, **along})
    except Refused as refused:
        raise HostError("; ".join(refused.problems)) from None


def _ask(peer: Peer, request: Mapping[str, object]) -> None:
    with peer.asked(request):
        pass


def _disk_bytes(answer: Answer) -> int | None:
    match answer.get("disk_bytes"):
        case int(size):
            return size
        case _:
            return None


def _remembered(answer: Answer) -> dict[str, str]:
    match answer.get(REMEMBERED):
        case dict(said):
            return {f"{key}": f"{text}" for key, text in said.items()}
        case _:
            return {}
