"""The seed: what cloud-init reads in a guest."""

import json
from dataclasses import replace

import pytest

from geats_core.domains.domain_xml import domain_uuid
from geats_core.domains.machine_keys import read_machine
from geats_core.domains.seed import (
    CLOUD_CONFIG,
    container_seed,
    devices,
    instance_of,
    merged,
    seed_files,
)
from geats_core.vm.spec import VMSpec
from tests.core.domains.machines import DATA, ROOT, spec

NIC = {"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01"}


def documents(want: VMSpec) -> dict[str, object]:
    """The documents as cloud-init reads them."""
    files = seed_files(want, read_machine(want).unwrap(), "qemu")
    return {name: json.loads(text.removeprefix(CLOUD_CONFIG)) for name, text in files.items()}


def user_data(want: VMSpec) -> dict[str, object]:
    """What is in ``user-data``."""
    found = documents(want)["user-data"]
    assert isinstance(found, dict)
    return found


def test_a_guest_is_known_by_an_id_that_stays_and_a_name_that_may_change() -> None:
    assert documents(spec(hostname="db.example.org"))["meta-data"] == {
        "instance-id": domain_uuid("db01", "qemu"),
        "local-hostname": "db.example.org",
    }


def test_a_guest_that_was_renamed_is_known_by_the_uuid_of_its_machine() -> None:
    want = spec()
    files = seed_files(want, read_machine(want).unwrap(), "qemu", "10aaafcf-e0cd")
    assert json.loads(files["meta-data"])["instance-id"] == "10aaafcf-e0cd"


def test_a_nic_without_addresses_asks_for_one() -> None:
    assert documents(spec(nics=[NIC]))["network-config"] == {
        "version": 2,
        "ethernets": {
            "eth0": {
                "match": {"macaddress": "02:00:00:00:00:01"},
                "set-name": "eth0",
                "dhcp4": True,
            }
        },
    }


def test_a_nic_with_addresses_has_routes_and_name_servers() -> None:
    nic = {
        **NIC,
        "addresses": ["10.0.0.5/24", "fd00::5/64"],
        "gateways": ["10.0.0.1", "fd00::1"],
    }
    dns = {"nameservers": ["10.0.0.1"], "search": ["lan"]}

    assert documents(spec(nics=[nic], dns=dns))["network-config"] == {
        "version": 2,
        "ethernets": {
            "eth0": {
                "match": {"macaddress": "02:00:00:00:00:01"},
                "set-name": "eth0",
                "addresses": ["10.0.0.5/24", "fd00::5/64"],
                "routes": [
                    {"to": "0.0.0.0/0", "via": "10.0.0.1"},
                    {"to": "::/0", "via": "fd00::1"},
                ],
                "nameservers": {"addresses": ["10.0.0.1"], "search": ["lan"]},
            }
        },
    }


@pytest.mark.parametrize(
    ("dns", "said"),
    [
        ({"nameservers": ["10.0.0.1"]}, {"addresses": ["10.0.0.1"]}),
        ({"search": ["lan"]}, {"search": ["lan"]}),
    ],
)
def test_name_servers_and_domains_are_each_optional(
    dns: dict[str, object], said: dict[str, object]
) -> None:
    network = json.dumps(documents(spec(nics=[NIC], dns=dns))["network-config"])

    assert f'"nameservers": {json.dumps(said)}' in network


def test_user_data_begins_as_cloud_init_wants_it_and_is_renewed_at_each_boot() -> None:
    want = spec(metadata={"ROLE": "it's"})

    files = seed_files(want, read_machine(want).unwrap(), "qemu")
    assert files["user-data"].startswith("#cloud-config\n{")
    assert user_data(want) == {
        "preserve_hostname": False,
        "updates": {"network": {"when": ["boot-new-instance", "boot"]}},
        "bootcmd": [
            [
                *("sh", "-c", 'umask 077; printf %s "$1" >"$2"', "sh"),
                "# written by geats\nNAME=db01\nROLE='it'\"'\"'s'\n",
                "/etc/firstboot.config",
            ]
        ],
    }


