"""The demonstration behind ``script/demo``: one VM's whole life, through masterless Salt.

With the path of a template it runs a real container, on a bridge that it makes and removes; with
no argument it shows the same on VMs that exist in memory only.
"""

import copy
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeAlias

import yaml

BRIDGE = "geats-demo0"
HOST_ADDRESS = "10.213.77.1"
FIRST_ADDRESS, SECOND_ADDRESS = "10.213.77.11", "10.213.77.12"
SLS: Mapping[str, object] = {
    "web01": {"web01": {"geats.running": []}},
    "locked": {"web01": {"geats.locked": []}},
    "unlocked": {"web01": {"geats.unlocked": []}},
    "gone": {"web01": {"geats.deprovisioned": []}},
}
SaltCall: TypeAlias = Callable[..., str]


def main() -> None:
    """Tell the story once, and leave nothing behind."""
    template = sys.argv[1] if len(sys.argv) > 1 else None
    os.environ["GEATS_HOST_FILE"] = ""  # this machine may have a host of its own
    with tempfile.TemporaryDirectory(prefix="geats-demo-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # root in an unprivileged container must be able to pass through
        if template is None:
            story(directory, in_memory(directory), salt_in_process(directory), real=False)
        else:
            with bridge():
                story(directory, on_lxc(directory, template), salt_call(directory), real=True)
    print(f"\nCleaned up: {directory} is gone{f', and so is {BRIDGE}' if template else ''}.")


def on_lxc(directory: Path, template: str) -> dict[str, object]:
    """The configuration of a host with real containers."""
    return {
        "state_dir": str(directory / "state"),
        "run_dir": str(directory / "run"),
        "pools": {"default": {"type": "directory", "path": str(directory / "volumes")}},
        "templates": {"debian": {"path": template}},
    }


def in_memory(directory: Path) -> dict[str, object]:
    """The configuration of a host that exists in memory only."""
    return {
        "state_dir": str(directory / "state"),
        "run_dir": str(directory / "run"),
        "registry": "memory",
        "drivers": {"memory": {}},
        "pools": {"default": {"type": "memory", "path": str(directory / "volumes")}},
        "templates": {"debian": {"path": "/nowhere/debian.tar"}},
        "profiles": {"pretended": {"driver": "memory"}},
    }


def story(directory: Path, config: dict[str, object], salt: SaltCall, *, real: bool) -> None:
    """What ``script/demo`` shows, from an empty host back to an empty host."""
    write_salt_files(directory)
    vm: dict[str, object] = {
        "template": "debian",
        "memory": "256MiB",
        "nics": [{"name": "eth0", "bridge": BRIDGE, "addresses": [f"{FIRST_ADDRESS}/24"]}],
        **({} if real else {"profile": "pretended"}),
    }
    try:
        title("An operator describes a VM in the pillar")
        print(write_pillar(directory, config, vm))
        title("The plan: nothing is done yet")
        show("state.apply web01 test=True", salt)
        title("The run: the same plan, applied")
        began = time.monotonic()
        show("state.apply web01", salt)
        print(f"(all of it, Salt's own start included: {time.monotonic() - began:.1f} s)")
        show("geats.info web01", salt)
        ping(FIRST_ADDRESS, real=real)
        title("The second run: there is nothing to do")
        show("state.apply web01", salt)
        title("More memory: a change that a running VM takes live")
        vm["memory"] = "512MiB"
        write_pillar(directory, config, vm)
        show("state.apply web01 test=True", salt)
        show("state.apply web01", salt)
        title("Another address: a change that needs a restart, and says so before")
        vm["nics"] = [{"name": "eth0", "bridge": BRIDGE, "addresses": [f"{SECOND_ADDRESS}/24"]}]
        write_pillar(directory, config, vm)
        show("state.apply web01 test=True", salt)
        show("state.apply web01", salt)
        ping(SECOND_ADDRESS, real=real)
        title("Locked: it cannot be deleted, not even by a state")
        show("state.apply locked", salt)
        show("state.apply gone", salt, fails=True)
        title("Unlocked, and taken away again")
        show("state.apply unlocked", salt)
        show("state.apply gone test=True", salt)
        show("state.apply gone", salt)
    finally:
        salt("state.apply", "unlocked", check=False)
        salt("state.apply", "gone", check=False)
    title("What is left")
    del config["vms"]
    (directory / "pillar" / "geats.sls").write_text(yaml.safe_dump({"geats": config}))
    show("geats.list", salt)
    left = [
        *filter(Path.is_dir, directory.glob("volumes/*")),  # the pool's own file stays
        *directory.glob("state/lxc/*"),
        *Path("/sys/fs/cgroup").glob("**/lxc.*.web01*"),
    ]
    print("\n".join(["volumes, containers and cgroups:", *(map(str, left) if left else ["none"])]))
    if left:
        sys.exit("demo: something was left behind")


def title(text: str) -> None:
    """Announce the next part."""
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}=== {text}{plain}")


