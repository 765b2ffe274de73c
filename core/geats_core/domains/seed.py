"""What cloud-init reads in a guest: the documents of its NoCloud seed, as a function of the spec.

The documents are JSON, which is YAML too. The guest reads them at each boot, so a changed hostname,
address or ``firstboot.config`` is there after a restart. What cloud-init does once for a new guest
only, such as users and their keys, is not done again.
"""

import json
from collections.abc import Iterable, Mapping

from geats_core.domains.domain_xml import domain_uuid
from geats_core.domains.flavours import FLAVOURS
from geats_core.domains.machine import Bus, Machine
from geats_core.domains.plain_devices import in_guest
from geats_core.guests.cloud_config import cloud_config
from geats_core.vm import hardware
from geats_core.vm.guest_files import FIRSTBOOT, firstboot_config
from geats_core.vm.spec import Dns, Nic, VMSpec, Volume

CLOUD_CONFIG = "#cloud-config\n"
CONTAINERS = "lxc"  # in place of the type of a domain
INSTANCE = "instance-id"
META_DATA, USER_DATA, NETWORK_CONFIG = "meta-data", "user-data", "network-config"
BY_ID = {  # how udev calls a disk with a serial number, by its bus
    Bus.VIRTIO: "virtio-",
    Bus.SCSI: "scsi-0QEMU_QEMU_HARDDISK_",
    Bus.SATA: "ata-QEMU_HARDDISK_",
    Bus.IDE: "ata-QEMU_HARDDISK_",
}
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
# blkid ends with 2 if it finds nothing at all on the disk: only then is there nothing to lose.
FORMAT = 'blkid -p "$1" >/dev/null 2>&1; [ $? -ne 2 ] || mkfs.ext4 -q -L "$2" "$1"'
WRITE = 'umask 077; printf %s "$1" >"$2"'


def seed_files(spec: VMSpec, machine: Machine, kind: str, uuid: str = "") -> Mapping[str, str]:
    """Each document by its name; *kind* is the type of the domain, *uuid* its own if it has one."""
    ours = _user_data(spec, machine, devices(spec, machine, kind))
    instance = uuid or domain_uuid(spec.name, kind)
    return _documents(spec, instance, _network(spec), merged(ours, machine.user_data))


def container_seed(spec: VMSpec) -> Mapping[str, str]:
    """Each document for a container, whose key ``hardware.guest`` says that cloud-init reads it.

    Its files, interfaces and mounts are made by the host: cloud-init leaves the network alone.
    """
    said = hardware.to_plain(spec.hardware)
    keys, theirs = said.get("ssh_keys"), said.get("user_data")
    user: dict[object, object] = {"preserve_hostname": False, **_accounts(spec)}
    if keys:
        user["ssh_authorized_keys"] = keys
    if isinstance(theirs, Mapping):
        user = merged(user, theirs)
    return _documents(spec, domain_uuid(spec.name, CONTAINERS), {"config": "disabled"}, user)


def _accounts(spec: VMSpec) -> dict[object, object]:
    return cloud_config(spec.name, spec.timezone, spec.users, spec.ssh_keys, spec.minion)


def _documents(
    spec: VMSpec, instance: str, network: Mapping[str, object], user: Mapping[object, object]
) -> Mapping[str, str]:
    identity = {INSTANCE: instance, "local-hostname": spec.hostname}
    return {
        META_DATA: _json(identity),
        NETWORK_CONFIG: _json(network),
        USER_DATA: CLOUD_CONFIG + _json(user),
    }


def instance_of(meta_data: str) -> str:
    """What cloud-init knows a guest by, in a document of that name; empty if it says nothing."""
    try:
        found = json.loads(meta_data)
    except (ValueError, RecursionError):  # it may be of somebody else, and in YAML
        return ""
    return f"{found.get(INSTANCE, '')}" if isinstance(found, dict) else ""


def merged(ours: Mapping[object, object], theirs: Mapping[object, object]) -> dict[object, object]:
    """*theirs* over *ours*: mappings are merged, lists are put behind ours, the rest is theirs."""
    result = dict(ours)
    for key, value in theirs.items():
        own = result.get(key)
        if isinstance(own, Mapping) and isinstance(value, Mapping):
            result[key] = merged(own, value)
        elif isinstance(own, list) and isinstance(value, list):
            result[key] = [*own, *value]
        else:
            result[key] = value
    return result


def _user_data(spec: VMSpec, machine: Machine, paths: Mapping[str, str]) -> dict[object, object]:
    data = [volume for volume in spec.volumes if volume is not spec.root and volume.mount]
    user: dict[object, object] = {
        "preserve_hostname": False,
        "updates": {"network": {"when": ["boot-new-instance", "boot"]}},
        "bootcmd": [
            _shell(WRITE, firstboot_config(spec), f"/{FIRSTBOOT}"),
            *(_shell(FORMAT, paths[v.name], v.name[:16]) for v in data if not v.read_only),
        ],
        **_accounts(spec),
    }
    shared = [[b.name, b.mount, "virtiofs", "defaults,nofail", "0", "0"] for b in spec.binds]
    if data or shared:
        user["mounts"] = [*(_mount(volume, paths) for volume in data), *shared]
    if machine.ssh_keys:
        user["ssh_authorized_keys"] = list(machine.ssh_keys)
    return user


def _shell(script: str, *words: str) -> list[str]:
    """A command that no text from a spec can change."""
    return ["sh", "-c", script, "sh", *words]


def devices(spec: VMSpec, machine: Machine, kind: str) -> Mapping[str, str]:
    """The paths of the volumes in the guest: by their serials, if they have any."""
    flavour = FLAVOURS[kind]
    if not flavour.is_of_qemu:
        return in_guest(spec, flavour)
    names = [volume.name for volume in spec.volumes]
    return {name: f"/dev/disk/by-id/{BY_ID[machine.disk(name).bus]}{name}" for name in names}


def _mount(volume: Volume, paths: Mapping[str, str]) -> list[str]:
    """See fstab(5): a guest starts also if a volume cannot be mounted."""
    options = "defaults,nofail,ro" if volume.read_only else "defaults,nofail"
    return [paths[volume.name], volume.mount, "auto", options, "0", "2"]


def _network(spec: VMSpec) -> dict[str, object]:
    """Version 2 of cloud-init's network configuration: each NIC is known by its MAC address."""
    return {"version": 2, "ethernets": {nic.name: _ethernet(nic, spec.dns) for nic in spec.nics}}


def _ethernet(nic: Nic, dns: Dns) -> dict[str, object]:
    found: dict[str, object] = {"match": {"macaddress": nic.mac}, "set-name": nic.name}
    found |= {"addresses": list(map(str, nic.addresses))} if nic.addresses else {"dhcp4": True}
    if nic.gateways:
        found["routes"] = [
            {"to": ANYWHERE[each.version], "via": f"{each}"} for each in nic.gateways
        ]
    if dns != Dns():
        found["nameservers"] = dict(_nameservers(dns))
    return found


def _nameservers(dns: Dns) -> Iterable[tuple[str, list[str]]]:
    if dns.nameservers:
        yield "addresses", list(map(str, dns.nameservers))
    if dns.search:
        yield "search", list(dns.search)


def _json(document: object) -> str:
    return json.dumps(document, indent=1) + "\n"
