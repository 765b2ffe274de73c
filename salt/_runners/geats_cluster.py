"""
Manage VMs across hosts: what each may have to itself, new ones, and hosts that are emptied or lost.

Part of the runner ``geats``: Salt puts the functions of both files under that one name.

:depends: geats, on the master as well
"""

from typing import TYPE_CHECKING, Any

from geats_core.fleet.claiming import Holder, keys_of
from geats_core.guests.minion import minion_id
from geats_core.vm.parse import parse_vm
from geats_core.vm.secrets import hidden
from geats_host.errors import HostError, accepted
from geats_host.for_salt.claims import Claims, give_back, hold, wanted_keys, would_hold
from geats_host.for_salt.fleet import Fleet, said_by
from geats_host.for_salt.minion_keys import accept as accept_key
from geats_host.for_salt.recovering.recovery import Recovery
from geats_host.for_salt.runners import answer, asking, failures, words
from geats_host.for_salt.settling import Settling

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __opts__: dict[str, Any]
    __salt__: dict[str, Any]

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def claim(name, host, test=False):
    """
    Hold the name, the MAC addresses and the addresses of a VM for one host, before it starts there.

    Of two hosts that declare the same address, only one gets it: the other is told who has it.
    Where ``policy: {claims: required}`` is configured, no VM starts without its claims. After the
    address of a VM was changed in the pillar, call this again. Claims are in the master's cache.

    name
        of the VM, which the host declares or has
    host
        the minion
    test
        true shows what would be held, and who holds some of it already

    ``keys`` are what is held. The event ``geats/claim`` tells it to others, such as a DNS server.

    CLI Example:

    .. code-block:: bash

        salt-run geats.claim web01 minion1
    """
    with answer(__context__) as report:
        found = Fleet.asked(asking(__salt__, "list"), host)
        if host not in found.hosts:
            raise HostError(f"{host}: {found.problems.get(host, 'is not there')}")
        wanted = Holder(vm=name, host=host)
        keys = wanted_keys(found.hosts[host], name)
        report |= {"name": name, "host": host, "keys": [*keys]}
        if test:
            would_hold(Claims(__opts__), asking(__salt__, "list"), wanted, keys)
        else:
            store = Claims(__opts__)
            with store.working_on(name):
                hold(store, asking(__salt__, "list"), wanted, keys)
            _tell("claim", {"name": name, "host": host, "keys": [*keys]})
    return report


def claim_running(tgt="*", tgt_type="glob", test=False):
    """
    Claim what VMs that are on have, and nobody holds for them, for the hosts that have them on.

    Call this before ``policy: {claims: required}`` is configured, or after; a VM that is on is not
    touched. What another host holds stays its own, and is a problem; the other VMs are claimed.

    tgt, tgt_type
        the hosts
    test
        true shows what would be held

    ``claimed`` are the keys by host and VM. Each VM has an event ``geats/claim``.

    CLI Example:

    .. code-block:: bash

        salt-run geats.claim_running test=True
        salt-run geats.claim_running 'minion*'
    """
    with answer(__context__) as report:
        found = _settling(tgt, tgt_type)
        report["claimed"] = found.claim_all(test=test)
        report["problems"] = failures(found.problems)
        for host, vms in report["claimed"].items() if not test else ():
            for name, keys in vms.items():
                _tell("claim", {"name": name, "host": host, "keys": keys})
    return report


def claims(name=None, host=None, tgt="*", tgt_type="glob", test=False):
    """
    Show what is held: ``claims`` maps each key to the VM and the host that it is held for.

    The hosts are asked as well. If what one holds differs, because a move or a claim was
    interrupted, the host that has the VM on, or else the only one that defines it, holds it from
    now on: ``settled`` are these VMs, each with that host. Where a start needs claims,
    ``unclaimed`` are the keys that VMs which are on have without, by host and VM:
    :py:func:`claim_running` claims them.

    name, host
        only what is held for this VM, or by this host
    tgt, tgt_type
        the hosts that are asked
    test
        true settles nothing, and shows what would be

    CLI Example:

    .. code-block:: bash

        salt-run geats.claims
        salt-run geats.claims host=minion1 test=True
    """
    with answer(__context__) as report:
        found = _settling(tgt, tgt_type, name)
        found.settle(test=test)
        held = {key: at for key, at in found.granted.items() if host in (None, at.host)}
        report["claims"] = {key: {"vm": at.vm, "host": at.host} for key, at in held.items()}
        report["settled"] = found.settled
        report["unclaimed"] = found.unclaimed()
        report["problems"] = failures(found.problems)
    return report


