"""How long provisioning takes on each pool, beside the bare commands; and ten VMs beside LXD.

usage (root): .venv/bin/python benchmarks/storage.py TEMPLATE.tar.zst [RUNS]

Prints two tables in Markdown: one VM provisioned and destroyed on each pool, and ten VMs brought
from one template to running at once. All lie in images below the temporary directory, and run in
namespaces of their own: nothing is left, and a benchmark that is ended takes its VMs along. By hand
means the commands that a person would type, and the guest's hostname and machine-id. Nobody syncs
by hand: what geats has made durable is also compared with the same followed by sync(1).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import ParamSpec, TypeAlias

import yaml
from returns.result import Success

from geats_host.calls.lifecycle import plan_verb
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import Wishes, wanted
from geats_host.planning.plans import plan_wishes

P = ParamSpec("P")
NAMESPACES = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
INSIDE = "--inside"
GEATS = str(Path(sys.executable).parent / "geats")
AT_ONCE = 10
PATIENCE_S = 60
NAMES = tuple(f"geats-bench-{number}" for number in range(AT_ONCE))
CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.apparmor.profile = unconfined
lxc.net.0.type = empty
lxc.signal.halt = SIGRTMIN+3
"""
FILE_SYSTEM = {"type": "filesystem", "fstype": "ext4"}
UNPRIVILEGED = """\
lxc.include = /usr/share/lxc/config/userns.conf
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.rootfs.options = idmap=container
"""
Make: TypeAlias = Callable[[Path, Path], Path]  # from the first of its kind, where: the rootfs


@dataclass(frozen=True, slots=True)
class Kind:
    """A pool, as it is configured, on a filesystem; and the same by hand."""

    name: str
    fstype: str
    options: Mapping[str, object]
    make: Make
    remove: Callable[[Path], None]
    config: str = CONFIG + UNPRIVILEGED


def main() -> None:
    """Measure all, and show both tables."""
    template, runs = sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geats-bench-")))
        directory.chmod(0o711)
        places = {
            fstype: stack.enter_context(filesystem(directory, fstype))
            for fstype in ("ext4", "xfs", "btrfs")
        }
        show_each(template, places, runs)
        show_ten(template, places, runs)


@contextmanager
def filesystem(directory: Path, fstype: str) -> Iterator[Path]:
    """An image with a filesystem, mounted."""
    image, place = directory / f"{fstype}.img", directory / fstype
    with image.open("wb") as file:
        file.truncate(16 * 2**30)
    place.mkdir()
    run(f"mkfs.{fstype}", "-q", str(image))
    run("mount", "-o", "loop", str(image), str(place))
    place.chmod(0o711)
    try:
        yield place
    finally:
        run("umount", "--recursive", str(place))


def show_each(template: str, places: Mapping[str, Path], runs: int) -> None:
    """One VM on each pool: unpacked, cloned, destroyed; and the space that ten take."""
    print(f"One VM, in ms; medians of {runs} runs, and geats beside the other two, pair by pair\n")
    print("| pool | first VM | next VM | by hand | and synced | destroy | by hand | ten VMs take |")
    print("|---|---|---|---|---|---|---|---|")
    for number, kind in enumerate(KINDS):
        base = places[kind.fstype] / f"each-{number}"
        base.mkdir(mode=0o711)
        print(one_row(kind, template, base, runs), flush=True)


def one_row(kind: Kind, template: str, base: Path, runs: int) -> str:
    """Ten VMs; then one of them again and again, in turn with one by hand."""
    before = used_bytes(base)
    host = Host.from_config(geats_config(kind, template, base))
    first_s = timed(verb, host, "provision", NAMES[0])
    for name in NAMES[1:]:
        verb(host, "provision", name)
    taken = used_bytes(base) - before
    source = unpack_by_hand(kind, template, base)
    verb(host, "deprovision", NAMES[1])
    next_s, by_hand, synced, destroyed, removed = [], [], [], [], []
    for _ in range(runs):
        settle(base)
        next_s.append(timed(verb, host, "provision", NAMES[1]))
        settle(base)
        destroyed.append(timed(verb, host, "deprovision", NAMES[1]))
        settle(base)
        by_hand.append(timed(make_by_hand, kind, source, base / "hand"))
        synced.append(by_hand[-1] + timed(settle, base))
        removed.append(timed(kind.remove, base / "hand"))
    for name in (*NAMES[:1], *NAMES[2:]):
        verb(host, "deprovision", name)
    return (
        f"| {kind.name} | {ms(first_s)} | {ms(median(next_s))}"
        f" (× {ratio(next_s, by_hand)} and {ratio(next_s, synced)}) | {ms(median(by_hand))}"
        f" | {ms(median(synced))} | {ms(median(destroyed))} (× {ratio(destroyed, removed)})"
        f" | {ms(median(removed))} | {taken / 2**20:.0f} MiB |"
    )