def show(command: str, salt: SaltCall, *, fails: bool = False) -> None:
    """Run one command through Salt, and show it with what it answered."""
    print(f"\n$ salt-call --local {command}", flush=True)
    said = salt(*command.split(), check=not fails)
    print("\n".join(line for line in said.splitlines() if line.strip()))


def ping(address: str, *, real: bool) -> None:
    """Show that the container answers under *address*."""
    print(f"\n$ ping -c 1 {address}")
    if not real:
        print("(a VM in memory answers no ping)")
        return
    for _ in range(50):
        argv = ["ping", "-n", "-c", "1", "-W", "1", address]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            print(answer.stdout.splitlines()[1])
            return
        time.sleep(0.1)
    sys.exit(f"demo: {address} does not answer")


def write_pillar(directory: Path, config: dict[str, object], vm: Mapping[str, object]) -> str:
    """Write the pillar with *vm* as web01, and return the part that describes it."""
    config["vms"] = {"web01": copy.deepcopy(dict(vm))}
    (directory / "pillar" / "geats.sls").write_text(yaml.safe_dump({"geats": config}))
    return yaml.safe_dump({"geats": {"vms": config["vms"]}}, sort_keys=False)


def write_salt_files(directory: Path, states: Mapping[str, object] = SLS) -> None:
    """A minion's configuration, a pillar and the states, all in *directory*."""
    for name in ("config", "pillar", "states"):
        (directory / name).mkdir()
    minion = {
        "id": "demo",
        "file_client": "local",
        "root_dir": str(directory / "salt"),
        "pillar_roots": {"base": [str(directory / "pillar")]},
        "file_roots": {"base": [str(directory / "states")]},
        "log_level": "error",
        "enable_grains_cache": True,
    }
    (directory / "config" / "minion").write_text(yaml.safe_dump(minion))
    (directory / "pillar" / "top.sls").write_text(yaml.safe_dump({"base": {"*": ["geats"]}}))
    for name, sls in states.items():
        (directory / "states" / f"{name}.sls").write_text(yaml.safe_dump(sls))


def salt_call(directory: Path) -> SaltCall:
    """Salt as people call it: ``salt-call``, one process a call."""

    def call(*command: str, check: bool = True) -> str:
        argv = [
            str(Path(sys.executable).parent / "salt-call"),
            *("--local", "--config-dir", str(directory / "config"), "--state-output=full"),
            *("--no-color", *command),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            sys.exit(f"demo: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    return call


def salt_in_process(directory: Path) -> SaltCall:
    """Salt within this process, where VMs in memory can live on from call to call."""
    import salt.client
    import salt.config
    import salt.output

    def call(*command: str, check: bool = True) -> str:
        opts = salt.config.minion_config(str(directory / "config" / "minion"))
        opts |= {"color": False, "state_output": "full", "grains": {"id": "demo"}}
        function, *words = command
        arguments = [word for word in words if word != "test=True"]
        options = {"test": True} if "test=True" in words else {}
        answer = salt.client.Caller(mopts=opts).cmd(function, *arguments, **options)
        failed = isinstance(answer, dict) and any(
            isinstance(each, dict) and each.get("result") is False for each in answer.values()
        )
        if check and (failed or isinstance(answer, list)):
            sys.exit(f"demo: {' '.join(command)} failed:\n{answer}")
        printed = io.StringIO()
        with redirect_stdout(printed):
            out = "highstate" if function == "state.apply" else "nested"
            salt.output.display_output({"local": answer}, out, opts)
        return printed.getvalue()

    return call


@contextmanager
def bridge() -> Iterator[None]:
    """A bridge of our own, for as long as the demonstration lasts."""
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        sys.exit(f"demo: there is a bridge {BRIDGE} already: is another demonstration running?")
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("address", "add", f"{HOST_ADDRESS}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        yield
    finally:
        ip("link", "delete", BRIDGE)


def ip(*arguments: str) -> None:
    """Run iproute2's ``ip``."""
    subprocess.run(["ip", *arguments], check=True, env={**os.environ, "LC_ALL": "C"})


if __name__ == "__main__":
    main()
