"""What this host answers another one that fetches a VM: ``geats send``, at the end of ssh.

Theory of operation
-------------------
A request is one line of JSON, and so is the answer; after that of a ``volume`` comes what it holds.
``offer`` says what there is, and notes it (see ``observing.offers``); ``give`` passes volumes in
shared pools on (see ``peers.passed_on``), and forgets the VM for the one that asks, if what was
offered is still so; ``forget`` destroys what is left of it here.
Each can be asked again: who was not told the answer asks the same.
"""

import json
import secrets
import shlex
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from geats_core.declared.config import parse_config
from geats_core.jobs.manifests import Manifest, PackedVolume
from geats_core.jobs.moves import Offer, offer_to_plain, plan_to_read
from geats_core.reading import fields
from geats_core.reading.mappings import options
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import ROOT, Volume
from geats_host.archives.disk_archives import Disk, disk_bytes
from geats_host.archives.vm_archives import content_of
from geats_host.calls.lifecycle import plan_shutdown, plan_to, plan_verb
from geats_host.calls.units import Saved, command, write_private
from geats_host.drivers import vm_files
from geats_host.drivers.machine_memory import remembered_by
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host
from geats_host.moves import sending_live
from geats_host.moves.sending_live import check, done, forget_volume
from geats_host.observing import kept_memories, offers
from geats_host.peers.arriving import WHOLE
from geats_host.peers.fetching import KEPT, REMEMBERED
from geats_host.peers.passed_on import is_passed_on, pass_on, wanted
from geats_host.peers.peer import VERSION, Answer, Request
from geats_host.peers.volumes import send
from geats_host.planning.plans import saved_alone
from geats_host.storage import VolumeId

SAVED = "sending.json"
ABSENT = "absent"  # what is answered if this host neither has the VM nor had it
CHANGED = "is no longer as it was offered, because something was done to it: ask for it again"


