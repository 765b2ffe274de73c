"""The power of containers: start, shut down, stop, freeze, and end whatever state they are in."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from geats_core.containers.devices import Device, device_rules, rule_changes
from geats_core.containers.live_nics import as_seen
from geats_core.planning.actions import SetDevices
from geats_core.vm.lxc_config import HALT, HALT_SIGNAL, denies_devices, halt_signal, live_items
from geats_core.vm.observation import Power
from geats_core.vm.spec import Dns, Init, Limits, Restarts, VMSpec
from geats_host.drivers import held, vm_files
from geats_host.drivers.lxc import definition, folders, monitor, process
from geats_host.drivers.lxc import hold as lxc_hold
from geats_host.drivers.lxc import seen as lxc_seen
from geats_host.drivers.lxc.kernel import cgroups, devices, links, nics, ports
from geats_host.drivers.lxc.kernel import payload as lxc_payload
from geats_host.drivers.lxc.library import binding_of
from geats_host.drivers.lxc.options import Options
from geats_host.errors import HostError
from geats_host.guest_trees import guest_init
from geats_host.linux import processes
from geats_host.linux.cgroup_version import is_v2

LONGEST_S = 1_000_000  # poll(2) takes milliseconds in 31 bits


def start(options: Options, name: str) -> None:
    """Start; if it fails, or ends within a moment, the error has liblxc's own reasons."""
    folder = folders.folder_of(options, name)
    config = definition.config(folder)
    if config is None or config.spec is None:
        raise HostError(f"{name} is not defined")
    if monitor.is_on(str(options.path), name):
        raise HostError(f"{name} is on already")
    with vm_files.host_errors(f"cannot start {name}"):
        _check_address(options, name)
        if name in lxc_payload.names():  # of a monitor that was killed
            cgroups.remove_leftovers(name, frozenset(folders.names(options)))
        links.make_way(config.spec)
        vm_files.remove_files(folder, (definition.LOG, held.HELD))
        definition.renew_device_rules(folder, config.spec)
        definition.write_started(folder, config.spec)
        try:
            path, timeout_s = options.path, options.timeout_s
            process.run("start", _starting(options, config.spec), path, name, timeout_s)
            _settle(options, name)
        except HostError:
            end(options, name)
            raise


def shutdown(options: Options, name: str, timeout_s: int) -> str:
    """Send the guest its halt signal, again every few seconds; at last stop it."""
    timeout_s, forced = min(timeout_s, LONGEST_S), ""
    with vm_files.host_errors(f"cannot shut {name} down"), _until_off(options, name):
        asked = (str(timeout_s), *_signal_of_its_init(options, name))
        try:
            _call(options, "shutdown", name, *asked, within_s=timeout_s + 5)
        except HostError:
            if monitor.is_on(str(options.path), name):
                forced = f"it did not shut down within {timeout_s} s, and was powered off"
                _call(options, "stop", name)
    return forced


def _signal_of_its_init(options: Options, name: str) -> tuple[str, ...]:
    """The number of the signal, if nothing says it, and liblxc would send the wrong one."""
    config = definition.config(folders.folder_of(options, name))
    pid = monitor.init_pid(str(options.path), name)
    if config is None or config.spec is None or pid is None:
        return ()
    said = any(line.startswith(HALT) for line in config.by_hand)
    if halt_signal(config.spec) or said:
        return ()
    found = guest_init.found(pid)
    return () if found is None else (str(signal.Signals[HALT_SIGNAL[found]].value),)


def stop(options: Options, name: str) -> None:
    """Kill every process of the container."""
    with vm_files.host_errors(f"cannot stop {name}"), _until_off(options, name):
        _call(options, "stop", name)


def freeze(options: Options, name: str) -> None:
    """Suspend every process."""
    with vm_files.host_errors(f"cannot freeze {name}"):
        lxc_hold.let_go(folders.folder_of(options, name))  # from now on it is by wish
    _change(options, "freeze", name, Power.FROZEN)


