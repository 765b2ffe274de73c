"""
Moves of VMs between hosts, from one directly to the other.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from geats_core.fleet.settling import HostClaims
from geats_core.plans import codec
from geats_host.calls import exports as exported
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import accepted
from geats_host.for_salt.calls import beside, configured, done, is_test, opened, would
from geats_host.for_salt.errors import salts_errors
from geats_host.moves import sending
from geats_host.moves.fetch import apply_fetch
from geats_host.moves.fetch import fetch as planned_fetch
from geats_host.moves.taking import shared_vms, take_over, taking
from geats_host.observing import held_claims, other_hosts

if TYPE_CHECKING:  # Salt's loader injects these
    __opts__: dict[str, Any]

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def fetch(source, changes=None, shutdown=False, live=False, test=None, verbose=False):
    """
    Move a VM to this host from another one, with all that its volumes contain.

    Its volumes are copied from host to host by ssh, however large they are, and checked; then the
    other host forgets the VM, and it is started here if it ran. Until then, the other host has it.
    If the call is interrupted, repeat it: of disks, only what differs is copied again. Snapshots
    are not copied. Volumes in a pool that both hosts share are passed on as they are, with their
    snapshots. :py:func:`geats.migrate <geats.migrate>` of the runner calls this.

    source
        which VM of which host, such as ``ssh://root@host-a/web01``: root of this host must be able
        to log in there without a password, and ``geats send`` must be what it can run (or another
        command, such as the answer of :py:func:`send_command` there: ``?command=...``)
    changes
        keys of its spec to change; and ``pools``: the pool of all volumes, or a mapping from volume
        names to pools
    shutdown
        shut the VM down first, if it runs; otherwise a VM that runs is refused
    live
        move a virtual machine of libvirt as it runs: it stands still for about a second. If it
        cannot, that is refused, with every reason
    test
        do nothing on either host, and return what would be done (default: the minion's ``test``
        option)

    ``bytes`` is what its volumes take there: at most so much is copied. ``left`` says why the other
    host could not destroy what it had.

    CLI Example:

    .. code-block:: bash

        salt host-b geats.fetch ssh://root@host-a/web01 shutdown=True test=True
        salt host-b geats.fetch ssh://root@host-a/web01 shutdown=True
        salt host-b geats.fetch ssh://root@host-a/db01 live=True
    """
    with opened() as host:
        how = {"shutdown": shutdown, "live": live}
        found = planned_fetch(host, source, changes, **how, test=is_test(test))
        if is_test(test):
            return beside(would(found.planned, verbose), bytes=found.bytes)
        how_far, left = apply_fetch(host, found)
        answer = done(found.planned, how_far, verbose)
        return beside(answer, bytes=found.bytes, **({"left": left} if left or verbose else {}))


def send_command(test=None):
    """
    Return the command by which another host fetches VMs from this one: see :py:func:`fetch`.

    The command needs the configuration of this host, so a copy of it is written to ``sending.json``
    in the ``state_dir``, for root only.

    test
        write nothing (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt host-a geats.send_command
    """
    with salts_errors():
        return {"command": sending.command_of_salt(configured(), test=is_test(test))}


def elsewhere(vms=None, test=None):
    """
    Record which VMs other hosts have, by name the minion that has each. None of them is created
    here.

    ``salt-run geats.tell`` calls this on every host. VMs of this host are left out. Without
    ``vms``, what was recorded last is only returned. An empty mapping forgets it.

    test
        record nothing (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt host-b geats.elsewhere
        salt host-b geats.elsewhere '{web01: host-a}'
        salt host-b geats.elsewhere '{}'
    """
    with opened() as host:
        if vms is None:
            return dict(other_hosts.told(host.registry).vms)
        told = accepted(other_hosts.parse_vms("vms", vms))
        told = {vm: host for vm, host in told.items() if host != __opts__["id"]}
        if not is_test(test):
            other_hosts.remember(host.registry, other_hosts.Told(__opts__["id"], told))
        return dict(told)


def claimed(vms=None, test=None):
    """
    Record what this host holds for VMs, of what only one VM of all hosts may have.

    ``salt-run geats.claim`` and its like call this. If ``policy: {claims: required}`` is
    configured, a VM starts only if its name, its MAC addresses and its addresses are held for it.
    Without ``vms``, what is held is only returned.

    vms
        lists of keys such as ``address-10.0.0.5``, by VM; with an empty one, nothing is held for
        that VM any more. What a VM that is on has stays held for it; while another operation on
        the VM is under way, such as its start, this is refused

    test
        record nothing (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt host-b geats.claimed
        salt host-b geats.claimed '{web01: [name-web01, address-10.0.0.5]}'
        salt host-b geats.claimed '{web01: []}'
    """
    with opened() as host:
        if vms is not None:
            given = accepted(held_claims.parse_claims("vms", vms))
            with ExitStack() as locks:
                for vm in () if is_test(test) else sorted(given):  # one that starts is not off
                    locks.enter_context(host.locks.operation(vm))
                before = held_claims.held(host.registry)
                held_claims.check(given, before, {vm: host.observe(vm) for vm in given})
                if not is_test(test):
                    held_claims.remember(host.registry, given)
        return {vm: [*keys] for vm, keys in held_claims.held(host.registry).items()}


def claims():
    """
    Say what this host ``held`` for VMs, what those that are ``on`` have to themselves, which of its
    VMs are ``defined``, and whether a start needs claims (``required``).

    ``salt-run geats.claims`` compares it with what the master granted.

    CLI Example:

    .. code-block:: bash

        salt host-b geats.claims
    """
    with opened() as host:
        held = held_claims.held(host.registry)
        return codec.encode(HostClaims.seen(held, host.observe_all(), host.config.policy))


def shared():
    """
    Return which host has which VM in each shared pool, with what tells hosts from each other.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.shared
    """
    with opened() as host:
        return shared_vms(host)


def take(name, host=None, fenced=False, spec=None, test=None, verbose=False):
    """
    Take over a VM of a lost host, whose volumes are all in shared pools, and define it here.

    Nothing is made anew, copied or destroyed: if that were needed, it is refused.
    ``salt-run geats.recover`` calls this; afterwards :py:func:`start` starts it.

    host
        what the lost host is called in the pools
    fenced
        must be true, and is your word that the lost host is off and does not come back by itself
    spec
        a spec to use instead of the one in the pillar

    CLI Example:

    .. code-block:: bash

        salt host-b geats.take web01 host-a fenced=True test=True
        salt host-b geats.take web01 host-a fenced=True
    """
    with opened() as here:
        found = taking(here, name, host, spec, fenced=fenced)
        if is_test(test):
            return found.told
        made = take_over(here, found)
        return done(made, apply_plan(here, made), verbose)


def exports():
    """
    List the archives in the folder of exports of this host, the newest first: ``path``, ``vm``,
    when each was ``taken_s``, in seconds since 1970, and the ``spec``, without what may be secret.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.exports
    """
    with opened() as host:
        return exported.archives(host)
