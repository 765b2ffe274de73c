"""Containers are defined, adopted and undefined: what is in their ``config``, and whose it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from geats_core.containers.cgroups import FILES
from geats_core.guests.minion import not_installed
from geats_core.planning.actions import Adopt
from geats_core.reading.checked import Code, Problem, Problems
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.lxc_config import LxcFacts, cgroup_items, render_lxc_config, unwritable
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place, vm_files
from geats_host.drivers.lxc import definition, folders, monitor
from geats_host.drivers.lxc import seen as lxc_seen
from geats_host.drivers.lxc.definition import CONFIG, OURS, PROFILES, ROOTFS
from geats_host.drivers.lxc.facts import FOR_CLOUD_INIT
from geats_host.drivers.lxc.kernel import apparmor, connections, devices
from geats_host.drivers.lxc.options import Options
from geats_host.errors import HostError
from geats_host.guest_trees.guest_names import CLOUD_INIT
from geats_host.linux.cgroup_version import has_controller, is_v2
from geats_host.linux.subordinate_ids import not_roots, subordinate_ids


def define(
    options: Options, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...] = ()
) -> None:
    """Write the container's ``config``; refused if volumes have ids of another range."""
    text = _rendered(options, spec, places, keep)
    with vm_files.host_errors(f"cannot define {spec.name}"):
        folder = folders.folder_of(options, spec.name)
        lxc_seen.check_ours(options, spec.name)
        folders.make_lxcpath(options)
        definition.write_config(folder, text)


def cannot_read(lines: Sequence[str]) -> tuple[str, ...]:
    """What liblxc could not read: then it reads nothing of a config, and starts nothing."""
    with vm_files.host_errors("cannot try lines of a config"):
        return definition.unread_by_liblxc(lines)


def adopt(options: Options, wanted: Adopt, places: Mapping[str, Place]) -> None:
    """Replace the ``config``, and keep the old one beside it."""
    spec, folder = wanted.spec, folders.folder_of(options, wanted.spec.name)
    text = _rendered(options, spec, places, wanted.keep)
    old = lxc_seen.config_text(options, wanted.called or spec.name)
    if old is None or sha256(old.text.encode()).hexdigest() != wanted.sha256:
        raise HostError(f"{folder / CONFIG} was changed since the adoption was planned")
    with vm_files.host_errors(f"cannot adopt {spec.name}"):
        if wanted.called:
            _check_off(options, wanted.called)
            definition.write_config(folder, text)
            definition.put_aside(folders.any_folder_of(options, wanted.called))
            return
        if monitor.is_on(str(options.path), spec.name):
            definition.write_started(folder, wanted.running)
        definition.keep_config(folder)
        definition.write_config(folder, text)


def _check_off(options: Options, label: str) -> None:
    """A container that runs keeps its old name until it ends."""
    if monitor.is_on(str(options.path), folders.any_folder_of(options, label).name):
        raise HostError(f"{label}: runs, and cannot get another name: power it off first")


def undefine(options: Options, name: str) -> None:
    """Remove the container's directory; refused while it runs, or contains what is not ours."""
    folder = folders.folder_of(options, name)
    with vm_files.host_errors(f"cannot undefine {name}"):
        if monitor.is_on(str(options.path), name) or lxc_seen.left_of(
            options, name, folders.names(options)
        ):
            raise HostError(f"{name} runs: it cannot be undefined")
        lxc_seen.check_ours(options, name)
        if folder.is_symlink() or folder.exists():
            vm_files.remove_folder(folder, OURS, ROOTFS, PROFILES)