def show_ten(template: str, places: Mapping[str, Path], runs: int) -> None:
    """Ten VMs at once, from an unpacked template to running."""
    print(f"\nTen VMs from one template to running, in ms; medians of {runs} runs\n")
    print("| pool | by hand, in parallel | geats, in process | `geats apply` | LXD, ten clients |")
    print("|---|---|---|---|---|")
    for kind in (each for each in KINDS if each.name in ("btrfs", "overlay")):
        base = places[kind.fstype] / "ten"
        base.mkdir(mode=0o711)
        by_hand, within, command = ten_times(kind, template, base, runs)
        lxd = lxd_launches(template, places[kind.fstype], runs) if kind.fstype == "btrfs" else []
        said = f"{ms(median(lxd))} (× {ratio(lxd, command)} of `geats apply`)" if lxd else "–"
        print(
            f"| {kind.name} | {ms(median(by_hand))} | {ms(median(within))}"
            f" (× {ratio(within, by_hand)}) | {ms(median(command))} (× {ratio(command, by_hand)})"
            f" | {said} |",
            flush=True,
        )


def ten_times(
    kind: Kind, template: str, base: Path, runs: int
) -> tuple[list[float], list[float], list[float]]:
    """Seconds by hand, in this process, and of the command line."""
    raw = geats_config(kind, template, base)
    file = base / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": raw}))
    host = Host.from_config(raw)
    verb(host, "provision", NAMES[0])  # unpacks the template
    verb(host, "deprovision", NAMES[0])
    source = unpack_by_hand(kind, template, base)
    by_hand, within, command = [], [], []
    for _ in range(runs):
        settle(base)
        by_hand.append(timed(on_all, start_by_hand, kind, source))
        on_all(stop_by_hand, kind, source)
        settle(base)
        within.append(timed(apply_all, host))
        on_all(verb, host, "deprovision")
        settle(base)
        command.append(timed(run, GEATS, "--config", str(file), "apply"))
        on_all(verb, host, "deprovision")
    return by_hand, within, command


def geats_config(kind: Kind, template: str, base: Path) -> dict[str, object]:
    """A host of its own, with the ten VMs."""
    options = {"path": str(base / "volumes"), **kind.options}
    if kind.options is FILE_SYSTEM:
        options["on"] = {"type": "sparsefile", "path": options.pop("path"), "default_size": "2GiB"}
        options["mounts"] = str(base / "mounts")
    return {
        "state_dir": str(base / "state"),
        "run_dir": str(base / "run"),
        "drivers": {"lxc": {"settle": 0.01}},
        "pools": {"default": options},
        "templates": {"debian": {"path": template}},
        "vms": {name: {"template": "debian"} for name in NAMES},
    }


def verb(host: Host, word: str, name: str) -> None:
    """Plan a verb, and apply it."""
    check(apply_plan(host, plan_verb(host, word, name)))


def apply_all(host: Host) -> None:
    """What ``geats apply`` does."""
    check(apply_plan(host, plan_wishes(host, Wishes(wanted({})))))


def check(applied: object) -> None:
    """A step that failed ends the benchmark."""
    if not isinstance(applied, Success):
        sys.exit(f"benchmark: {applied}")


def on_all(work: Callable[..., object], *arguments: object) -> None:
    """Do it with each of the ten names at once, as the last argument."""
    with ThreadPoolExecutor(AT_ONCE) as workers:
        list(workers.map(partial(work, *arguments), NAMES))


