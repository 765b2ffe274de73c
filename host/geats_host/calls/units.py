"""The units of systemd that start and end VMs with their host: installed, kept right and removed.

Steps are looked up first and shown, and the same ones are carried out (see ``unit_files`` for why
there are units at all). Only files that geats wrote are replaced or removed.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from geats_core.declared.config import HostConfig, parse_config
from geats_core.declared.policy import HostPolicy
from geats_core.reading import fields
from geats_host.drivers import vm_files
from geats_host.errors import HostError, Refused, accepted
from geats_host.linux import unit_files
from geats_host.linux.run import run

Report = dict[str, object]
FOLDER, RUNS = "etc/systemd/system", unit_files.RUNS
PACKAGED = "usr/lib/systemd/system"  # where Debian's package of geats has the same units
SAVED = "units.json"  # the configuration, for a host whose configuration comes from Salt
ANY = range(256)  # exit codes of systemctl, which says the same in words
RUN_BY, CONFIGURED = re.compile(r"path=(.+?) ; "), re.compile(r"--config (.+?) halt ; ")
NAMES = (
    unit_files.SERVICE,
    *("geats-exports.service", "geats-exports.timer"),
    *("geats-snapshots.service", "geats-snapshots.timer"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """What is done, in words, why, and how."""

    text: str
    reason: str
    does: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Saved:
    """The configuration of a host that has no file of it: what its units are given."""

    path: Path
    raw: object

    @property
    def text(self) -> str:
        """As ``configuration.from_file`` reads it, in JSON, which is YAML as well."""
        return json.dumps({"geats": self.raw}, indent=1, sort_keys=True, default=str) + "\n"


def command(file: Path | None) -> list[str]:
    """What runs geats with the configuration in *file*; None is the default, if that is there."""
    beside = Path(sys.executable).with_name("geats")
    program = next(filter(Path.exists, (beside, Path(unit_files.PACKAGED_PROGRAM))), None)
    runs = [f"{program}"] if program else [sys.executable, "-m", "geats_host.cli.main"]
    return runs if file is None else [*runs, "--config", f"{file}"]


def of_salt(raw: object, *, remove: object) -> tuple[Step, ...]:
    """The steps for a host whose configuration, *raw*, comes from Salt: units get a copy of it."""
    config = accepted(parse_config(raw), "geats")
    saved = Saved(Path(config.state_dir) / SAVED, raw)
    if accepted(fields.boolean("remove", remove)):
        return removing(saved)
    return installing(config, saved.path, saved)


def installing(
    config: HostConfig, file: Path | None, saved: Saved | None = None, root: Path = Path("/")
) -> tuple[Step, ...]:
    """The steps after which the units are there, as they should be, and active."""
    policy = config.policy
    wanted = unit_files.units(
        command(file),
        exports=unit_files.DAILY if policy.exports else None,
        snapshots=unit_files.DAILY if policy.snapshots else None,
    )
    _check(root)
    kept = [] if saved is None else list(_saving(saved))
    gone = [name for name in NAMES if name not in wanted and _is_used(root, name)]
    steps = [*kept, *_removed(gone, root), *_written(wanted, root)]
    if len(steps) > len(kept):
        steps.append(_reload())
    return (*steps, *_active(_started(policy), root))


def removing(saved: Saved | None = None, root: Path = Path("/")) -> tuple[Step, ...]:
    """The steps after which there are none; no VM is powered off by that."""
    _check(root)
    gone = [name for name in NAMES if _is_used(root, name)]
    steps = (*_removed(gone, root), _reload()) if gone else ()
    if saved is not None and saved.path.exists():
        return (*steps, Step(f"remove {saved.path}", "no unit needs it", saved.path.unlink))
    return steps


def not_enabled(policy: HostPolicy, root: Path = Path("/")) -> list[str]:
    """The units that systemd should start with the host, and does not."""
    names = _started(policy)
    return [name for name in names if not (_is_there(root, name) and _is_enabled(name, root))]


def faults(policy: HostPolicy) -> list[str]:
    """Why the units of this host do not do what they are for, as far as systemd can tell."""
    try:
        return [fault for name in _started(policy) for fault in _faults(name)]
    except HostError as error:
        return [str(error)]


def _started(policy: HostPolicy) -> list[str]:
    """What is enabled and active: the service, and a timer for each thing that is deleted."""
    kinds = {"exports": policy.exports, "snapshots": policy.snapshots}
    return [unit_files.SERVICE, *(f"geats-{kind}.timer" for kind, kept in kinds.items() if kept)]


def _faults(name: str) -> Iterator[str]:
    options = [f"--property={key}" for key in ("ActiveState", "NeedDaemonReload", "ExecStop")]
    said = dict(
        line.split("=", 1) for line in run(["systemctl", "show", *options, name]).splitlines()
    )
    if said["ActiveState"] != "active":
        yield f"{name} is {said['ActiveState']}: only what is active does anything"
    if said["NeedDaemonReload"] == "yes":
        yield f"{name} has changed, and systemd has not read it since"
    for pattern, mode, does in ((RUN_BY, os.X_OK, "runs"), (CONFIGURED, os.R_OK, "reads")):
        for path in pattern.findall(said.get("ExecStop", "")):
            if not os.access(path, mode):
                yield f"{name} {does} {path}, which it cannot"


def carry_out(steps: Sequence[Step]) -> None:
    """Do each step; ``HostError`` says of the first that fails why."""
    for step in steps:
        with vm_files.host_errors(f"cannot {step.text}"):
            step.does()


def report(steps: Sequence[Step]) -> list[Report]:
    """The steps as plain data."""
    return [{"do": step.text, "reason": step.reason} for step in steps]


def _check(root: Path) -> None:
    if not (root / RUNS).is_dir():
        raise Refused("units: systemd is not the init here: have it run geats boot and halt")
    for name in NAMES:
        file = _file(root, name)
        if file.exists() and not file.read_text(errors="replace").startswith(unit_files.HEAD):
            raise Refused(f"units: {file} is there already, and geats did not write it: remove it")


def _file(root: Path, name: str) -> Path:
    return root / FOLDER / name


def _is_there(root: Path, name: str) -> bool:
    return _file(root, name).exists() or (root / PACKAGED / name).exists()


def _is_used(root: Path, name: str) -> bool:
    """Whether a unit was written here, or is enabled; that a package has it is not enough."""
    return _file(root, name).exists() or _is_enabled(name, root)


def _text(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def _saving(saved: Saved) -> Iterator[Step]:
    folder, file = saved.path.parent, saved.path.name
    if vm_files.read(folder, file) != saved.text:
        why = "the units need the configuration also when no master answers"
        write = partial(write_private, folder, file, saved.text)
        yield Step(f"write {saved.path}, for root only", why, write)


def write_private(folder: Path, file: str, text: str) -> None:
    """Write a file that only its owner can read."""
    folder.mkdir(parents=True, exist_ok=True)
    vm_files.write_atomically(folder, file, text)
    (folder / file).chmod(0o600)


def _written(wanted: Mapping[str, str], root: Path) -> Iterator[Step]:
    for name, text in wanted.items():
        file = _file(root, name)
        if _text(file) == text or (not file.exists() and _text(root / PACKAGED / name) == text):
            continue
        why = "it is not as it should be" if file.exists() else "it is not there"
        yield Step(f"write {file}", why, partial(_write, file, text))


def _write(file: Path, text: str) -> None:
    vm_files.write_atomically(file.parent, file.name, text)
    file.chmod(0o644)


def _removed(names: Sequence[str], root: Path) -> Iterator[Step]:
    """A service is not stopped: that would shut all VMs down."""
    for name in names:
        if name.endswith(".timer"):
            yield Step(f"stop {name}", "it goes", partial(_systemctl, "stop", name))
        if _is_enabled(name, root):
            yield Step(f"disable {name}", "it goes", partial(_systemctl, "disable", name))
    for name in filter(lambda name: _file(root, name).exists(), names):
        yield Step(f"remove {_file(root, name)}", "it is not wanted", _file(root, name).unlink)


def _reload() -> Step:
    return Step("have systemd read its units", "they change", partial(_systemctl, "daemon-reload"))


def _active(names: Sequence[str], root: Path) -> Iterator[Step]:
    for name in names:
        if not _is_enabled(name, root):
            yield Step(f"enable {name}", "it is not enabled", partial(_systemctl, "enable", name))
    for name in names:
        if run(["systemctl", "is-active", name], accepted=ANY) != "active\n":
            what = ", which runs geats boot" if name == unit_files.SERVICE else ""
            why = "only what is active is stopped before a poweroff" if what else "it is not active"
            yield Step(f"start {name}{what}", why, partial(_systemctl, "start", name))


def _is_enabled(name: str, root: Path) -> bool:
    wants = (root / FOLDER).glob("*.wants")
    return any(os.path.lexists(each / name) for each in wants)


def _systemctl(*words: str) -> None:
    run(["systemctl", *words], timeout_s=unit_files.STOPS_WITHIN_S)
