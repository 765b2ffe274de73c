"""
Look after the LXC containers and virtual machines of many hosts: each minion with geats is one.

Every answer is a mapping. ``problems`` in it says, by the minion, why one is not in the answer;
where there are any, or where the whole is refused, ``retcode`` is 1. Minions without geats are left
out. ``tgt`` says which minions are asked, and ``tgt_type`` how it is read (``glob``, ``list``,
``grain``, ...), as on Salt's command line.

:depends: geats, on the master as well
"""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geats_host.errors import Refused
from geats_host.for_salt.fleet import Fleet, answers
from geats_host.for_salt.migrating import Mover, wrong_with_master

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __opts__: dict[str, Any]
    __salt__: dict[str, Any]

__func_alias__ = {"list_": "list"}


def list_(tgt="*", tgt_type="glob"):
    """
    List the VMs of all hosts: ``hosts`` maps each minion to what its ``geats.list`` says.

    CLI Example:

    .. code-block:: bash

        salt-run geats.list
        salt-run geats.list tgt='rack1-*'
    """
    found = answers(_ask(tgt_type)(tgt, "geats.list"))
    with _answer() as report:
        report |= {"hosts": found.hosts, "problems": found.problems}
    return report


def find(what, tgt="*", tgt_type="glob"):
    """
    Find VMs by a pattern of their names (as in ``fnmatch``), an address, or a MAC address.

    ``hosts`` maps minions to the VMs found there: ``power``, ``addresses`` and ``macs`` of each.

    CLI Example:

    .. code-block:: bash

        salt-run geats.find 'web*'
        salt-run geats.find 10.0.3.17
    """
    with _answer() as report:
        report |= _fleet(tgt, tgt_type).find(str(what))
    return report


def duplicates(tgt="*", tgt_type="glob"):
    """
    Find what VMs on two hosts both have, and must not: a name, an address, or a MAC address.

    Each of ``duplicates`` says ``what`` it is, its ``value``, and its ``owners``. VMs that are
    stopped count, and those that are declared and not yet there.

    CLI Example:

    .. code-block:: bash

        salt-run geats.duplicates
    """
    with _answer() as report:
        report |= _fleet(tgt, tgt_type).duplicates()
    return report


def plan(tgt="*", tgt_type="glob"):
    """
    Show the plan of every host for all that its pillar declares; nothing is changed.

    ``hosts`` maps each minion to what its ``geats.plan_host`` says.

    CLI Example:

    .. code-block:: bash

        salt-run geats.plan
    """
    found = answers(_ask(tgt_type)(tgt, "geats.plan_host"))
    with _answer() as report:
        report |= {"hosts": found.hosts, "problems": found.problems}
    return report


def place(name, spec, tgt="*", tgt_type="glob", **rules):
    """
    Choose the host for a new VM: one that has a plan with it. Nothing is changed.

    name
        of the VM
    spec
        its description, as in the pillar; ``profile`` cannot be used, for profiles are of hosts
    strategy
        ``spread`` (default) takes the host of which least is promised, ``pack`` that of which most
    together, apart
        lists of lists of VMs that are to be on one host, or all on different ones
    reserve
        the share (0 to 1) of each resource that is to be left

    ``host`` is the choice, ``load`` (0 to 1) the share of its scarcest resource that is then
    promised, and ``refused`` says why other hosts cannot take the VM.

    CLI Example:

    .. code-block:: bash

        salt-run geats.place web02 '{template: debian, memory: 2GiB}' apart='[[web01, web02]]'
    """
    with _answer() as report:
        report |= _fleet(tgt, tgt_type).place(name, spec, _words(rules))
    return report


def drain(host, tgt="*", tgt_type="glob", **rules):
    """
    Show the moves that empty a host, with the ``command`` for each. Nothing is changed.

    Rules are those of :py:func:`place`; the host itself is among the minions that are asked.

    CLI Example:

    .. code-block:: bash

        salt-run geats.drain minion1 strategy=pack
    """
    with _answer() as report:
        report |= _fleet(tgt, tgt_type).drain(host, _words(rules))
    return report


def rebalance(tgt="*", tgt_type="glob", **rules):
    """
    Show the moves that level the loads of the hosts. Nothing is changed.

    Rules are those of :py:func:`place`; the strategy is always ``spread``.

    CLI Example:

    .. code-block:: bash

        salt-run geats.rebalance reserve=0.1
    """
    with _answer() as report:
        report |= _fleet(tgt, tgt_type).rebalance(_words(rules))
    return report


def migrate(name, target, source=None, test=False, tgt="*", tgt_type="glob"):
    """
    Move a VM to another host: off, exported, copied, imported there, forgotten here, started again.

    name
        of the VM
    target
        the minion that it goes to
    source
        the minion that it leaves; needed only where several have a VM of this name
    test
        true shows what would be done

    Refused, with every reason, where the target has no plan with it, where the VM is locked or is
    still declared in the source's pillar, and where the master passes no files on: it needs
    ``file_recv: True``, ``file_recv_max_size`` (MiB) above the archive's, and ``minionfs`` among
    ``fileserver_backend``.

    ``counts`` in the answer is the host whose copy is the VM, also where the move failed; ``done``
    are the phases behind it, ``failed`` is the one that failed and why, and ``left`` what could not
    be tidied up.

    CLI Example:

    .. code-block:: bash

        salt-run geats.migrate web01 minion2 test=True
        salt-run geats.migrate web01 minion2
    """
    with _answer() as report:
        report |= _migrate(name, target, source, test, (tgt, tgt_type))
    return report


def _migrate(name, target, source, test, asked):
    problems = wrong_with_master(__opts__)
    if problems:
        raise Refused(*problems)
    move = _fleet(*asked).migration(name, target, source)
    if test:
        would = [str(phase) for phase in move.phases]
        return {
            "name": name,
            "source": move.source,
            "target": target,
            "would": would,
            "problems": [],
        }
    mover = Mover(move, _ask("list"), _forget, __opts__["file_recv_max_size"])
    report = mover.carry_out()
    failed = report["failed"]
    problems = [f"{failed['phase']}: {failed['error']}", *report["left"]] if failed else []
    return {**report, "problems": problems}


def _forget(minion, path):
    """Remove what the minion pushed."""
    pushed = Path(__opts__["cachedir"], "minions", minion, "files", path.lstrip("/"))
    pushed.unlink(missing_ok=True)


def _fleet(tgt, tgt_type):
    return Fleet.asked(_ask(tgt_type), tgt)


def _ask(tgt_type):
    """How to have minions run a function."""

    def ask(tgt, function, *args, **kwargs):
        return __salt__["salt.execute"](
            tgt, function, arg=args, kwarg=kwargs, tgt_type=tgt_type, full_return=True
        )

    return ask


def _words(rules):
    return {key: value for key, value in rules.items() if not key.startswith("__")}


@contextmanager
def _answer():
    """A report to fill; what is refused meanwhile is in its ``problems``, which are a failure."""
    report: dict[str, Any] = {}
    try:
        yield report
    except Refused as refused:
        report |= {"problems": list(refused.problems)}
    if report["problems"]:
        __context__["retcode"] = report["retcode"] = 1
