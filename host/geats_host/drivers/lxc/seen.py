"""What is seen of one container: by its files, its monitor and its cgroups."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from geats_core.containers.live_nics import EndSeen, as_seen
from geats_core.foreign.lxc_lines import included_by, root_of
from geats_core.foreign.lxc_nics import nics_of
from geats_core.vm.idmap import from_lxc_values
from geats_core.vm.lxc_config import INCLUDES, LxcConfig, spec_of_lxc_config
from geats_core.vm.observation import Power
from geats_host.drivers import ConfigText, DriverSeen, Info, held, lock_marks, vm_files
from geats_host.drivers.lxc import definition, folders, monitor, process
from geats_host.drivers.lxc.folders import CONFIG
from geats_host.drivers.lxc.kernel import addresses, cgroups, ports
from geats_host.drivers.lxc.kernel import payload as lxc_payload
from geats_host.drivers.lxc.options import Options
from geats_host.errors import HostError
from geats_host.inputs import lxc_includes
from geats_host.linux import processes

IDMAP = re.compile(r"^[ \t]*lxc\.(?:idmap|id_map)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
Ends: TypeAlias = Callable[[], Mapping[str, EndSeen]]


def seen(options: Options, name: str, power: Power, ends: Ends = ports.ends) -> DriverSeen:
    """One container; if its files cannot be read, that is the trouble of this one alone.

    *ends* are those of NICs on the host: asked for once somebody needs them.
    """
    try:
        return _connected(_as_written(options, name, power), ends)
    except OSError as error:
        why = vm_files.unreadable(options.path / name, error)
        return DriverSeen(power=power, unreliable=why)


def _connected(seen_: DriverSeen, ends: Ends) -> DriverSeen:
    """With the NICs as they are: what runs is what counts."""
    runs = seen_.in_effect
    if runs is None or not any(nic.is_pair for nic in runs.nics):
        return seen_
    now = as_seen(runs.name, runs.nics, ends())
    return seen_ if now == runs.nics else replace(seen_, in_effect=replace(runs, nics=now))


def _as_written(options: Options, name: str, power: Power) -> DriverSeen:
    folder = options.path / name
    off = power is Power.STOPPED
    config, locked = definition.config(folder), lock_marks.is_locked(folder)
    in_effect = None if off else definition.started(folder)
    made_by_geats = off or in_effect is not None if config is None else not config.foreign
    if not made_by_geats:
        return replace(foreign(folder, power), locked=locked)
    if power is Power.FROZEN:
        is_held = held.is_held(folder)
        power = Power.HELD if is_held else monitor.power(str(options.path), name)
    says = config or LxcConfig()
    is_old = says.spec is not None and definition.has_old_device_rules(folder, says.spec)
    return DriverSeen(
        defined=None if is_old else says.spec,
        in_effect=in_effect,
        power=power,
        by_hand=says.by_hand,
        locked=locked,
        unreliable=says.unreadable and f"its config {says.unreadable}: install that geats",
        places=says.places,
    )


def foreign(folder: Path, power: Power) -> DriverSeen:
    """One that somebody else made: its NICs, as its ``config`` says them."""
    text = vm_files.read(folder, CONFIG) or ""
    own = any(not path.startswith(INCLUDES) for path in included_by(text))  # LXC's have no NIC
    nics = nics_of(text, lxc_includes.on_host([text]).includes if own else {})
    return DriverSeen(power=power, foreign=True, foreign_nics=nics)


def ids_by_hand(options: Options) -> Iterator[tuple[int, int]]:
    """Ids that a person gave to containers, as their configs say: ranges of a first and a number.

    Nobody else knows of them: they are in no description of geats.
    """
    for name in folders.names(options):
        with suppress(OSError):  # which ``observe`` tells of that container alone
            text = vm_files.read(options.path / name, CONFIG) or ""
            lines = [found[1] for found in IDMAP.finditer(text)]
            if not lines:
                continue
            described = spec_of_lxc_config(text).map(lambda spec: spec.ids).value_or(())
            own = {(each.host, each.count) for each in described}
            said = [one for line in lines for one in from_lxc_values([line]) or ()]
            yield from (at for e in said if (at := (e.host, e.count)) not in own)


def config_text(options: Options, name: str) -> ConfigText | None:
    """The ``config`` of a container, if it is a plain file."""
    folder = folders.any_folder_of(options, name)
    text = vm_files.read(folder, CONFIG)
    if text is None:
        return None
    return ConfigText(file=f"{folder / CONFIG}", text=text, on_host=lxc_includes.on_host([text]))


def left_of(options: Options, name: str, known: Iterable[str]) -> tuple[Path, ...]:
    """The cgroups that contain processes of the container, whether or not it has a monitor."""
    try:
        config = config_text(options, name)
    except OSError:  # which ``observe`` tells of that container alone
        config = None
    rootfs = "" if config is None else root_of(config.text)
    return lxc_payload.left_of(name, frozenset(known), rootfs)


def check_ours(options: Options, name: str) -> None:
    """A container that somebody else made is never overwritten, nor removed."""
    if seen(options, name, monitor.power(str(options.path), name)).foreign:
        folder = options.path / name
        raise HostError(f"{folder} is of a container that geats did not make")


def check_none_is_elsewhere(options: Options) -> None:
    """Sockets are seen in their own network namespace only: one there would look stopped."""
    elsewhere = process.monitors_elsewhere(options.path)
    if elsewhere:
        raise HostError(
            f"{', '.join(sorted(elsewhere))}: runs in another network namespace than this"
            " process; use geats in the one that it was started in"
        )


def usage(options: Options, names: Iterable[str]) -> dict[str, Info]:
    """Statistics of each of these, as far as they can be read."""
    found: dict[str, Info] = {}
    for name in names:
        with suppress(HostError):  # of this one nothing is known, which its columns show
            found[name] = statistics(options, name)
    return found


def statistics(options: Options, name: str) -> Info:
    """Read from /proc and the cgroups; liblxc is not asked, so this cannot hang."""
    folders.folder_of(options, name)
    pid = monitor.init_pid(str(options.path), name)
    if pid is None:
        return Info()
    try:
        usage = cgroups.usage(name, pid)
        received, sent = addresses.traffic(pid)
        return Info(
            pid=pid,
            addresses=addresses.addresses(pid),
            memory_used_bytes=usage.memory_used_bytes,
            memory_limit_bytes=usage.memory_limit_bytes,
            cpu_time_s=usage.cpu_time_s,
            uptime_s=processes.age_s(pid),
            disk_read_bytes=usage.disk_read_bytes,
            disk_written_bytes=usage.disk_written_bytes,
            network_received_bytes=received,
            network_sent_bytes=sent,
        )
    except (FileNotFoundError, ProcessLookupError):
        return Info()  # it ended just now
    except OSError as error:
        raise HostError(f"cannot read statistics of {name}: {error}") from error
