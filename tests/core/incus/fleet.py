"""Instances as ``incus list --format json`` prints them, with every kind of option and device."""

from geats_core.foreign.notes import Imported
from geats_core.incus.incus_import import import_incus

SHIFTED = (
    '[{"Isuid":true,"Isgid":true,"Hostid":1000000,"Nsid":0,"Maprange":65536},'
    '{"Isuid":true,"Isgid":false,"Hostid":2000000,"Nsid":65536,"Maprange":10}]'
)
PROFILE: dict[str, object] = {
    "name": "default",
    "config": {"boot.autostart": "true", "limits.memory": "1GiB"},
    "description": "Default Incus profile",
    "devices": {
        "eth0": {"name": "eth0", "network": "incusbr0", "type": "nic"},
        "root": {"path": "/", "pool": "fast", "size": "10GiB", "type": "disk"},
        "gone": {"type": "proxy", "listen": "tcp:0.0.0.0:81", "connect": "tcp:127.0.0.1:81"},
    },
    "used_by": [],
}
CONFIG = {
    "boot.autostart.delay": "5",
    "boot.autostart.priority": "10",
    "boot.host_shutdown_timeout": "90",
    "cloud-init.user-data": "canary",
    "environment.TZ": "UTC",
    "image.os": "Debian",
    "image.release": "bookworm",
    "limits.cpu": "2",
    "limits.kernel.nofile": "1024:4096",
    "limits.memory": "512MiB",
    "limits.processes": "500",
    "linux.sysctl.net.ipv4.ip_forward": "1",
    "raw.lxc": "lxc.cap.drop = mknod\nlxc.mount.entry = /srv/raw srv/raw none bind,ro 0 0",
    "security.nesting": "true",
    "security.syscalls.deny_compat": "true",
    "snapshots.schedule": "@daily",
    "strange": "1",
    "user.owner": "canary",
    "user.user-data": "canary",
    "volatile.eth0.hwaddr": "10:66:6a:01:02:03",
    "volatile.last_state.idmap": "[]",
    "volatile.uuid": "0",
}
DEVICES: dict[str, dict[str, str]] = {
    "backup": {
        "path": "/backup",
        "pool": "fast",
        "source": "backup",
        "type": "disk",
        "size": "1GB",
    },
    "eth1": {
        **{"hwaddr": "10:66:6a:01:02:04", "nictype": "bridged", "parent": "br1", "type": "nic"},
        **{"ipv4.address": "10.0.0.7", "mtu": "9000"},
    },
    "gone": {"type": "none"},
    "srv": {
        "path": "/srv",
        "readonly": "true",
        "required": "false",
        "source": "/srv/a",
        "type": "disk",
    },
    "tun": {"path": "/dev/net/tun", "type": "unix-char"},
    "web": {"connect": "tcp:127.0.0.1:80", "listen": "tcp:0.0.0.0:80", "type": "proxy"},
}
INSTANCE: dict[str, object] = {
    "architecture": "x86_64",
    "config": CONFIG,
    "description": "canary",
    "devices": DEVICES,
    "ephemeral": True,
    "name": "web01",
    "profiles": ["default"],
    "status": "Running",
    "type": "container",
}


def imported(**documents: object) -> Imported:
    """The pillar for documents by the names of their files."""
    return import_incus({file: (file, raw) for file, raw in documents.items()})
