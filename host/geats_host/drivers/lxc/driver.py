"""The driver ``lxc``: containers by liblxc, each a directory below one lxcpath.

Theory of operation
-------------------
``LXCPATH/NAME/config`` is the definition. It holds the spec that it was rendered from, and tells
the lines that geats wrote from those that a person added (``geats_core.vm.lxc_config``). A
container whose ``config`` is by another hand, or that runs without any file of geats, is foreign.
``started`` holds the spec that the container was last started with, ``log`` what liblxc says,
and ``geats.locked`` is there while the container is protected from deletion.
Whatever liblxc does, it does in a child process (``process``); what it can be asked without
it, is read from its command socket (``monitor``), from /proc, and from the cgroups.
"""

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.foreign.lxc_lines import included_by, root_of
from geats_core.foreign.lxc_nics import nics_of
from geats_core.planning.plugin_facts import DriverFacts, Offer
from geats_core.planning.spec_changes import LIVE_LIMITS, Cost, Impact
from geats_core.reading import fields
from geats_core.reading.checked import Code, Problem, Problems
from geats_core.reading.fields import printable
from geats_core.vm.lxc_config import (
    HALT,
    HALT_SIGNAL,
    INCLUDES,
    LxcConfig,
    LxcFacts,
    live_items,
    render_lxc_config,
    unwritable,
)
from geats_core.vm.observation import Power
from geats_core.vm.spec import Init, Limits, RootKind, VMSpec
from geats_host.drivers import (
    ConfigText,
    DriverSeen,
    Info,
    Place,
    Ran,
    Trial,
    held,
    lock_marks,
    vm_files,
)
from geats_host.drivers import binding as drivers_binding
from geats_host.drivers.binding import Binding
from geats_host.drivers.held import HELD
from geats_host.drivers.lxc import definition, monitor, process
from geats_host.drivers.lxc import hold as lxc_hold
from geats_host.drivers.lxc import leftovers as lxc_left
from geats_host.drivers.lxc.definition import CONFIG, LOG, OURS, ROOTFS
from geats_host.drivers.lxc.kernel import addresses as lxc_addresses
from geats_host.drivers.lxc.kernel import apparmor, cgroups, links
from geats_host.drivers.lxc.kernel import payload as lxc_payload
from geats_host.drivers.lxc.library import LXC
from geats_host.drivers.lxc.monitor import Listener
from geats_host.drivers.lxc.options import Options, read_options
from geats_host.errors import HostError
from geats_host.guest_trees import guest_init
from geats_host.lazy import later
from geats_host.leftovers import Left
from geats_host.linux import processes
from geats_host.linux.cgroup_version import is_v2
from geats_host.linux.network import bridges
from geats_host.linux.subordinate_ids import not_roots, subordinate_ids

if TYPE_CHECKING:
    from geats_core.planning.actions import Adopt
    from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
    from geats_host.drivers.lxc import attach as lxc_attach
    from geats_host.drivers.lxc import trial as lxc_trial
    from geats_host.inputs import lxc_includes
else:
    lxc_attach = later("geats_host.drivers.lxc.attach")
    lxc_trial = later("geats_host.drivers.lxc.trial")
    lxc_includes = later("geats_host.inputs.lxc_includes")

DIRECTORIES = frozenset({Offer.DIRECTORY})
# The halt signal is read from the config by whoever sends it: the next shutdown has the new one.
COSTS = {**LIVE_LIMITS, "init": Cost.always(Impact.NONE)}
LONGEST_S = 1_000_000  # poll(2) takes milliseconds in 31 bits


def open_driver(options: Mapping[object, object], state_dir: Path) -> "LxcDriver":
    """The driver of containers; for its options see ``Options``."""
    return LxcDriver(read_options(options, state_dir))


