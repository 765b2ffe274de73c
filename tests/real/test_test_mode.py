"""Test mode touches nothing: every file, mount, container and row of the registry is as before."""

import inspect
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import salt.config
import salt.loader

from geats_core.jobs.manifests import Manifest, PackedVolume
from geats_core.jobs.moves import Offer, offer_to_plain
from geats_core.vm.parse import parse_vm
from geats_host.calls import units
from geats_host.linux.loops import loops
from geats_host.peers import peer
from tests.real.conftest import CGROUPS, busybox_root, open_folder, sh, traces
from tests.real.test_storage import on_btrfs
from tests.salt_modules.test_documented import functions

REPO = Path(__file__).parents[2]
RUNS, OFF, ICE, NEW, STRAY, LEFT = (
    f"geats-test-tm{n}" for n in ("runs", "off", "ice", "new", "stray", "left")
)
VMS = (RUNS, OFF, ICE, NEW, STRAY)
OLD = "geats-test-tmold"  # something else made it
LOST = {"allow_data_loss": True}
SMALL: dict[str, object] = {"template": "busybox", "init": "busybox"}
OWN = {**SMALL, "hostname": "other"}
IN_PLAIN = {**SMALL, "volumes": [{"name": "root", "pool": "plain"}]}
READS: dict[str, tuple[Any, ...]] = {
    "candidate": (),
    "claims": (),
    "diff": (),
    "console_command": (RUNS,),
    "doctor": (),
    "drivers": (),
    "info": (RUNS,),
    "journal": (RUNS,),
    "list": (),
    "shared": (),
    "observe": (),
    "overview": (),
    "pending": (),
    "plan": (RUNS,),
    "plan_host": (),
    "pools": (),
    "schema": (),
    "snapshots": (RUNS,),
    "status": (),
    "strays": (),
    "templates": (),
    "validate": (),
    "verify_templates": (),
    "volumes": (),
}


@dataclass
class Operator:
    """Someone with a VM of each kind, on pools of two kinds."""

    directory: Path
    cache: Path
    vms: dict[str, dict[str, object]] = field(default_factory=dict)  # what the pillar says of each

    @property
    def pillar(self) -> dict[str, object]:
        files = {"type": "sparsefile", "path": f"{self.directory}/images"}
        mounted = {"type": "filesystem", "mounts": f"{self.directory}/mounts", "on": files}
        return {
            "state_dir": f"{self.directory}/state",
            "run_dir": f"{self.directory}/run",
            "drivers": {"lxc": {"path": f"{self.directory}/lxc", "settle": 0.1}},
            "pools": {
                "default": {"type": "btrfs", "path": f"{self.directory}/at/pool"},
                "mounted": mounted,
                "plain": {"type": "directory", "path": f"{self.directory}/plain"},
            },
            "templates": {"busybox": {"path": f"{self.directory}/root"}},
            "vms": self.vms,
        }

    def loaders(self, *, test: bool) -> tuple[Any, Any]:
        """Salt's own, over the modules and over the states of this checkout."""
        opts = {
            **salt.config.minion_config(None),
            "cachedir": f"{self.cache}",
            "extension_modules": f"{self.cache}/extmods",
            "file_client": "local",
            "grains": {},
            "module_dirs": [f"{REPO}/salt"],
            "pillar": {"geats": self.pillar},
            "test": test,
        }
        modules = salt.loader.minion_mods(opts, whitelist=["geats"])
        return modules, salt.loader.states(opts, modules, {}, {}, whitelist=["geats"])

    def everything(self) -> dict[str, object]:
        """All that test mode could touch, by where it is."""
        registry = sqlite3.connect(
            f"file:{self.directory}/state/registry.sqlite?immutable=1", uri=True
        )
        rows = list(registry.iterdump())
        registry.close()
        vms = {name: self.container(name) for name in VMS}  # lxc-info makes files, the first time
        folders = (self.directory, Path("/run/lxc"), Path("/var/lib/lxc"))
        found = {path: status for folder in folders for path, status in files(folder).items()}
        found[f"{self.directory}/state"] = None  # SQLite has files there once it reads
        found[f"{self.directory}/run"] = None  # doctor mounts something there for a moment
        for kind in ("shm", "wal"):
            found.pop(f"{self.directory}/state/registry.sqlite-{kind}", None)
        for path in [each for each in found if each.startswith("/run/lxc/lock")]:
            del found[path]  # liblxc's, also of the container that doctor starts to try it
        return {**traces(), **vms, **found, "rows": rows}

    def container(self, name: str) -> list[str]:
        """Its state, and which process it is; and all that its control groups allow it."""
        if not (self.directory / "lxc" / name).exists():
            return []
        told = sh("lxc-info", "-P", f"{self.directory}/lxc", "-n", name, "-sp")
        groups = [
            f"{file}: {file.read_text()}"
            for file in CGROUPS.glob(f"**/lxc.payload.{name}/*.*")
            if file.name.endswith(("limit_in_bytes", "max", "quota_us", "freezer.state"))
        ]
        return [told, *sorted(groups)]