def release(name, fenced=False):
    """
    Give back what is held for a VM, so that another one may have it. Its host must have it off.

    fenced
        true if its host is lost, and cannot come back with the VM on: it is not asked then

    CLI Example:

    .. code-block:: bash

        salt-run geats.release web01
    """
    with answer(__context__) as report:
        store = Claims(__opts__)
        hosts = sorted({holder.host for holder in store.of(name).values()})
        ask = asking(__salt__, "list")
        released = {
            host: give_back(store, ask, Holder(vm=name, host=host), fenced=fenced) for host in hosts
        }
        report["released"] = released
        if any(released.values()):
            _tell("release", {"name": name, "hosts": released})
    return report


def create(name, spec, tgt="*", tgt_type="glob", test=False, accept=False, **rules):
    """
    Create a VM on the host that can take it best, and start it: place, claim, define, start.

    name
        of the VM
    spec
        its description, as for :py:func:`place`
    test
        true shows the host, what would be held, and the plan of that host
    accept
        true accepts the key of its minion as well, as :py:func:`accept` does, if it is a container

    The rules are those of :py:func:`place`. ``host`` is where it is, and ``steps`` is what was done
    there, or would be. Put the same description into the pillar of that host, or its next highstate
    reports a VM that nobody declared. If the start fails, the claims stay: repeat the call with
    ``tgt`` as the host, or release them. The event ``geats/create`` has name, host, keys and spec
    (with values that may be secret hidden), for address management or DNS.

    CLI Example:

    .. code-block:: bash

        salt-run geats.create web02 '{template: debian, memory: 2GiB}' test=True
        salt-run geats.create web02 '{template: debian, memory: 2GiB}' apart='[[web01, web02]]'
    """
    with answer(__context__) as report:
        wanted = accepted(parse_vm(name, spec), name)
        fleet = Fleet.asked(asking(__salt__, tgt_type), tgt)
        placed = fleet.place(name, spec, words(rules))
        host, keys = placed["host"], keys_of(wanted)
        report |= {"name": name, "host": host, "keys": [*keys], "load": placed["load"]}
        ask, store, holder = asking(__salt__, "list"), Claims(__opts__), Holder(vm=name, host=host)
        store.check(holder, keys)
        if test:
            report["steps"] = fleet.would_start(host, wanted)
        else:
            with store.working_on(name):
                hold(store, ask, holder, keys)
                report["steps"] = said_by(ask, host, "geats.start", name, spec=spec)
            _tell("create", {"name": name, "host": host, "keys": [*keys], "spec": hidden(spec)})
            if accept:
                minion = wanted.minion and minion_id(wanted.minion, name)
                report["accepted"] = _accepted(ask, host, name, minion or name)
    return report


def accept(name, host=None, id=None, tgt="*", tgt_type="glob", test=False):
    """
    Accept the key of the Salt minion in a VM, as Salt 3006's ``lxc.init`` did with its own.

    The host is asked for the public key that the guest has, and that one is accepted, not whichever
    comes by this name. The private key stays in the guest. Another key is never replaced.

    name
        of the VM
    host
        the minion that has the VM (default: the one that is found, as by :py:func:`find`)
    id
        of the minion in the VM, if that is not the name of the VM
    test
        true shows the key, and accepts nothing

    ``id`` and ``fingerprint`` say which key it is, ``new`` whether it was not accepted before.

    CLI Example:

    .. code-block:: bash

        salt-run geats.accept web01
        salt-run geats.accept web01 minion1 id=web01.example.org
    """
    with answer(__context__) as report:
        if host is None:
            host = _host_of(name, asking(__salt__, tgt_type), tgt)
        report |= _accepted(asking(__salt__, "list"), host, name, id or name, test=test)
    return report


def _host_of(name, ask, tgt):
    """The one host that has the VM."""
    hosts = [*Fleet.asked(ask, tgt).find(name)["hosts"]]
    if len(hosts) != 1:
        where = f"is on {', '.join(hosts)}: say host" if hosts else "is on no host that answers"
        raise HostError(f"{name}: {where}")
    return hosts[0]


def _accepted(ask, host, name, minion, test=False):
    """Ask the host for the key. Its word is not enough for another id than the caller's."""
    said = said_by(ask, host, "geats.minion_key", name)
    found = {each: str(said[each]) for each in ("id", "key", "fingerprint")}
    if found["id"] != minion:
        wrong = f"its minion is called {found['id']!r}, not {minion!r}: say id, if that is right"
        raise HostError(f"{name}: {wrong}")
    new = None if test else accept_key(__opts__, minion, found["key"])
    return {"id": minion, "host": host, "fingerprint": found["fingerprint"], "new": new}