def test_data_volumes_are_formatted_if_they_are_empty_and_mounted() -> None:
    logs = {"name": "logs", "mount": "/var/log", "read_only": True}
    raw = {"name": "raw"}  # what has no mount point is for the guest as it is
    found = user_data(
        spec(volumes=[ROOT, DATA, logs, raw], hardware={"disks": {"data": {"bus": "scsi"}}})
    )

    data = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_data"
    assert found["mounts"] == [
        [data, "/srv", "auto", "defaults,nofail", "0", "2"],
        ["/dev/disk/by-id/virtio-logs", "/var/log", "auto", "defaults,nofail,ro", "0", "2"],
    ]
    formatted = found["bootcmd"]
    assert isinstance(formatted, list)
    assert [each[-2:] for each in formatted[1:]] == [[data, "data"]]
    assert formatted[1][2] == (
        'blkid -p "$1" >/dev/null 2>&1; [ $? -ne 2 ] || mkfs.ext4 -q -L "$2" "$1"'
    )


@pytest.mark.parametrize("bus", ["sata", "ide"])
def test_a_disk_is_found_by_its_bus_and_serial(bus: str) -> None:
    want = spec(hardware={"machine": "pc", "disks": {"root": {"bus": bus}}})

    assert devices(want, read_machine(want).unwrap(), "qemu") == {
        "root": "/dev/disk/by-id/ata-QEMU_HARDDISK_root"
    }


def test_keys_and_data_of_the_user_are_put_over_ours() -> None:
    said = {"bootcmd": [["true"]], "preserve_hostname": True, "updates": {"more": 1}, "users": []}
    found = user_data(spec(hardware={"ssh_keys": ["ssh-ed25519 A"], "user_data": said}))
    ours = user_data(spec())

    assert found == {
        **ours,
        "ssh_authorized_keys": ["ssh-ed25519 A"],
        "preserve_hostname": True,
        "updates": {"network": {"when": ["boot-new-instance", "boot"]}, "more": 1},
        "bootcmd": [*list(ours["bootcmd"]), ["true"]],  # type: ignore[call-overload]
        "users": [],
    }


def test_a_container_gets_the_same_documents_without_network_and_mounts() -> None:
    said: dict[str, object] = {
        "guest": "cloud-init",
        "ssh_keys": ["k"],
        "user_data": {"packages": ["vim"]},
    }
    want = spec(driver="lxc", hostname="db.example.org", nics=[NIC], volumes=[ROOT, DATA])
    odd: dict[str, object] = {"user_data": "odd"}
    for hardware, more in (
        ({}, {}),
        (said, {"ssh_authorized_keys": ["k"], "packages": ["vim"]}),
        (odd, {}),
    ):
        keyed = replace(want, hardware=spec(hardware=hardware).hardware)
        files = container_seed(keyed)
        found = {name: json.loads(text.removeprefix(CLOUD_CONFIG)) for name, text in files.items()}
        assert files["user-data"].startswith(CLOUD_CONFIG)
        assert found == {
            "meta-data": {
                "instance-id": domain_uuid("db01", "lxc"),
                "local-hostname": "db.example.org",
            },
            "network-config": {"config": "disabled"},
            "user-data": {"preserve_hostname": False, **more},
        }


def test_a_guest_is_known_by_its_document_or_not_at_all() -> None:
    ours = container_seed(spec(driver="lxc"))["meta-data"]
    assert instance_of(ours) == domain_uuid("db01", "lxc")
    for other in ("instance-id: i-1", "[]", "{}", "[" * 100_000):
        assert instance_of(other) == ""


def test_what_is_merged_is_not_changed() -> None:
    ours: dict[object, object] = {"a": {"b": [1]}, "c": [1]}

    assert merged(ours, {"a": {"b": [2]}, "c": {}}) == {"a": {"b": [1, 2]}, "c": {}}
    assert ours == {"a": {"b": [1]}, "c": [1]}


def test_users_keys_and_the_minion_are_told_to_virtual_machines_and_containers() -> None:
    said: dict[str, object] = {
        "timezone": "Europe/Amsterdam",
        "ssh_keys": ["ssh-rsa AAAA"],
        "users": {"ada": {}},
        "minion": {"master": "salt"},
    }
    machine = spec(hardware=None, **said)
    of_machine = seed_files(machine, read_machine(machine).unwrap(), "qemu")
    of_container = container_seed(spec(hardware={"guest": "cloud-init"}, **said))
    for files in (of_machine, of_container):
        found = json.loads(files["user-data"].removeprefix(CLOUD_CONFIG))
        assert found["timezone"] == "Europe/Amsterdam"
        names = ["default", "root", "ada"]
        assert [names[0], *(each["name"] for each in found["users"][1:])] == names
        assert found["write_files"][0]["path"] == "/etc/salt/minion.d/99-geats.conf"
