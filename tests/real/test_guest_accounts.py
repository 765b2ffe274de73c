"""Users, the time zone and the minion of a real Debian; and a guest in the network of its host."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_core.guests.minion import PUBLIC_KEY
from geats_core.requests.guest_requests import Command
from geats_core.vm.observation import Power
from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.guest_trees.guest_names import configure_guest
from tests.real.conftest import sh, spec

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBx0 ada@laptop"
HASH = "$6$abcdefgh$MS1RnHQTB9FuSlsgDbDmBXJE0nmLOx9T7lvYdwuHOvJTsDkJDVoyzIgpQ1W0mY"


@pytest.fixture
def debian(debian_rootfs: Path, tmp_path: Path) -> Path:
    """A copy, as the guest is changed."""
    root = tmp_path / "debian"
    sh("cp", "-a", f"{debian_rootfs}", f"{root}")
    return root


def wait_until(so: Callable[[], bool]) -> None:
    """For ten seconds at most."""
    for _ in range(200):
        if so():
            return
        time.sleep(0.05)
    assert so()


def said(driver: LxcDriver, name: str, *argv: str, user: str = "root") -> str:
    """What a program in the guest says."""
    ran = driver.exec(name, Command(argv=argv, user=user))
    assert ran.code == 0, ran.stderr.decode()
    return ran.stdout.decode().strip()


def test_debian_knows_its_users_as_if_useradd_had_made_them(
    driver: LxcDriver, debian: Path
) -> None:
    """And its own programs find nothing wrong in the files."""
    (debian / "usr/bin/salt-minion").touch(mode=0o755)
    ada = {"groups": ["adm", "new"], "password": HASH, "ssh_keys": [KEY], "shell": "/bin/bash"}
    keys: dict[str, object] = {
        "init": "systemd",
        "privileged": True,
        "timezone": "Europe/Amsterdam",
        "ssh_keys": [KEY],
        "users": {"ada": ada},
        "minion": {"master": "salt"},
    }
    want = spec("users", **keys)
    configure_guest(debian, want, owner=0, new=True)
    driver.define(want, {"root": Place(debian)})
    driver.start(want.name)
    name = want.name
    assert said(driver, name, "id", "-Gn", user="ada").split() == ["ada", "adm", "new"]
    assert said(driver, name, "stat", "-c", "%U:%G %a", "/home/ada/.ssh/authorized_keys") == (
        "ada:ada 600"
    )
    assert said(driver, name, "passwd", "-S", "ada").split()[:2] == ["ada", "P"]
    for check in ("pwck", "grpck"):
        said(driver, name, "sh", "-c", f"{check} -qr")
    assert said(driver, name, "date", "+%Z") in ("CET", "CEST")
    assert said(driver, name, "cat", f"/{PUBLIC_KEY}").startswith("-----BEGIN PUBLIC KEY-----")
    driver.end(name)
    configure_guest(debian, spec("users", init="systemd", privileged=True), owner=0, new=False)
    driver.start(name)
    assert said(driver, name, "passwd", "-S", "ada").split()[:2] == ["ada", "L"]
    assert KEY not in said(driver, name, "cat", "/root/.ssh/authorized_keys")


def test_a_guest_has_the_network_of_its_host_and_its_reboot_is_its_own(
    driver: LxcDriver, busybox_rootfs: Path, bridge: str
) -> None:
    """What it has of that is not shown as its own."""
    (busybox_rootfs / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    want = spec("shared", host_network=True, privileged=True)
    driver.define(want, {"root": Place(busybox_rootfs)})
    driver.start(want.name)
    assert f"{bridge}:" in said(driver, want.name, "ip", "link")
    assert driver.info(want.name).addresses == ()
    assert driver.observe()[want.name].in_effect == want
    driver.exec(want.name, Command(argv=("halt", "-f")))
    wait_until(lambda: driver.observe()[want.name].power is Power.STOPPED)
