"""VMs as templates: the root volume of one in a file, and what declares it."""

from pathlib import Path

from geats_core.jobs.exports import plan_publish
from geats_core.planning.actions import OfOneGuest, Publish
from geats_core.plans.plan_files import SavedPlan, alone
from geats_core.reading import fields
from geats_core.vm.observation import Observation
from geats_core.vm.spec import RootKind
from geats_host.archives import published
from geats_host.calls import copies
from geats_host.errors import accepted
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.plans import saved

Report = dict[str, object]


def publish(host: Host, name: str, path: object = None, keep: object = None) -> SavedPlan:
    """The plan that writes the root volume of a VM to a file at *path*, for new VMs.

    *path* is absolute, and not there yet; by default it is in ``published`` in the ``state_dir``.
    *keep* are words of ``OfOneGuest``: what stays in a tarball. By default nothing of it does.
    """
    have = host.whole(name)
    word = fields.each(fields.one_of("word", OfOneGuest))
    kept = None if keep is None else accepted(word("keep", keep))
    if path is None:
        file = _free_place(host, name, have)
    else:
        file = Path(accepted(fields.absolute_path("path", path)))
        copies.check_place(file)
    made = accepted(plan_publish(name, str(file), have, facts_of(host, []), kept))
    return saved(host, alone(made), {name: have})


def written(host: Host, planned: SavedPlan) -> Report:
    """The ``path`` of the file, its ``sha256``, its size in ``bytes``, and ``templates``: what
    declares it, for the configuration or a pillar."""
    told = copies.written_to(path := file_of(planned))
    name, digest = planned.of_vm.name, told["sha256"]
    is_tree = _is_tree(host, host.whole(name))
    disk = {"disk": {"path": f"{path}", "format": "qcow2", "sha256": digest}}
    return {**told, "templates": {name: {"path": f"{path}", "sha256": digest} if is_tree else disk}}


def file_of(planned: SavedPlan) -> Path:
    """Where the file will be that a plan of ``publish`` writes."""
    steps = (step.action for step in planned.plan.steps)
    return next(Path(action.file) for action in steps if isinstance(action, Publish))


def _is_tree(host: Host, have: Observation) -> bool:
    root = None if have.recorded is None else have.recorded.root
    offers = None if root is None else facts_of(host, []).pool(root.pool).offers
    return offers is None or offers.takes(RootKind.TREE)


def _free_place(host: Host, name: str, have: Observation) -> Path:
    suffix = published.TREE if _is_tree(host, have) else published.DISK
    folder = Path(host.config.state_dir) / "published"
    return copies.free_place(folder, name, f".{suffix}")
