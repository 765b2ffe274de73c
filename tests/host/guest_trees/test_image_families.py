"""Images of each family, from a server on loopback: ``families.json`` is what geats writes there.

``python -m tests.host.guest_trees.test_image_families`` writes that file: look at what changed.
"""

import json
import os
import tempfile
from pathlib import Path

import pytest

from geats_core import VMSpec, parse_vm
from geats_host import templates
from geats_host.errors import HostError
from geats_host.guest_trees.guest_names import configure_guest
from geats_host.templates.store import Store
from tests.host.guest_trees.families import FAMILIES
from tests.host.templates import archives
from tests.host.templates.image_server import serving

GOLDEN = Path(__file__).with_name("families.json")
UNKNOWN = "opensuse-leap-15"
SAID: dict[str, object] = {
    "template": "t",
    "hostname": "web01.example.org",
    "guest_network": "auto",
    "timezone": "Europe/Amsterdam",
    "ssh_keys": ["ssh-ed25519 AAAA root@example.org"],
    "users": {"ada": {"sudo": True, "groups": ["wheel"]}},
    "dns": {"nameservers": ["10.0.0.1"]},
    "nics": [
        {
            **{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24", "fd00::2/64"]},
            **{"gateways": ["10.0.0.1"], "ipv6": {"ra": False}},
        },
        {"name": "eth1", "bridge": "br1", "dhcp": True},
    ],
}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacks images, and gives files away")


def spec() -> VMSpec:
    return parse_vm("web01", SAID).unwrap()


def written(family: str, folder: Path) -> dict[str, str]:
    """What differs in the guest of an image of that family once geats has configured it."""
    (folder / "www").mkdir()
    root = folder / "root"
    root.mkdir()
    members = [
        archives.link(path, text.removeprefix("-> "))
        if text.startswith("-> ")
        else archives.file(path, text)
        for path, text in FAMILIES[family].items()
    ]
    with serving(folder / "www") as server:
        server.add("20260101", archives.write(folder / "made", members, "w:xz").read_bytes())
        store = Store(folder / "state", folder / "run")
        templates.make_ready(server.template(), store)
        templates.install(server.template(), root, store)
    before = contents(root)
    configure_guest(root, spec(), owner=0, new=True)
    return {path: text for path, text in contents(root).items() if before.get(path) != text}


def contents(root: Path) -> dict[str, str]:
    """Each file by its path: its mode and what it says, or where it leads."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = f"{path.relative_to(root)}"
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            text = path.read_bytes().decode(errors="replace")
            text = "of the host" if name == "etc/localtime" else text
            found[name] = f"{path.stat().st_mode & 0o777:o} {text}"
    return found


@pytest.mark.parametrize("family", [each for each in FAMILIES if each != UNKNOWN])
def test_each_family_gets_the_files_that_its_programs_read(family: str, tmp_path: Path) -> None:
    if family.startswith("alpine") and not Path("/usr/share/zoneinfo/Europe/Amsterdam").exists():
        pytest.skip("the image has no time zones, and neither has this host")
    assert written(family, tmp_path) == json.loads(GOLDEN.read_text())[family]


def test_a_family_whose_network_manager_geats_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="nothing in its guest configures its network that geats"):
        written(UNKNOWN, tmp_path)


def main() -> None:
    """Write the golden file anew."""
    found = {}
    for family in FAMILIES:
        if family != UNKNOWN:
            with tempfile.TemporaryDirectory() as folder:
                found[family] = written(family, Path(folder))
    GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