def files(below: Path) -> dict[str, object]:
    """Every file there, by its status: but not when it was last read.

    Nor when it was written, where it is the disk of a loop device: a file system writes by itself.
    """
    found: dict[str, object] = {}
    disks = {f"{each}" for each in loops()}
    for folder, folders, names in os.walk(below):
        for path in (Path(folder), *(Path(folder, name) for name in (*folders, *names))):
            seen = path.lstat()
            of_it = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size, seen.st_ino)
            times = () if f"{path}" in disks else (seen.st_mtime_ns, seen.st_ctime_ns)
            found[f"{path}"] = (*of_it, seen.st_nlink, *times)
    return found


def touched(before: dict[str, object], now: dict[str, object]) -> dict[str, object]:
    """What is not as it was before: as it was, and as it is now."""
    places = sorted({*before, *now})
    pairs = {place: (before.get(place), now.get(place)) for place in places}
    return {place: (old, new) for place, (old, new) in pairs.items() if old != new}


@pytest.fixture(scope="module")
def operator(own_namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    on_disk = {"name": "root", "pool": "mounted", "size": "64MiB"}
    with open_folder() as directory:
        busybox_root(directory / "root")
        (directory / "at").mkdir(mode=0o711)
        old = directory / "lxc" / OLD
        (old / "rootfs").mkdir(parents=True)
        (old / "config").write_text(f"lxc.rootfs.path = dir:{old}/rootfs\n")
        with on_btrfs(directory / "at"):
            someone = Operator(directory, tmp_path_factory.mktemp("cache"))
            someone.vms = dict.fromkeys(VMS, SMALL)
            someone.vms[OFF] = {**SMALL, "volumes": [on_disk]}
            modules, _ = someone.loaders(test=False)
            try:
                someone.vms[LEFT] = SMALL
                modules["geats.provision"](LEFT)
                modules["geats.undefine"](LEFT)
                del someone.vms[LEFT]
                for name in (RUNS, OFF, ICE, STRAY):
                    modules["geats.start"](name)
                for name in (OFF, STRAY):
                    modules["geats.stop"](name)
                modules["geats.freeze"](ICE)
                modules["geats.snapshot"](RUNS, "monday")
                modules["geats.export"](RUNS, f"{directory}/archive.tar")
                someone.vms[RUNS] = {**SMALL, "hostname": "changed", "memory": "64MiB"}
                del someone.vms[STRAY]
                yield someone
            finally:
                modules["geats.apply_host"]([*VMS, LEFT], target="deprovisioned", power_off="stop")


def of_states(name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The calls of a state that are to be tried, on each VM."""
    special: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
        "host": [(("all",), {}), (("all",), {"target": "deprovisioned", **LOST})],
        "mod_watch": [((vm,), {"sfun": "running"}) for vm in VMS],
        "snapshot_present": [((vm, snap), {}) for vm in VMS for snap in ("monday", "tuesday")],
        "snapshots_kept": [((vm,), {"last": 1, "prefix": "x"}) for vm in VMS],
        "units": [(("units",), {})],
        "template_present": [(("busybox",), {}), (("busybox",), {"refresh": True})],
    }
    by_pillar: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((vm,), LOST) for vm in VMS]
    by_arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((vm,), OWN) for vm in VMS]
    return special.get(name, [*by_pillar, *by_arguments])


def have_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it ran here, whatever does; it is asked, and never told to do anything."""
    monkeypatch.setattr(units, "RUNS", "proc")
    monkeypatch.setattr(units, "run", lambda argv, **_: {"is-active": "inactive\n"}[argv[1]])


def test_no_state_touches_anything(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    have_systemd(monkeypatch)
    _, states = operator.loaders(test=True)
    names = [name.removeprefix("geats.") for kind, name, _ in functions() if kind == "states"]
    before = operator.everything()
    results: dict[object, Any] = {}
    for name in (*names, "mod_watch"):
        for args, words in of_states(name):
            low = {"state": "geats", "fun": name, "__id__": args[0], "name": args[0]}
            states.inject_globals = {"__low__": low}
            results[name, *args, *words] = states[f"geats.{name}"](*args, **words)
    assert touched(before, operator.everything()) == {}
    would = [call for call, each in results.items() if each["result"] is None]
    assert all(each["changes"] for each in results.values() if each["result"] is None)
    assert len(would) > len(results) / 2  # most would have changed something


def offer_a_vm(_: BinaryIO, stdout: BinaryIO) -> None:
    """What another host would answer."""
    spec = parse_vm("geats-test-tmmoved", SMALL).unwrap()
    root = PackedVolume(name="root", sha256="0" * 64, size_bytes=1)
    offer = Offer(manifest=Manifest(spec=spec, template="busybox", volumes=(root,), taken_s=1))
    stdout.write(json.dumps({"offer": offer_to_plain(offer)}).encode() + b"\n")


def test_no_function_touches_anything_in_test_mode(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_systemd(monkeypatch)
    modules, _ = operator.loaders(test=False)
    monkeypatch.setitem(peer.IN_MEMORY, "a", offer_a_vm)
    calls: dict[str, tuple[Any, ...]] = {
        "adopt": (OLD, IN_PLAIN),
        "apply_host": (),
        "apply_several": ({name: {} for name in VMS},),
        "claimed": ({STRAY: ["name-x"]},),
        "clone": (ICE, "geats-test-tmclone"),
        "delete_snapshot": (RUNS, "monday"),
        "elsewhere": ({RUNS: "other"},),
        "export": (RUNS,),
        "fetch": ("memory://a/geats-test-tmmoved",),
        "import_": (f"{operator.directory}/archive.tar", "geats-test-tmcopy"),
        "import_template": ("busybox", True),
        "keep_snapshots": (RUNS,),
        "group": ("start", "shop"),
        "keep_up": (),
        "move_volume": (STRAY, "root", "mounted"),
        "publish": (RUNS,),
        "prune_exports": (),
        "prune_snapshots": (),
        "prune_templates": (),
        "rebuild_registry": (),
        "repair": (),
        "restore_registry": (f"{operator.cache}/registry.backup", True),
        "remove_volume": (LEFT, "root"),
        "rename": (STRAY, "geats-test-tmrenamed"),
        "restore": (RUNS, "monday", True),
        "send_command": (),
        "snapshot": (RUNS, "tuesday"),
        "freeze": (RUNS,),
        "unfreeze": (ICE,),
        "start": (NEW,),
        "units": (),
    }
    modules_functions = [
        (name.removeprefix("geats."), function)
        for kind, name, function in functions()
        # Of what is not ours: see test_adopt, and test_recover_shared.
        if kind == "modules" and name not in ("geats.adopt", "geats.take")
    ]
    for name, function in modules_functions:
        if "test" in inspect.signature(function).parameters:
            calls.setdefault(name, (RUNS,))
    modules["geats.backup_registry"](f"{operator.cache}/registry.backup")
    before = operator.everything()
    words = {name: {"last": 1} for name in ("keep_snapshots", "prune_exports", "prune_snapshots")}
    for name, args in calls.items():
        answer = modules[f"geats.{name}"](*args, test=True, **words.get(name, {}))
        assert "done" not in answer, name
    assert touched(before, operator.everything()) == {}


def test_what_only_reads_touches_nothing(operator: Operator) -> None:
    modules, _ = operator.loaders(test=False)
    before = operator.everything()
    for name, args in READS.items():
        answer = modules[f"geats.{name}"](*args)
        assert json.loads(json.dumps(answer)) == answer, name  # as returners keep it
    assert touched(before, operator.everything()) == {}