def cannot_define(options: Options, spec: VMSpec) -> Problems:
    """Whether root may give the guest its ids, what its NICs are connected to is there, and its
    seed is read: see ``CheckingDriver``."""
    with vm_files.host_errors(f"cannot look for the ids of {spec.name}"):
        why = "; ".join(not_roots(spec.ids)) if spec.ids else ""
        ids = (Problem("idmap", why, Code.REFUSED),) if why else ()
    runs = definition.started(folders.folder_of(options, spec.name)) if spec.nics else None
    wrong = (*ids, *_without_controller(spec), *connections.problems(spec, runs))
    said = dict(spec.hardware)
    if json.loads(said.get("guest", "null")) != CLOUD_INIT:
        wrong = (*wrong, *not_installed(spec.minion))
    unread = [key for key in FOR_CLOUD_INIT if key in said]
    if unread and json.loads(said.get("guest", "null")) != CLOUD_INIT:
        why = f"must be {CLOUD_INIT}, or nobody reads {' and '.join(unread)}"
        return (*wrong, Problem(f"{HARDWARE}.guest", why, Code.REFUSED))
    return wrong


def _without_controller(spec: VMSpec) -> Iterator[Problem]:
    """Limits that nothing on this host enforces: liblxc would start nothing with them."""
    limits = spec.limits
    if limits.cgroup.swap_bytes is not None and limits.memory_bytes is None and not is_v2():
        yield Problem("swap", "needs memory: cgroup v1 limits both together", Code.REFUSED)
    prefix = "cgroup2." if is_v2() else "cgroup."
    keys = [key for key, _ in cgroup_items(spec.limits) if key.startswith(prefix)]
    for file in dict.fromkeys(key.removeprefix(prefix) for key in keys):
        controller = file.partition(".")[0]
        if file in FILES and not has_controller(controller):
            why = f"the kernel has no controller {controller!r} here, which limits it"
            yield Problem(FILES[file], why, Code.REFUSED)


def cannot_undefine(options: Options, name: str) -> str:
    """Whether the container's directory contains what is not ours: see ``ForeseeingDriver``."""
    folder = folders.folder_of(options, name)
    with vm_files.host_errors(f"cannot look into {folder}"):
        if not folder.is_dir():
            return ""
        return vm_files.strange_files(folder, OURS, ROOTFS, PROFILES)


def _rendered(
    options: Options, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...]
) -> str:
    for line in unwritable(keep):
        raise HostError(f"a line added by hand to {spec.name} cannot be kept: {line!r}")
    nowhere = Place(Path())
    paths = {v.name: str(places.get(v.name, nowhere).path) for v in spec.all_volumes}
    for name, path in paths.items():
        if not path.startswith("/") or not path.isprintable():
            raise HostError(f"the volume {name} of {spec.name} has no usable path: {path!r}")
    shifted_by = {name: place.shifted_by for name, place in places.items()}
    return render_lxc_config(spec, _facts(options, spec, paths, shifted_by), keep)


def _facts(
    options: Options, spec: VMSpec, paths: Mapping[str, str], shifted_by: Mapping[str, int]
) -> LxcFacts:
    nodes = devices.nodes(spec.devices)
    facts = LxcFacts(volume_paths=paths, apparmor=apparmor.is_enforced(), devices=nodes)
    if spec.privileged:
        _check_shifts(spec, shifted_by, 0)
        return facts
    ids = options.idmap or subordinate_ids()
    if ids is None:
        raise HostError(
            "root has no range of 65536 ids that is in both /etc/subuid and /etc/subgid: add"
            " the line root:100000:65536 to both, or make the VM privileged"
        )
    first, count = ids
    _check_shifts(spec, shifted_by, first)
    shifted = frozenset(name for name, by in shifted_by.items() if by)
    return replace(facts, idmap_first=first, idmap_count=count, shifted=shifted)


def _check_shifts(spec: VMSpec, shifted_by: Mapping[str, int], first: int) -> None:
    for name, by in shifted_by.items():
        if by not in (0, first):
            raise HostError(
                f"the volume {name} of {spec.name} contains ids from {by}, and its guest has them"
                f" from {first}: give pool and driver the same idmap_first"
            )