def hold(options: Options, name: str) -> None:
    """Suspend every process; a process that outlives this one lets them go on."""
    if monitor.power(str(options.path), name) is not Power.RUNNING:
        raise HostError(f"{name} does not run: it cannot be held")
    try:
        lxc_hold.hold(binding_of(options), options.path, name, options.timeout_s)
    except HostError:
        with suppress(HostError):  # it may be frozen now, or not
            unfreeze(options, name)
        raise


def unfreeze(options: Options, name: str) -> None:
    """Let the processes go on."""
    _change(options, "unfreeze", name, Power.RUNNING)
    with vm_files.host_errors(f"cannot unfreeze {name}"):
        lxc_hold.let_go(folders.folder_of(options, name))


def repair(options: Options, name: str) -> None:
    """Kill the monitor and the container with it, or what is left of that without a monitor."""
    folders.folder_of(options, name)
    with vm_files.host_errors(f"cannot repair {name}"):
        _check_still_stuck(options, name)
        end(options, name)


def end(options: Options, name: str) -> None:
    """Make sure that nothing of the container runs, whatever state it is in."""
    left = lxc_seen.left_of(options, name, folders.names(options))
    for payload in left:
        cgroups.thaw(payload)
    process.kill_monitors(options.path, name, options.timeout_s)
    lxc_payload.end(left, options.timeout_s)
    _wait_until_off(options, name)


def set_limits(options: Options, name: str, limits: Limits) -> None:
    """Write the limits into the running container's cgroups."""
    folder = folders.folder_of(options, name)
    with vm_files.host_errors(f"cannot change the limits of {name}"):
        started = definition.started(folder)
        was = Limits() if started is None else started.limits
        items = live_items(limits, was, cgroup2=is_v2())
        _call(options, "set-limits", name, *(f"{key}={value}" for key, value in items))
        if started is not None:
            definition.write_started(folder, replace(started, limits=limits))


def set_devices(options: Options, name: str, wanted: SetDevices) -> None:
    """Attach what comes and detach what goes; each that is done is not done again."""
    folder, pid = folders.folder_of(options, name), monitor.init_pid(str(options.path), name)
    started = definition.started(folder)
    if pid is None or started is None:
        raise HostError(f"{name}: it is not known what it runs with")
    had, has = (dict(_devices_by_name(each)) for each in (started, wanted.spec))
    with vm_files.host_errors(f"cannot change the devices of {name}"):
        for device in had.values():
            if has.get(device.name, device) != device or device.name not in has:
                devices.detach(pid, device, options.timeout_s)
        _allow(options, started, wanted.spec)
        for device in has.values():
            is_there = not device.optional or Path(device.source).exists()
            if had.get(device.name) != device and is_there:
                devices.attach(pid, device, options.timeout_s)
        now = as_seen(name, started.nics, ports.ends())
        nics.bring(name, pid, now, wanted.spec.nics)
        definition.write_started(folder, wanted.in_effect(started))


def note_dns(options: Options, name: str, dns: Dns) -> None:
    """Note what the guest was told."""
    folder = folders.folder_of(options, name)
    started = definition.started(folder)
    if started is None or not monitor.is_on(str(options.path), name):
        raise HostError(f"{name}: it is not known what it runs with")
    with vm_files.host_errors(f"cannot note the dns of {name}"):
        definition.write_started(folder, replace(started, dns=dns))


def _allow(options: Options, runs: VMSpec, wanted: VMSpec) -> None:
    """Take back the rules for devices that go or change, and add those of devices that come."""
    was, is_now = (
        [*device_rules(each.devices, devices.nodes(each.devices), denied=denied, cgroup2=is_v2())]
        for denied in [denies_devices(runs)]
        for each in (runs, wanted)
    )
    rules = [*rule_changes(was, is_now)]
    if rules:
        _call(options, "allow-devices", runs.name, *(f"{key}={value}" for key, value in rules))


