"""
Manage the LXC containers and virtual machines of many hosts: each minion with geats is a host.

Every answer is a mapping. If a minion is missing from the answer, ``problems`` says why, by minion.
If there are any problems, or if the call is refused, ``retcode`` is 1. Minions without geats are
left out. ``tgt`` says which minions are asked, and ``tgt_type`` how it is read (``glob``, ``list``,
``grain``, ...), as on Salt's command line.

:depends: geats, on the master as well
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from geats_host.errors import Refused
from geats_host.for_salt.claims import Claims, moving
from geats_host.for_salt.direct_moves import DirectMove, direct_source
from geats_host.for_salt.fleet import Fleet, answers
from geats_host.for_salt.migrating import Mover, to_a_person, wrong_with_master
from geats_host.for_salt.runners import answer, asking, failures, words

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __opts__: dict[str, Any]
    __salt__: dict[str, Any]

__func_alias__ = {"list_": "list"}
DECLARATION = "first, by you: move the declaration of {} from the pillar of {} to that of {}"


def list_(tgt="*", tgt_type="glob", verbose=False, label=None):
    """
    List the VMs of all hosts: ``hosts`` maps each minion to the answer of its ``geats.list``.

    verbose
        each VM as data, instead of in a line
    label
        only VMs with this label, such as ``owner=ada``, or with all of a list of labels

    CLI Example:

    .. code-block:: bash

        salt-run geats.list
        salt-run geats.list label=owner=ada
        salt-run geats.list tgt='rack1-*'
    """
    only = {} if label is None else {"label": label}  # which hosts with an older geats do not know
    found = answers(asking(__salt__, tgt_type)(tgt, "geats.list", verbose=verbose, **only))
    with answer(__context__) as report:
        report |= {"hosts": found.hosts, "problems": found.problems}
    return report


def find(what, tgt="*", tgt_type="glob"):
    """
    Find VMs by a pattern of their names (as in ``fnmatch``), an address, a MAC address or a label.

    ``hosts`` maps minions to the VMs found there: ``power``, ``addresses``, ``macs`` and ``labels``
    of each.

    CLI Example:

    .. code-block:: bash

        salt-run geats.find 'web*'
        salt-run geats.find 10.0.3.17
        salt-run geats.find owner=ada
    """
    with answer(__context__) as report:
        report |= _fleet(tgt, tgt_type).find(str(what))
    return report


def duplicates(tgt="*", tgt_type="glob"):
    """
    Find names, addresses and MAC addresses that VMs on two hosts both have, but must not.

    Each of ``duplicates`` says ``what`` it is, its ``value``, and its ``owners``. VMs that are
    stopped count too, and so do VMs that are declared but do not exist yet.

    CLI Example:

    .. code-block:: bash

        salt-run geats.duplicates
    """
    with answer(__context__) as report:
        report |= _fleet(tgt, tgt_type).duplicates()
    return report


def tell(tgt="*", tgt_type="glob"):
    """
    Tell every host which VMs the others have, so that none of them makes an empty twin of one.

    A VM that was moved in the pillar before :py:func:`migrate` would be created anew by the next
    highstate of the host that declares it now. A host that was told refuses that, and answers with
    the command that moves the VM. Call this from the master's schedule, and before you move VMs in
    the pillar. ``told`` is the number of VMs of others, by host.

    CLI Example:

    .. code-block:: bash

        salt-run geats.tell
    """
    with answer(__context__) as report:
        report |= _fleet(tgt, tgt_type).tell(asking(__salt__, "list"))
    return report


def plan(tgt="*", tgt_type="glob", verbose=False):
    """
    Show the plan of every host for everything that its pillar declares. Nothing is changed.

    ``hosts`` maps each minion to the answer of its ``geats.plan_host``: a line for each VM that
    changes.

    verbose
        all of each plan as data

    CLI Example:

    .. code-block:: bash

        salt-run geats.plan
    """
    found = answers(asking(__salt__, tgt_type)(tgt, "geats.plan_host", verbose=verbose))
    with answer(__context__) as report:
        report |= {"hosts": found.hosts, "problems": found.problems}
    return report


def place(name, spec, tgt="*", tgt_type="glob", **rules):
    """
    Choose a host that can take a new VM. Nothing is changed.

    name
        of the VM
    spec
        its description, as in the pillar; ``profile`` cannot be used, because each host has its own
        profiles
    strategy
        ``spread`` (default) takes the host with the least promised, ``pack`` the one with the most
    together, apart
        lists of lists of VMs that must be on one host, or all on different hosts
    together_by, apart_by
        lists of names of labels: VMs with the same value must be on one host, or on different hosts
    reserve
        the share (0 to 1) of each resource to keep free

    ``host`` is the choice, ``load`` (0 to 1) is the promised share of its scarcest resource with
    the VM, and ``refused`` says why other hosts cannot take the VM.

    CLI Example:

    .. code-block:: bash

        salt-run geats.place web02 '{template: debian, memory: 2GiB}' apart='[[web01, web02]]'
    """
    with answer(__context__) as report:
        report |= _fleet(tgt, tgt_type).place(name, spec, words(rules))
    return report


def drain(host, tgt="*", tgt_type="glob", **rules):
    """
    Show the moves that empty a host, with the ``command`` for each. Nothing is changed.

    The rules are those of :py:func:`place`; ``tgt`` must include the host itself.

    CLI Example:

    .. code-block:: bash

        salt-run geats.drain minion1 strategy=pack
    """
    with answer(__context__) as report:
        report |= _fleet(tgt, tgt_type).drain(host, words(rules))
    return report


def migrate(name, target, source=None, test=False, via=None, live=False, tgt="*", tgt_type="glob"):
    """
    Move a VM to another host: shut down, export, copy, import there, delete here, start again.

    name
        of the VM
    target
        the minion to move it to
    source
        the minion to move it from; needed only if several have a VM of this name
    test
        true shows what would be done, also while the pillar of the source still declares the VM
        (not with ``via``); with ``via``, ``bytes`` is what would be copied at most, and
        the source only gets the file of ``geats.send_command``
    via
        where the target reaches the source by ssh, such as ``ssh://root@10.0.0.5``: then the VM is
        copied directly from host to host, with disks of any size, and not through the master (see
        :py:func:`geats.fetch <geats_salt._modules.geats_moves.fetch>`); ``failed`` says only why
    live
        with ``via``: move a virtual machine of libvirt as it runs, without a shutdown

    If a move is interrupted, the same call finishes it. Until then, no plan starts the VM on two
    hosts.

    The move is refused, with every reason, if the target cannot take the VM, if the VM is locked or
    still declared in the source's pillar, or if the master does not pass files on. The master needs
    ``file_recv: True``, ``file_recv_max_size`` (MiB) above the size of the archive, and
    ``minionfs`` in ``fileserver_backend``.

    ``counts`` in the answer is the host with the valid copy of the VM, also if the move failed.
    ``done`` lists the completed phases, ``failed`` the phase that failed and why, and ``left`` what
    could not be cleaned up. ``notes`` say if the guest did not shut down in time, and was powered
    off.

    CLI Example:

    .. code-block:: bash

        salt-run geats.migrate web01 minion2 test=True
        salt-run geats.migrate web01 minion2
        salt-run geats.migrate web01 minion2 via=ssh://root@10.0.0.5
        salt-run geats.migrate db01 minion2 via=ssh://root@10.0.0.5 live=True
    """
    with answer(__context__) as report:
        if via is None and live:
            raise Refused("live: a VM moves as it runs directly only: say `via` as well")
        if via is None:
            report |= _migrate(name, target, source, test, (tgt, tgt_type))
        else:
            report |= _migrate_directly(name, target, source, test, (via, live), (tgt, tgt_type))
    return report


def _migrate_directly(name, target, source, test, how, asked):
    via, live = how
    there = direct_source(_fleet(*asked), name, target, source)
    move = DirectMove(name, there, target, via, live, asking(__salt__, "list"))
    if test:
        return {**move.planned(), "problems": []}
    to_a_person(f"{name}: {target} fetches it from {there}")
    report, unsaid = _with_claims(name, there, target, move.carry_out)
    wrong = filter(None, [report["failed"]])
    return {**report, "problems": failures(wrong, report["left"], unsaid)}


def _migrate(name, target, source, test, asked):
    problems = wrong_with_master(__opts__)
    if problems:
        raise Refused(*problems)
    fleet = _fleet(*asked)
    move = fleet.migration(name, target, source, test=test)
    if test:
        would = [str(phase) for phase in move.phases]
        if fleet.declared_on(name, move.source):
            would = [DECLARATION.format(name, move.source, target), *would]
        return {
            "name": name,
            "source": move.source,
            "target": target,
            "would": would,
            "problems": [],
        }
    largest_mib = __opts__["file_recv_max_size"]
    mover = Mover(move, asking(__salt__, "list"), _forget, largest_mib, tell=to_a_person)
    report, unsaid = _with_claims(move.vm, move.source, target, mover.carry_out)
    failed = report["failed"]
    wrong = [f"{failed['phase']}: {failed['error']}"] if failed else []
    return {**report, "problems": failures(wrong, report["left"] if failed else [], unsaid)}


def _with_claims(name, source, target, carry_out):
    """The report of a move, after which what is held for the VM is held where the VM is.

    And what a person has to do for that.
    """
    ask = asking(__salt__, "list")
    with moving(Claims(__opts__), ask, name, source, target) as claims:
        report = carry_out()
        return report, claims.end(report["counts"])


def _forget(minion, path):
    """Remove what the minion pushed."""
    pushed = Path(__opts__["cachedir"], "minions", minion, "files", path.lstrip("/"))
    pushed.unlink(missing_ok=True)


def _fleet(tgt, tgt_type):
    return Fleet.asked(asking(__salt__, tgt_type), tgt)