def evacuate(host, tgt="*", tgt_type="glob", test=False, via=None, live=False, **rules):
    """
    Empty a host: move its VMs to others, one after the other. One that fails stops no other.

    The moves are those of :py:func:`drain`, with its rules; each is one of :py:func:`migrate`, so
    move their declarations in the pillar as well.

    test
        true shows the moves
    via, live
        as for :py:func:`migrate`

    ``moved`` are the VMs that are on another host now, and ``left`` those that are not, with why.

    CLI Example:

    .. code-block:: bash

        salt-run geats.evacuate minion1 test=True
        salt-run geats.evacuate minion1 strategy=pack
    """
    with answer(__context__) as report:
        fleet = Fleet.asked(asking(__salt__, tgt_type), tgt)
        moves = fleet.drain(host, words(rules))["moves"]
        report |= _moved(moves, test, {"via": via, "live": live, "tgt": tgt, "tgt_type": tgt_type})
    return report


def rebalance(tgt="*", tgt_type="glob", test=True, via=None, live=False, **rules):
    """
    Show the moves that even out the loads of the hosts; with ``test=False``, make them.

    The rules are those of :py:func:`place`; the strategy is always ``spread``. ``via`` and ``live``
    are those of :py:func:`migrate`, and the answer is that of :py:func:`evacuate`.

    CLI Example:

    .. code-block:: bash

        salt-run geats.rebalance reserve=0.1
        salt-run geats.rebalance reserve=0.1 test=False
    """
    with answer(__context__) as report:
        found = Fleet.asked(asking(__salt__, tgt_type), tgt).rebalance(words(rules))
        how = {"via": via, "live": live, "tgt": tgt, "tgt_type": tgt_type}
        report |= found if test else _moved(found["moves"], test, how)
    return report


def recover(host, fenced=False, tgt="*", tgt_type="glob", test=False, called=None, **rules):
    """
    Start the VMs of a lost host elsewhere: with what they have in pools that are ``shared``, or
    each from its newest export that another host can read.

    Which VMs it had is known from shared pools, from the claims, and from what :py:func:`tell` told
    the others. A VM in shared pools is taken over as it is, and defined as the pillar of the lost
    host declares it: nothing is copied, and nothing lost. An export is found in the folder of
    exports of a host, for example on shared storage. What the VM wrote after it is lost. A VM that
    another host may have, which does not answer, is left.

    fenced
        must be true, and is your word that the lost host is off and does not come back by itself:
        otherwise its VMs would run twice
    test
        true shows what would be done

    called
        what the lost host is called in shared pools, if that is neither its id nor what comes
        before the first dot of it

    The rules are those of :py:func:`place`. ``recovered`` says where each VM is now, and from which
    archive, or with which ``pools``; ``left`` are those that are lost, with why.

    CLI Example:

    .. code-block:: bash

        salt-run geats.recover minion1 fenced=True test=True
        salt-run geats.recover minion1 fenced=True
    """
    with answer(__context__) as report:
        asked = asking(__salt__, tgt_type)
        ask, store = asking(__salt__, "list"), Claims(__opts__)
        declared = {"called": called, "pillar": __salt__["pillar.show_pillar"](host)}
        recovery = Recovery.of(host, asked, ask, tgt, store, **declared)
        recovery.check(fenced=fenced)
        report |= recovery.carry_out(words(rules), test=test)
        unheard = (f"{each}: {why}" for each, why in recovery.silent.items())
        left = (f"{vm}: {why}" for vm, why in report["left"].items())
        report["problems"] = failures(unheard, left)
    return report


def _settling(tgt, tgt_type, name=None):
    store, ask = Claims(__opts__), asking(__salt__, "list")
    return Settling.of(store, asking(__salt__, tgt_type), ask, tgt, name)


def _moved(moves, test, how):
    """Make the moves; one that fails stops no other."""
    if test:
        return {"moves": moves}
    moved, left = {}, {}
    for move in moves:
        done = __salt__["geats.migrate"](move["vm"], move["target"], move["source"], **how)
        if done["problems"]:
            left[move["vm"]] = [each["message"] for each in done["problems"]]
        else:
            moved[move["vm"]] = move["target"]
    texts = [f"{vm}: {why}" for vm, reasons in left.items() for why in reasons]
    return {"moved": moved, "left": left, "problems": failures(texts)}


def _tell(what, data):
    """An event on the master's bus, with all that another program needs to know."""
    __salt__["event.send"](f"geats/{what}", data)