def _devices_by_name(spec: VMSpec) -> Iterator[tuple[str, Device]]:
    return ((device.name, device) for device in spec.devices)


def _check_address(options: Options, name: str) -> None:
    """Any user can take the address of a container that is off, which then cannot start."""
    if monitor.listener(str(options.path), name) is monitor.Listener.STRANGER:
        raise HostError(f"the command socket of {name} is taken by a process that is not root")


def _starting(options: Options, spec: VMSpec) -> list[str]:
    path, writable = options.path, _set_apart(spec)
    told = spec.restart is not Restarts.NO or spec.init is Init.NONE  # whose end is that of a job
    command = process.starting(
        path, spec.name, telling_its_end=told, console_bytes=spec.program.console_log
    )
    if writable is None:
        return command
    return process.starting_apart(binding_of(options), path, spec.name, writable, command)


def _settle(options: Options, name: str) -> None:
    """See that init lives on for a moment."""
    lxcpath = str(options.path)
    pid = monitor.init_pid(lxcpath, name, options.timeout_s)
    if pid is not None and not processes.ends_within(pid, options.settle_s):
        return
    why = process.reasons(options.path / name / definition.LOG)
    raise HostError(
        f"{name} ended right after its start: {why or 'its init ended by itself or was killed'}"
    )


def _check_still_stuck(options: Options, name: str) -> None:
    """A monitor that answers late is that of a busy host: its guest must not be killed."""
    if process.is_suspended(options.path, name):
        return
    power = _patiently(options, name)
    if power in (Power.RUNNING, Power.FROZEN):
        raise HostError(f"{name} is {power}: its monitor answered late. Plan again")


def _wait_until_off(options: Options, name: str) -> None:
    deadline = time.monotonic() + options.timeout_s
    while monitor.is_on(str(options.path), name):
        if time.monotonic() > deadline:
            raise HostError(f"{name} is still on after {options.timeout_s} s")
        time.sleep(0.002)
    lxc_hold.let_go(options.path / name)
    cgroups.remove_leftovers(name, frozenset(folders.names(options)))


@contextmanager
def _until_off(options: Options, name: str) -> Iterator[None]:
    """Wait, after the body, for the monitor's end: it still tidies up when init is gone."""
    folders.folder_of(options, name)
    init = monitor.init_pid(str(options.path), name)
    pid = None if init is None else process.parent(init)
    yield
    if pid is not None and not processes.ends_within(pid, options.timeout_s):
        raise HostError(f"the monitor of {name}, process {pid}, does not end")
    _wait_until_off(options, name)


def _change(options: Options, action: str, name: str, wanted: Power) -> None:
    """Have liblxc do it, and wait: a monitor hears of the new state a moment after that."""
    with vm_files.host_errors(f"cannot {action} {name}"):
        _call(options, action, name)
        deadline = time.monotonic() + options.timeout_s
        while (power := _patiently(options, name)) is not wanted:
            if time.monotonic() > deadline:
                raise HostError(f"cannot {action} {name}: it is {power}")
            time.sleep(0.002)


def _patiently(options: Options, name: str) -> Power:
    """Its power, as a monitor says that may take its time."""
    return monitor.power(str(options.path), name, options.timeout_s)


def _call(
    options: Options, action: str, name: str, *args: str, within_s: float | None = None
) -> None:
    if not folders.folder_of(options, name).is_dir():  # liblxc would make it, for its log
        raise HostError(f"{name} is not defined")
    definition.bound_log(folders.folder_of(options, name))
    timeout_s = options.timeout_s if within_s is None else within_s
    process.call(binding_of(options), action, options.path, name, *args, timeout_s=timeout_s)


def _set_apart(spec: VMSpec) -> list[str] | None:
    """The writable sources of a guest's mounts that must not be seen as they change."""
    if not spec.binds and not any(volume.read_only for volume in spec.all_volumes):
        return None
    return [
        bind.source
        for bind in spec.binds
        if not bind.read_only and not bind.recursive and not bind.slave
    ]
