"""Inits that are not systemd, as Debian packages them, run as process 1 and power off when asked.

``script/inits`` fetches the packages, into the folder that GEATS_TEST_INITS names. geats finds each
init by itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from geats_core.vm.observation import Power
from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import LxcDriver
from tests.real.conftest import sh, spec

DEFAULT_INITS = "/var/cache/geats-test/inits"
OF_ALL = ("libeinfo", "libexecline", "librc", "libs6", "libskarnet")
INITS = ("runit", "openrc", "s6", "sysvinit-core")
pytestmark = pytest.mark.timeout(300)
SAYS = "echo {0} >>/said"
# What each init is told, by its paths; those of scripts begin with #!.
TOLD: Mapping[str, Mapping[str, str]] = {
    "runit": {
        "sbin/init": "-> runit",
        "etc/runit/1": "#!/bin/sh\n: >/run/runit.stopit; chmod 100 /run/runit.stopit\n",
        "etc/runit/2": "#!/bin/sh\nexec sleep 600\n",
        "etc/runit/3": f"#!/bin/sh\n{SAYS.format('stops')}\n",
    },
    "openrc": {
        "sbin/init": "-> openrc-init",
        "etc/rc.conf": "rc_sys=\nrc_logger=NO\n",
        "etc/runlevels/shutdown": "/",
        "etc/runlevels/sysinit": "/",
        "etc/runlevels/boot": "/",
        "etc/runlevels/default": "/",
        "etc/runlevels/nonetwork": "/",
        "etc/init.d/says": "#!/sbin/openrc-run\nstart() { :; }\nstop() { echo stops >>/said; }\n",
        "etc/runlevels/default/says": "-> /etc/init.d/says",
    },
    "s6": {
        "etc/s6/.s6-svscan/SIGUSR1": "#!/bin/sh\nexec s6-svscanctl -t /etc/s6\n",
        "etc/s6/.s6-svscan/finish": f"#!/bin/sh\n{SAYS.format('stops')}\nexec true\n",
        "sbin/init": "-> /usr/bin/s6-svscan",
    },
    "sysvinit-core": {
        "etc/inittab": "id:2:initdefault:\np0::powerfail:/sbin/init 0\n"
        f"l0:0:wait:/bin/sh -c '{SAYS.format('stops')}; /sbin/halt -f -p'\n"
        "s1:2:respawn:/bin/sleep 600\n",
    },
}


def packages() -> list[Path]:
    folder = Path(os.environ.get("GEATS_TEST_INITS", DEFAULT_INITS))
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: script/inits makes it, or set GEATS_TEST_INITS")
    return sorted(folder.glob("*.deb"))


def put(root: Path, path: str, text: str) -> None:
    """A folder (``/``), a link (``->``), or a file that may be run."""
    at = root / path
    if text == "/":
        at.mkdir(parents=True, exist_ok=True)
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    at.unlink(missing_ok=True)
    if text.startswith("-> "):
        at.symlink_to(text.removeprefix("-> "))
    else:
        at.write_text(text)
        at.chmod(0o755)


@pytest.mark.parametrize("init", INITS)
def test_each_init_stops_what_runs_and_powers_off(
    driver: LxcDriver, debian_rootfs: Path, tmp_path: Path, init: str
) -> None:
    root = tmp_path / "debian"
    sh("cp", "-a", f"{debian_rootfs}", f"{root}")
    (root / "sbin/init").unlink()
    for package in packages():
        if package.name.startswith((f"{init}_", *OF_ALL)):
            into = f"tar -C {root} --keep-directory-symlink -xf -"
            sh("sh", "-c", f"dpkg --fsys-tarfile {package} | {into}")
    for path, text in TOLD[init].items():
        put(root, path, text)
    command = {"command": ["/usr/bin/s6-svscan", "/etc/s6"]} if init == "s6" else {}
    want = spec(init, init="auto", privileged=True, **command)
    driver.define(want, {"root": Place(root)})
    driver.start(want.name)
    assert driver.shutdown(want.name, 20) == ""
    assert driver.observe()[want.name].power is Power.STOPPED
    assert (root / "said").read_text() == "stops\n"