def _check_shifts(spec: VMSpec, shifted_by: Mapping[str, int], first: int) -> None:
    for name, by in shifted_by.items():
        if by not in (0, first):
            raise HostError(
                f"the volume {name} of {spec.name} holds ids from {by}, and its guest has them"
                f" from {first}: give pool and driver the same idmap_first"
            )


@dataclass(frozen=True, slots=True)
class LxcDriver:
    """Containers on this host; see the Protocol ``Driver`` for what each method does."""

    options: Options

    def trials(self) -> Iterator[Trial]:
        """Try a container of this driver, below another lxcpath."""
        return lxc_trial.trials(self.options, LxcDriver)

    def make_lxcpath(self) -> None:
        """Make the directory of all containers, or make it root's if it exists."""
        self._check_link()
        with vm_files.host_errors(f"cannot make {self.options.path}"):
            vm_files.make_folder(self.options.path.resolve(), 0o711)

    def _check_link(self) -> None:
        """The lxcpath may be a link, but one that leads nowhere is a disk that is not mounted."""
        if self.options.path.is_symlink() and not self.options.path.exists():
            raise HostError(
                f"{self.options.path} is a link that leads nowhere: mount what it is on"
            )

    @property
    def binding(self) -> Binding:
        """What calls liblxc; ``HostError`` if nothing on this host can."""
        return drivers_binding.sound(LXC, self.options.python, self.options.state_dir)

    @property
    def facts(self) -> DriverFacts:
        """Directories, and nothing else: what is in a file or a block device has to be mounted."""
        return DriverFacts(
            roots=DIRECTORIES,
            volumes=DIRECTORIES,
            costs=COSTS,
            no_start=apparmor.no_start(),
            location=f"{self.options.path}",
            keys={},
            root_kind=RootKind.TREE,
            guests_mount=False,
        )

    def observe(self, only: str | None = None) -> Mapping[str, DriverSeen]:
        """Every container below the lxcpath. One question to all monitors at once: 1 s at most."""
        with vm_files.host_errors("cannot observe containers"):
            known, lxcpath = frozenset(self._names()), str(self.options.path)
            there = known.union(filter(fields.VM_NAME.fullmatch, monitor.addressed(lxcpath)))
            names = sorted(there if only is None else there & {only})
            powers = dict(monitor.powers(lxcpath, names))
            off = [name for name, power in powers.items() if power is Power.STOPPED]
            if off:
                self._check_none_is_elsewhere()
            left = [
                name for name in lxc_payload.names().intersection(off) if self._left_of(name, known)
            ]
            # Its start may have begun between the two looks: then there is a monitor now.
            again = monitor.powers(lxcpath, left)
            powers |= {
                name: Power.STUCK if power is Power.STOPPED else power
                for name, power in again.items()
            }
            return {
                name: self._seen(name, power)
                for name, power in powers.items()
                if name in known or power is not Power.STOPPED
            } | (self._strangers() if only is None else {})

    def _strangers(self) -> dict[str, DriverSeen]:
        """The containers that no VM can be called, as far as their names can be shown."""
        lxcpath, called = str(self.options.path), self._strange_names()
        return {
            label: self._foreign(self.options.path / name, monitor.power(lxcpath, name))
            for label, name in called.items()
        }

    def _strange_names(self) -> dict[str, str]:
        """The names of the containers that no VM can be called; by what can be shown of them."""
        return {
            printable(name): name
            for name in sorted(self._folders())
            if not fields.VM_NAME.fullmatch(name)
            and os.path.lexists(self.options.path / name / CONFIG)
        }

    def leftovers(self, vms: Collection[str]) -> Iterator[Left]:
        """Folders and interfaces of containers that are off; see ``Clearing``."""
        seen = self.observe()
        on = {name for name, vm in seen.items() if vm.power is not Power.STOPPED}
        with vm_files.host_errors("cannot look for what is left of containers"):
            yield from lxc_left.folders(self.options.path, seen.keys() - on)
            yield from links.leftovers({*vms, *seen}, on)

    def bridges(self) -> frozenset[str] | None:
        """The bridges of the host."""
        return bridges()

    def define(self, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...] = ()) -> None:
        """Write the container's ``config``; refused if volumes have ids of another range."""
        text = self._rendered(spec, places, keep)
        with vm_files.host_errors(f"cannot define {spec.name}"):
            folder = self._folder(spec.name)
            self._check_ours(spec.name)
            self.make_lxcpath()
            definition.write_config(folder, text)

    def config_text(self, name: str) -> ConfigText | None:
        """The ``config`` of a container, if it is a plain file."""
        folder = self._any_folder(name)
        text = vm_files.read(folder, CONFIG)
        if text is None:
            return None
        return ConfigText(
            file=f"{folder / CONFIG}", text=text, on_host=lxc_includes.on_host([text])
        )

    def cannot_read(self, lines: Sequence[str]) -> tuple[str, ...]:
        """What liblxc could not read: then it reads nothing of a config, and starts nothing."""
        with vm_files.host_errors("cannot try lines of a config"):
            return definition.unread_by_liblxc(lines)

    def adopt(self, adopt: "Adopt", places: Mapping[str, Place]) -> None:
        """Replace the ``config``, and keep the old one beside it."""
        spec, folder = adopt.spec, self._folder(adopt.spec.name)
        text = self._rendered(spec, places, adopt.keep)
        old = self.config_text(adopt.called or spec.name)
        if old is None or sha256(old.text.encode()).hexdigest() != adopt.sha256:
            raise HostError(f"{folder / CONFIG} was changed since the adoption was planned")
        with vm_files.host_errors(f"cannot adopt {spec.name}"):
            if adopt.called:
                self._check_off(adopt.called)
                definition.write_config(folder, text)
                definition.put_aside(self._any_folder(adopt.called))
                return
            if monitor.is_on(str(self.options.path), spec.name):
                definition.write_started(folder, adopt.running)
            definition.keep_config(folder)
            definition.write_config(folder, text)

    def _check_off(self, label: str) -> None:
        """One that runs goes by its old name until it ends."""
        if monitor.is_on(str(self.options.path), self._any_folder(label).name):
            raise HostError(f"{label}: runs, and cannot get another name: power it off first")

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Put a file beside the container's ``config``, or remove it."""
        with vm_files.host_errors(f"cannot mark {name} as {'' if locked else 'not '}locked"):
            lock_marks.set_locked(self._folder(name), locked=locked)

    def undefine(self, name: str) -> None:
        """Remove the container's directory; refused while it runs, or holds what is not ours."""
        folder = self._folder(name)
        with vm_files.host_errors(f"cannot undefine {name}"):
            if monitor.is_on(str(self.options.path), name) or self._left_of(name, self._names()):
                raise HostError(f"{name} runs: it cannot be undefined")
            self._check_ours(name)
            if folder.is_symlink() or folder.exists():
                vm_files.remove_folder(folder, OURS, ROOTFS)

    def cannot_define(self, spec: VMSpec) -> Problems:
        """Whether root may give the guest the ids that it is to have: see ``CheckingDriver``."""
        with vm_files.host_errors(f"cannot look for the ids of {spec.name}"):
            why = "; ".join(not_roots(spec.idmap)) if spec.idmap else ""
            return (Problem("idmap", why, Code.REFUSED),) if why else ()

    def cannot_undefine(self, name: str) -> str:
        """Whether the container's directory holds what is not ours: see ``ForeseeingDriver``."""
        folder = self._folder(name)
        with vm_files.host_errors(f"cannot look into {folder}"):
            return vm_files.strange_files(folder, OURS, ROOTFS) if folder.is_dir() else ""

    def start(self, name: str) -> None:
        """Start; if it fails, or ends within a moment, the error has liblxc's own reasons."""
        folder = self._folder(name)
        config = definition.config(folder)
        if config is None or config.spec is None:
            raise HostError(f"{name} is not defined")
        if monitor.is_on(str(self.options.path), name):
            raise HostError(f"{name} is on already")
        with vm_files.host_errors(f"cannot start {name}"):
            self._check_address(name)
            if name in lxc_payload.names():  # of a monitor that was killed
                cgroups.remove_leftovers(name, frozenset(self._names()))
            links.make_way(config.spec)
            vm_files.remove_files(folder, (LOG, HELD))
            definition.write_started(folder, config.spec)
            try:
                path, timeout_s = self.options.path, self.options.timeout_s
                process.run("start", self._starting(config.spec), path, name, timeout_s)
                self._settle(name)
            except HostError:
                self.end(name)
                raise

    def shutdown(self, name: str, timeout_s: int) -> str:
        """Send the guest its halt signal, again every few seconds; at last stop it."""
        timeout_s, forced = min(timeout_s, LONGEST_S), ""
        with vm_files.host_errors(f"cannot shut {name} down"), self._until_off(name):
            asked = (str(timeout_s), *self._signal_of_its_init(name))
            try:
                self._call("shutdown", name, *asked, within_s=timeout_s + 5)
            except HostError:
                if monitor.is_on(str(self.options.path), name):
                    forced = f"it did not shut down within {timeout_s} s, and was powered off"
                    self._call("stop", name)
        return forced

    def _signal_of_its_init(self, name: str) -> tuple[str, ...]:
        """The number of the signal, if nothing says it, and liblxc would send the wrong one."""
        config = definition.config(self._folder(name))
        pid = monitor.init_pid(str(self.options.path), name)
        if config is None or config.spec is None or pid is None:
            return ()
        said = any(line.startswith(HALT) for line in config.by_hand)
        if config.spec.init is not Init.AUTO or said:
            return ()
        found = guest_init.found(pid)
        return () if found is None else (str(signal.Signals[HALT_SIGNAL[found]].value),)

    def stop(self, name: str) -> None:
        """Kill every process of the container."""
        with vm_files.host_errors(f"cannot stop {name}"), self._until_off(name):
            self._call("stop", name)

    def freeze(self, name: str) -> None:
        """Suspend every process."""
        with vm_files.host_errors(f"cannot freeze {name}"):
            lxc_hold.let_go(self._folder(name))  # from now on it is by wish
        self._change("freeze", name, Power.FROZEN)

    def hold(self, name: str) -> None:
        """Suspend every process; a process that outlives this one lets them go on."""
        if monitor.power(str(self.options.path), name) is not Power.RUNNING:
            raise HostError(f"{name} does not run: it cannot be held")
        try:
            lxc_hold.hold(self.binding, self.options.path, name, self.options.timeout_s)
        except HostError:
            with suppress(HostError):  # it may be frozen now, or not
                self.unfreeze(name)
            raise

    def unfreeze(self, name: str) -> None:
        """Let the processes go on."""
        self._change("unfreeze", name, Power.RUNNING)
        with vm_files.host_errors(f"cannot unfreeze {name}"):
            lxc_hold.let_go(self._folder(name))

    def repair(self, name: str) -> None:
        """Kill the monitor and the container with it, or what is left of that without a monitor."""
        self._folder(name)
        with vm_files.host_errors(f"cannot repair {name}"):
            self._check_still_stuck(name)
            self.end(name)

    def end(self, name: str) -> None:
        """Make sure that nothing of the container runs, whatever state it is in."""
        left = self._left_of(name, self._names())
        for payload in left:
            cgroups.thaw(payload)
        process.kill_monitors(self.options.path, name, self.options.timeout_s)
        lxc_payload.end(left, self.options.timeout_s)
        self._wait_until_off(name)

    def set_limits(self, name: str, limits: Limits) -> None:
        """Write the limits into the running container's cgroups."""
        folder = self._folder(name)
        items = live_items(limits, cgroup2=is_v2())
        with vm_files.host_errors(f"cannot change the limits of {name}"):
            self._call("set-limits", name, *(f"{key}={value}" for key, value in items))
            started = definition.started(folder)
            if started is not None:
                definition.write_started(folder, replace(started, limits=limits))

    def info(self, name: str) -> Info:
        """Read from /proc and the cgroups; liblxc is not asked, so this cannot hang."""
        self._folder(name)
        pid = monitor.init_pid(str(self.options.path), name)
        if pid is None:
            return Info()
        try:
            usage = cgroups.usage(name, pid)
            return Info(
                pid=pid,
                addresses=lxc_addresses.addresses(pid),
                memory_used_bytes=usage.memory_used_bytes,
                memory_limit_bytes=usage.memory_limit_bytes,
                cpu_time_s=usage.cpu_time_s,
            )
        except (FileNotFoundError, ProcessLookupError):
            return Info()  # it ended just now
        except OSError as error:
            raise HostError(f"cannot read statistics of {name}: {error}") from error

    def console_command(self, name: str) -> Sequence[str]:
        """The program of LXC that attaches to a console."""
        self._folder(name)
        return ["lxc-console", "-P", str(self.options.path), "-n", name]

    def exec(self, name: str, command: "Command") -> Ran:
        """Run a program in a running container, in a session of its own."""
        request = {
            "do": "run",
            "argv": command.argv,
            "user": command.user,
            "cwd": command.cwd,
            "env": dict(command.env),
        }
        with vm_files.host_errors(f"cannot run a program in {name}"):
            return self._attached(name, request, command.timeout_s)

    def write_file(self, name: str, file: "FileToWrite", source: int) -> None:
        """Write a file as root of the guest does, from within its namespaces."""
        request = {
            "do": "write",
            "path": file.path,
            "mode": file.mode,
            "owner": file.owner,
            "group": file.group,
        }
        self._do(name, request, file.timeout_s, source)

    def read_file(self, name: str, file: "FileToRead", target: int) -> None:
        """Read a file as root of the guest does, from within its namespaces."""
        request = {"do": "read", "path": file.path, "max_bytes": file.max_bytes}
        self._do(name, request, file.timeout_s, target)

    def _do(self, name: str, request: Mapping[str, object], timeout_s: int, file: int) -> None:
        with vm_files.host_errors(f"cannot {request['do']} a file of {name}"):
            ran = self._attached(name, request, timeout_s, file)
        if ran.code != 0:
            said = ran.stderr.decode(errors="replace").strip()[-2000:]
            why = f"it took more than {timeout_s} s" if ran.code is None else said
            raise HostError(f"cannot {request['do']} {request['path']} of {name}: {why}")

    def _attached(
        self, name: str, request: Mapping[str, object], timeout_s: int, file: int | None = None
    ) -> Ran:
        self._folder(name)
        power = monitor.power(str(self.options.path), name)
        if power is not Power.RUNNING:  # attaching to one that is frozen does not end
            raise HostError(f"{name} is {power}")
        definition.bound_log(self._folder(name))
        path = self.options.path
        return lxc_attach.attached(self.binding, path, name, request, timeout_s, file)

    def _names(self) -> Iterator[str]:
        return filter(fields.VM_NAME.fullmatch, self._folders())

    def _folders(self) -> Iterator[str]:
        self._check_link()
        if not self.options.path.exists():  # nothing was defined yet
            return
        with os.scandir(self.options.path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def _check_none_is_elsewhere(self) -> None:
        """Sockets are seen in their own network namespace only: one there would look stopped."""
        elsewhere = process.monitors_elsewhere(self.options.path)
        if elsewhere:
            raise HostError(
                f"{', '.join(sorted(elsewhere))}: runs in another network namespace than this"
                " process; use geats in the one that it was started in"
            )

    def _seen(self, name: str, power: Power) -> DriverSeen:
        """One container; if its files cannot be read, that is the trouble of this one alone."""
        try:
            return self._as_written(name, power)
        except OSError as error:
            why = vm_files.unreadable(self.options.path / name, error)
            return DriverSeen(power=power, unreliable=why)

    def _as_written(self, name: str, power: Power) -> DriverSeen:
        folder = self.options.path / name
        off = power is Power.STOPPED
        config, locked = definition.config(folder), lock_marks.is_locked(folder)
        in_effect = None if off else definition.started(folder)
        made_by_geats = off or in_effect is not None if config is None else not config.foreign
        if not made_by_geats:
            return replace(self._foreign(folder, power), locked=locked)
        if power is Power.FROZEN:
            is_held = held.is_held(folder)
            power = Power.HELD if is_held else monitor.power(str(self.options.path), name)
        says = config or LxcConfig()
        return DriverSeen(
            defined=says.spec,
            in_effect=in_effect,
            power=power,
            by_hand=says.by_hand,
            locked=locked,
            unreliable=says.unreadable and f"its config {says.unreadable}: install that geats",
            places=says.places,
        )

    def _foreign(self, folder: Path, power: Power) -> DriverSeen:
        text = vm_files.read(folder, CONFIG) or ""
        own = any(not path.startswith(INCLUDES) for path in included_by(text))  # LXC's have no NIC
        nics = nics_of(text, lxc_includes.on_host([text]).includes if own else {})
        return DriverSeen(power=power, foreign=True, foreign_nics=nics)

    def _check_ours(self, name: str) -> None:
        """A container that somebody else made is never overwritten, nor removed."""
        if self._seen(name, monitor.power(str(self.options.path), name)).foreign:
            folder = self.options.path / name
            raise HostError(f"{folder} is of a container that geats did not make")

    def _check_address(self, name: str) -> None:
        """Any user can take the address of a container that is off, which then cannot start."""
        if monitor.listener(str(self.options.path), name) is Listener.STRANGER:
            raise HostError(f"the command socket of {name} is taken by a process that is not root")

    def _folder(self, name: str) -> Path:
        """The container's directory; every name that comes in is checked here."""
        if not fields.VM_NAME.fullmatch(name):
            raise HostError(f"{name!r} cannot be the name of a container")
        return self.options.path / name

    def _any_folder(self, name: str) -> Path:
        """The same, also of a container that no VM can be called: only to read it, or to adopt."""
        strange = None if fields.VM_NAME.fullmatch(name) else self._strange_names().get(name)
        return self._folder(name) if strange is None else self.options.path / strange

    def _rendered(self, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...]) -> str:
        for line in unwritable(keep):
            raise HostError(f"a line added by hand to {spec.name} cannot be kept: {line!r}")
        nowhere = Place(Path())
        paths = {v.name: str(places.get(v.name, nowhere).path) for v in spec.all_volumes}
        for name, path in paths.items():
            if not path.startswith("/") or not path.isprintable():
                raise HostError(f"the volume {name} of {spec.name} has no usable path: {path!r}")
        shifted_by = {name: place.shifted_by for name, place in places.items()}
        return render_lxc_config(spec, self._facts(spec, paths, shifted_by), keep)

    def _facts(
        self, spec: VMSpec, paths: Mapping[str, str], shifted_by: Mapping[str, int]
    ) -> LxcFacts:
        facts = LxcFacts(volume_paths=paths, apparmor=apparmor.is_enforced())
        if spec.privileged:
            _check_shifts(spec, shifted_by, 0)
            return facts
        ids = self.options.idmap or subordinate_ids()
        if ids is None:
            raise HostError(
                "root has no range of 65536 ids that is in both /etc/subuid and /etc/subgid: add"
                " the line root:100000:65536 to both, or make the VM privileged"
            )
        first, count = ids
        _check_shifts(spec, shifted_by, first)
        shifted = frozenset(name for name, by in shifted_by.items() if by)
        return replace(facts, idmap_first=first, idmap_count=count, shifted=shifted)

    def _call(self, action: str, name: str, *args: str, within_s: float | None = None) -> None:
        if not self._folder(name).is_dir():  # liblxc would make it, for its log
            raise HostError(f"{name} is not defined")
        definition.bound_log(self._folder(name))
        timeout_s = self.options.timeout_s if within_s is None else within_s
        process.call(self.binding, action, self.options.path, name, *args, timeout_s=timeout_s)

    def _starting(self, spec: VMSpec) -> list[str]:
        path, writable = self.options.path, _set_apart(spec)
        if writable is None:
            return process.starting(path, spec.name)
        return process.starting_apart(self.binding, path, spec.name, writable)

    def _settle(self, name: str) -> None:
        """See that init lives on for a moment."""
        lxcpath = str(self.options.path)
        pid = monitor.init_pid(lxcpath, name, self.options.timeout_s)
        if pid is not None and not processes.ends_within(pid, self.options.settle_s):
            return
        why = process.reasons(self.options.path / name / LOG)
        raise HostError(
            f"{name} ended right after its start: {why or 'its init ended by itself or was killed'}"
        )

    def _check_still_stuck(self, name: str) -> None:
        """A monitor that answers late is that of a busy host: its guest must not be killed."""
        if process.is_suspended(self.options.path, name):
            return
        power = self._patiently(name)
        if power in (Power.RUNNING, Power.FROZEN):
            raise HostError(f"{name} is {power}: its monitor answered late. Plan again")

    def _left_of(self, name: str, known: Iterable[str]) -> tuple[Path, ...]:
        """The cgroups that hold processes of the container, whether or not it has a monitor."""
        try:
            config = self.config_text(name)
        except OSError:  # which ``observe`` tells of that container alone
            config = None
        rootfs = "" if config is None else root_of(config.text)
        return lxc_payload.left_of(name, frozenset(known), rootfs)

    def _wait_until_off(self, name: str) -> None:
        deadline = time.monotonic() + self.options.timeout_s
        while monitor.is_on(str(self.options.path), name):
            if time.monotonic() > deadline:
                raise HostError(f"{name} is still on after {self.options.timeout_s} s")
            time.sleep(0.002)
        lxc_hold.let_go(self.options.path / name)
        cgroups.remove_leftovers(name, frozenset(self._names()))

    @contextmanager
    def _until_off(self, name: str) -> Iterator[None]:
        """Wait, after the body, for the monitor's end: it still tidies up when init is gone."""
        self._folder(name)
        init = monitor.init_pid(str(self.options.path), name)
        pid = None if init is None else process.parent(init)
        yield
        if pid is not None and not processes.ends_within(pid, self.options.timeout_s):
            raise HostError(f"the monitor of {name}, process {pid}, does not end")
        self._wait_until_off(name)

    def _change(self, action: str, name: str, wanted: Power) -> None:
        """Have liblxc do it, and wait: a monitor hears of the new state a moment after that."""
        with vm_files.host_errors(f"cannot {action} {name}"):
            self._call(action, name)
            deadline = time.monotonic() + self.options.timeout_s
            while (power := self._patiently(name)) is not wanted:
                if time.monotonic() > deadline:
                    raise HostError(f"cannot {action} {name}: it is {power}")
                time.sleep(0.002)

    def _patiently(self, name: str) -> Power:
        """Its power, as a monitor says that may take its time."""
        return monitor.power(str(self.options.path), name, self.options.timeout_s)


def _set_apart(spec: VMSpec) -> list[str] | None:
    """The writable sources of a guest's mounts that must not be seen as they change."""
    if not spec.binds and not any(volume.read_only for volume in spec.all_volumes):
        return None
    return [bind.source for bind in spec.binds if not bind.read_only and not bind.recursive]