def unpack_by_hand(kind: Kind, template: str, base: Path) -> Path:
    """What the VMs made by hand are made from: the template itself where there are no clones."""
    source = base / "source"
    if kind.make in (from_tar, image_from_tar):
        return Path(template)
    if kind.make is image_by_reflink:
        image_from_tar(Path(template), source)
        run("umount", str(source))
        return source
    if kind.make is by_snapshot:
        run("btrfs", "-q", "subvolume", "create", str(source))
    return from_tar(Path(template), source)


def from_tar(template: Path, target: Path) -> Path:
    """A plain directory."""
    target.mkdir(exist_ok=True)
    argv = ["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    run(*argv, "--exclude=./dev/*", "--directory", str(target), "--file", str(template))
    return target


def image_from_tar(template: Path, target: Path) -> Path:
    """A filesystem in a file."""
    image = target.with_suffix(".img")
    run("truncate", "--size=2G", str(image))
    run("mkfs.ext4", "-q", str(image))
    target.mkdir()
    run("mount", "-o", "loop", str(image), str(target))
    return from_tar(template, target / "rootfs")


def image_by_reflink(source: Path, target: Path) -> Path:
    """A copy of a file that shares its content."""
    image = target.with_suffix(".img")
    run("cp", "--reflink=always", str(source.with_suffix(".img")), str(image))
    target.mkdir()
    run("mount", "-o", "loop", str(image), str(target))
    return target / "rootfs"


def by_snapshot(source: Path, target: Path) -> Path:
    """A subvolume."""
    run("btrfs", "-q", "subvolume", "snapshot", str(source), str(target))
    return target


def by_overlay(source: Path, target: Path) -> Path:
    """A layer above."""
    upper, work, rootfs = (target / name for name in ("upper", "work", "rootfs"))
    for each in (target, upper, work, rootfs):
        each.mkdir()
    options = f"lowerdir={source},upperdir={upper},workdir={work}"
    run("mount", "-t", "overlay", "-o", options, "overlay", str(rootfs))
    return rootfs


def remove_tree(target: Path) -> None:
    """Remove a directory."""
    run("rm", "-rf", str(target))


def remove_image(target: Path) -> None:
    """Unmount, and remove the file."""
    run("umount", str(target))
    run("rm", "-r", str(target), str(target.with_suffix(".img")))


def remove_subvolume(target: Path) -> None:
    """Remove a subvolume."""
    run("btrfs", "-q", "subvolume", "delete", str(target))


def remove_overlay(target: Path) -> None:
    """Unmount, and remove the layer."""
    run("umount", str(target / "rootfs"))
    run("rm", "-rf", str(target))


def make_by_hand(kind: Kind, source: Path, target: Path) -> Path:
    """What a VM needs to start: its tree, a name and an id of its own."""
    rootfs = kind.make(source, target)
    (rootfs / "etc/hostname").write_text(f"{target.name}\n")
    (rootfs / "etc/machine-id").write_text("")
    return rootfs


def start_by_hand(kind: Kind, source: Path, name: str) -> None:
    """Make it, write a config, start it; ``lxc-start`` ends when it runs."""
    lxcpath = source.with_name("lxc")
    (lxcpath / name).mkdir(parents=True)
    rootfs = make_by_hand(kind, source, source.with_name(name))
    config = lxcpath / name / "config"
    config.write_text(f"{kind.config}lxc.rootfs.path = dir:{rootfs}\nlxc.uts.name = {name}\n")
    run("lxc-start", "-P", str(lxcpath), "-n", name)


def stop_by_hand(kind: Kind, source: Path, name: str) -> None:
    """Take it away again, outside what is timed."""
    lxcpath = source.with_name("lxc")
    run("lxc-stop", "-k", "-P", str(lxcpath), "-n", name)
    kind.remove(source.with_name(name))
    shutil.rmtree(lxcpath / name)


def lxd_launches(template: str, place: Path, runs: int) -> list[float]:
    """Seconds in which LXD launches ten, on a storage pool of btrfs; none where it is missing."""
    missing = [program for program in ("lxd", "lxc") if shutil.which(program) is None]
    if missing:
        print(f"LXD is not measured: {', '.join(missing)} is not installed", file=sys.stderr)
        return []
    with lxd_server(template, place):
        run("lxc", "launch", "--quiet", "debian", NAMES[0])  # unpacks the image
        delete_launched(NAMES[:1])
        seconds = []
        for _ in range(runs):
            seconds.append(timed(on_all, run, "lxc", "launch", "--quiet", "debian"))
            delete_launched(NAMES)
        return seconds


def delete_launched(names: Sequence[str]) -> None:
    """Delete instances of LXD; it refuses while it is still busy with one that it has launched."""
    deadline = time.monotonic() + PATIENCE_S
    while names:
        argv = ["lxc", "delete", "--force", *names]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode and ("busy" not in done.stderr or time.monotonic() > deadline):
            sys.exit(f"benchmark: LXD does not delete: {done.stderr}")
        listed = subprocess.run(
            ["lxc", "list", "--format=csv", "--columns=n"], check=True, capture_output=True
        )
        names = listed.stdout.decode().split()


@contextmanager
def lxd_server(template: str, place: Path) -> Iterator[None]:
    """A server of its own, with the template as image ``debian``; VMs have no network."""
    directory = place / "lxd"
    directory.mkdir(mode=0o711)
    os.environ |= {"LXD_DIR": str(directory), "LXD_CONF": str(directory / "client")}
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(["lxd", "--group", "root"], stdout=log, stderr=log)
        try:
            run("lxd", "waitready", "--timeout=60")
            run("lxc", "storage", "create", "default", "btrfs", f"source={place / 'pool'}")
            device = ["device", "add", "default", "root", "disk", "path=/", "pool=default"]
            run("lxc", "profile", *device)
            import_image(template, directory)
            yield
        finally:
            run("lxd", "shutdown", "--timeout=60")
            server.wait(60)


def import_image(template: str, directory: Path) -> None:
    """An image of LXD is the tree in ``rootfs/``, and a description beside it."""
    image = directory / "image"
    (image / "rootfs").mkdir(parents=True)
    from_tar(Path(template), image / "rootfs")
    description = {"architecture": os.uname().machine, "creation_date": 1, "properties": {}}
    (image / "metadata.yaml").write_text(yaml.safe_dump(description))
    archive = directory / "image.tar"
    run(
        "tar", "--create", "--numeric-owner", "--directory", str(image), "--file", str(archive), "."
    )
    run("lxc", "image", "import", str(archive), "--alias", "debian")


def timed(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Seconds that *work* takes."""
    began = time.perf_counter()
    work(*args, **kwargs)
    return time.perf_counter() - began


def settle(place: Path) -> None:
    """Let nothing that was written before be written while something else is timed."""
    run("sync", "-f", str(place))


def used_bytes(place: Path) -> int:
    """What the filesystem holds, once all is written."""
    settle(place)
    return shutil.disk_usage(place).used


def ms(seconds: float) -> str:
    """For people."""
    return f"{seconds * 1000:.0f}"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """The median of the ratios, pair by pair."""
    return f"{median(a / b for a, b in zip(ours, theirs, strict=True)):.1f}"


def run(*argv: str) -> None:
    """Run a command; its failure ends the benchmark."""
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


KINDS = (
    Kind("directory", "ext4", {"type": "directory"}, from_tar, remove_tree),
    Kind("filesystem ext4 on sparsefile", "ext4", FILE_SYSTEM, image_from_tar, remove_image),
    Kind("the same, on xfs", "xfs", FILE_SYSTEM, image_by_reflink, remove_image),
    Kind("btrfs", "btrfs", {"type": "btrfs"}, by_snapshot, remove_subvolume),
    Kind("overlay", "ext4", {"type": "overlay"}, by_overlay, remove_overlay, CONFIG),
)

if __name__ == "__main__":
    if sys.argv[1] != INSIDE:
        argv = ["unshare", *NAMESPACES, sys.executable, __file__, INSIDE, *sys.argv[1:]]
        os.execvp(argv[0], argv)
    main()
