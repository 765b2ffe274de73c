"""A first configuration: valid for every host, and so is its example."""

import pytest
import yaml
from returns.result import Success

from geats_core import parse_config, parse_vm
from geats_core.declared.first_configuration import HostFound, Storage, first_configuration


def found(storage: Storage = Storage.PLAIN, **others: object) -> HostFound:
    has = {"state_dir": "/srv/geats", "fstype": "ext4", "storage": storage, **others}
    return HostFound(**has)  # type: ignore[arg-type]


def uncommented(text: str) -> str:
    """The text with its example."""
    before, _, example = text.partition("  # A VM, to uncomment and change:\n")
    return before + example.replace("  # ", "  ")


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize(
    "others",
    [
        {},
        {"bridges": ("br1", "br2"), "ids": (100000, 65536)},
        {"containers": tuple(f"c{n}" for n in range(12)), "lxc_path": "/var/lib/lxc"},
        {"libvirt": "kvm", "domains": ("mail",), "has_lxc": False},
        {"libvirt": "qemu"},
    ],
)
def test_it_is_valid_and_so_is_its_example(storage: Storage, others: dict[str, object]) -> None:
    text = first_configuration(found(storage, **others))
    for each in (text, uncommented(text)):
        read = parse_config(yaml.safe_load(each)["geats"])
        assert isinstance(read, Success)
    config = parse_config(yaml.safe_load(uncommented(text))["geats"]).unwrap()
    example = parse_vm("web01", config.vms["web01"]).unwrap()
    assert example.driver in (config.drivers or {"lxc"})
    assert {volume.pool for volume in example.volumes} <= config.pools.keys()
    assert max(map(len, text.splitlines())) <= 100


def test_it_says_what_was_found() -> None:
    text = first_configuration(
        found(
            Storage.BTRFS,
            fstype="btrfs",
            bridges=("br1", "br2"),
            ids=(100000, 65536),
            containers=tuple(f"c{n}" for n in range(12)),
            lxc_path="/var/lib/lxc",
            libvirt="kvm",
            domains=("mail",),
        )
    )
    assert text.splitlines()[2:] == [
        "geats:",
        "  drivers:",
        "    lxc: {path: /var/lib/lxc}",
        "    kvm: {}",
        "",
        "  # /srv/geats is on btrfs: a new VM is a snapshot of its template, at once.",
        "  pools:",
        "    default: {type: btrfs, path: /srv/geats/pools/default}",
        "    disks: {type: sparsefile, path: /srv/geats/pools/disks}",
        "",
        "  # Bridges of this host: br1, br2.",
        "  # Users of unprivileged containers are 100000 to 165535 on this host.",
        "  # Containers that are here already ('geats adopt NAME'): "
        "c0, c1, c2, c3, c4, c5 and 6 more.",
        "  # Domains of libvirt ('geats adopt NAME'): mail.",
        "  # A VM, to uncomment and change:",
        "  # templates:",
        "  #   debian:",
        '  #     simplestreams: {url: "https://images.linuxcontainers.org", alias: debian/12}',
        "  # vms:",
        "  #   web01:",
        "  #     template: debian",
        "  #     memory: 512MiB",
        "  #     cpus: 1",
        "  #     volumes:",
        "  #       - {name: root, size: 4GiB}",
        "  #     nics:",
        "  #       - {name: eth0, bridge: br1, addresses: [10.0.0.11/24], gateways: [10.0.0.1]}",
    ]


def test_where_only_libvirt_is_the_example_is_a_virtual_machine() -> None:
    text = first_configuration(found(libvirt="qemu", has_lxc=False))
    assert "default: {type: sparsefile, path: /srv/geats/pools/default}" in text
    assert "driver: qemu" in text
    assert "kind: disk" in text
    assert "container" not in text.replace("linuxcontainers", "")


def test_what_is_missing_is_said() -> None:
    text = first_configuration(found())
    assert "no bridge yet" in text
    assert "Root has no ids for unprivileged containers: 'geats doctor' says" in text
    assert "drivers:" not in text