def serve(host: Host, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answer one request."""
    try:
        request = _read(stdin.readline())
        match request["do"]:
            case "offer":
                _say(stdout, _offered(host, request))
            case "volume":
                _send(host, request, stdin.read(), stdout)
            case "remembered":
                _say(stdout, _remembered(host, request))
            case "give":
                _say(stdout, _give(host, request))
            case "forget":
                _say(stdout, _forget(host, request))
            case "meet":
                _say(stdout, sending_live.meet(host, request))
            case "move":
                _say(stdout, sending_live.move(host, request))
            case "let go":
                _say(stdout, sending_live.let_go(host, request))
            case other:
                raise Refused(f"do: {other!r} is not known here: both hosts need the same geats")
    except Refused as refused:
        _say(stdout, {"refused": list(refused.problems)})
    except HostError as error:
        _say(stdout, {"failed": str(error)})
    stdout.flush()


def command_of_salt(raw: object, *, test: bool = False) -> str:
    """What ssh is to run here where the configuration, *raw*, comes from Salt: it gets a copy.

    With *test*, that is not written.
    """
    config = accepted(parse_config(raw), "geats")
    saved = Saved(Path(config.state_dir) / SAVED, raw)
    if not test:
        with vm_files.host_errors(f"cannot write {saved.path}"):
            write_private(saved.path.parent, saved.path.name, saved.text)
    return shlex.join([*command(saved.path), "send"])


def offer(
    host: Host,
    name: str,
    *,
    shutdown: bool = False,
    live: bool = False,
    test: bool = False,
    whole: str = "",
) -> Offer | None:
    """What there is of a VM for another host; None if there is nothing, and nothing was offered.

    A VM that runs is refused, or shut down with *shutdown*: it is recorded that it is to run; with
    *live*, it is one that runs, and that goes on meanwhile (see ``sending_live``); *whole* is the
    mark of the offer of which the other host has all. With *test*, nothing is done, and the offer
    has no mark. Raises ``Refused`` if the VM cannot leave.
    """
    accepted(fields.vm_name("name", name))
    have, noted = host.observe(name), offers.noted(host.registry, name)
    if not have.is_recorded:
        return None if noted is None else replace(noted, is_given=True)
    spec = have.recorded
    if noted is not None and spec is not None and is_passed_on(host.pools, spec):
        return replace(noted, is_given=True)
    check(host, name)
    if live:
        if not test and sending_live.settle(host, name, whole):
            have = host.observe(name)
        now = _described(host, name, have)
        return sending_live.offered(host, now, have, test=test)
    if test:
        return _described(host, name, have)
    if have.power is not Power.STOPPED:
        if not shutdown:
            raise Refused(f"{name}: is {have.power}: shut it down first, or ask for that too")
        done(host, plan_shutdown(host, name, to_run=True))
    have = host.observe(name)
    done(host, saved_alone(host, have, accepted(plan_to_read(name, have))))
    with host.locks.operation(name):
        return _noted(host, name)


def _offered(host: Host, request: Request) -> Answer:
    said = options({key: request.get(key) for key in ("shutdown", "live", "test")})
    how = {key: said.take(key, fields.boolean, False) for key in ("shutdown", "live", "test")}
    accepted(said.done(None))
    found = offer(host, f"{request['vm']}", whole=f"{request.get(WHOLE, '')}", **how)
    return {ABSENT: True} if found is None else {"offer": offer_to_plain(found)}


def _noted(host: Host, name: str) -> Offer:
    """The offer that is noted, and still true; else a new one."""
    have, noted = host.observe(name), offers.noted(host.registry, name)
    if have.power is not Power.STOPPED:
        raise Refused(f"{name}: {CHANGED}")
    now = _described(host, name, have)
    if noted is not None and noted.manifest.spec == now.manifest.spec:
        running = noted.is_running or now.is_running
        new = replace(now, mark=noted.mark, is_running=running)
    else:
        new = replace(now, mark=secrets.token_hex(32))
    offers.note(host.registry, new)
    return new


def _described(host: Host, name: str, have: Observation) -> Offer:
    """What there is; how large a disk is that is not active, its pool says."""
    spec = have.recorded
    if spec is None:
        raise Refused(f"{name}: is not defined")
    root = have.volume(spec.root.pool, ROOT)
    manifest = Manifest(
        spec=spec,
        template=(root and root.template) or spec.template,
        volumes=tuple(_packed(host, name, volume, have) for volume in spec.volumes),
        taken_s=int(time.time()),
        by_hand=have.by_hand,
    )
    is_running = have.power is not Power.STOPPED or have.to_run
    pools = {each.name: host.pools[each.pool].facts for each in spec.volumes}
    there = {each.name: have.volume(*_place(each)) for each in spec.volumes}
    return Offer(
        manifest=manifest,
        is_running=is_running,
        pools={volume: facts.identity or "" for volume, facts in pools.items()},
        shared={v: seen for v, seen in there.items() if seen is not None and pools[v].shared},
    )


def _packed(host: Host, name: str, volume: Volume, have: Observation) -> PackedVolume:
    pool, where = host.pools[volume.pool], VolumeId(name, volume.name)
    content, seen = content_of(pool, where, host.store.root.parent), have.volume(*_place(volume))
    size = None
    if isinstance(content, Disk):
        size = disk_bytes(content) if seen is not None and seen.active else volume.size_bytes
    return PackedVolume(
        name=volume.name, sha256="0" * 64, size_bytes=pool.used_bytes(where), disk_bytes=size
    )


def _place(volume: Volume) -> tuple[str, str]:
    return volume.pool, volume.name


def _send(host: Host, request: Request, had: bytes, stdout: BinaryIO) -> None:
    """While its volumes are read, nothing is done to the VM."""
    name = f"{request['vm']}"
    with host.locks.operation(name):
        spec = _as_offered(host, request).manifest.spec
        volume = next((v for v in spec.volumes if v.name == request.get("volume")), None)
        if volume is None:
            raise Refused(f"{name}: has no volume {request.get('volume')!r}")
        pool, where = host.pools[volume.pool], VolumeId(name, volume.name)
        content = content_of(pool, where, host.store.root.parent)
        size = disk_bytes(content) if isinstance(content, Disk) else None
        along = remembered_by(host.driver_of(name, spec), name) if volume is spec.root else {}
        _say(stdout, {"disk_bytes": size, REMEMBERED: along})
        send(content, had, stdout)


def _as_offered(host: Host, request: Request) -> Offer:
    """What is noted, if it is that of the request, and the VM is still off."""
    name = f"{request['vm']}"
    noted = offers.noted(host.registry, name)
    is_off = host.observe(name).power is Power.STOPPED
    if noted is None or not noted.mark or noted.mark != request.get("mark") or not is_off:
        raise Refused(f"{name}: {CHANGED}")
    return noted


def _remembered(host: Host, request: Request) -> Answer:
    """What its machine remembers, now and of each snapshot; nothing, if it was given before."""
    name, spec = f"{request['vm']}", _as_offered(host, request).manifest.spec
    if not host.observe(name).is_recorded:
        return {}
    kept = kept_memories.all_noted(host.registry, name, spec.root.pool)
    return {REMEMBERED: remembered_by(host.driver_of(name, spec), name), KEPT: kept}


def _give(host: Host, request: Request) -> Answer:
    """Forget the VM: from then on, it is that of the host that asks."""
    name = f"{request['vm']}"
    _as_offered(host, request)
    if host.observe(name).is_recorded:
        with host.locks.operation(name):
            spec = _as_offered(host, request).manifest.spec
            if not is_passed_on(host.pools, spec):
                check(host, name)
            pass_on(spec, wanted(host.pools, spec, request), partial(forget_volume, host, name))
        done(host, plan_verb(host, "undefine", name))
    return {}


def _forget(host: Host, request: Request) -> Answer:
    """Destroy what is left of it here, once it was given."""
    name = f"{request['vm']}"
    have = host.observe(name)
    if not have.exists:
        offers.forget_given(host.registry, name)
        return {}
    _as_offered(host, request)
    if have.is_recorded:
        raise Refused(f"{name}: is still defined here")
    done(host, plan_to(host, name, "deprovisioned"))
    offers.forget_given(host.registry, name)
    return {}


def _read(line: bytes) -> Request:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    match request:
        case {"version": int(version), "do": str(), "vm": str()} if version == VERSION:
            return {f"{key}": value for key, value in request.items()}
        case {"version": _}:
            raise Refused("version: both hosts need the same geats")
        case _:
            raise Refused("request: is not one of geats: this command answers geats fetch")


def _say(stdout: BinaryIO, answer: Answer) -> None:
    stdout.write(json.dumps(answer).encode() + b"\n")
