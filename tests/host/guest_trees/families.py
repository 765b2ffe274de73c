"""Small stand-ins for images of each family: the files by which their inits and networks are known.

As image servers of LXD and Incus publish them. A text that begins with ``->`` is a link.
"""

from collections.abc import Mapping

BASE: Mapping[str, str] = {
    "etc/hostname": "distrobuilder\n",
    "etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tdistrobuilder\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/group": "root:x:0:\n",
    "root/.profile": "",
}
SYSTEMD: Mapping[str, str] = {
    **BASE,
    "usr/lib/systemd/systemd": "",
    "usr/lib/systemd/systemd-networkd": "",
    "usr/share/zoneinfo/Europe/Amsterdam": "TZif",
}
LINKED: Mapping[str, str] = {  # merged into /usr
    "sbin": "-> usr/sbin",
    "lib": "-> usr/lib",
    "usr/sbin/init": "-> ../lib/systemd/systemd",
}
MERGED: Mapping[str, str] = {  # and /usr/sbin into /usr/bin
    "sbin": "-> usr/bin",
    "usr/bin/init": "-> ../lib/systemd/systemd",
    "usr/sbin": "-> bin",
}
ENABLED: Mapping[str, str] = {
    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": (
        "-> /usr/lib/systemd/system/systemd-networkd.service"
    ),
    "etc/systemd/network/eth0.network": "[Match]\nName=eth0\n[Network]\nDHCP=true\n",
}
MANAGED: Mapping[str, str] = {"usr/sbin/NetworkManager": "", "etc/gshadow": "root:::\n"}

FAMILIES: Mapping[str, Mapping[str, str]] = {
    "debian-12": {**SYSTEMD, **LINKED, **ENABLED, "etc/gshadow": "root:*::\n"},
    "debian-ifupdown": {
        **SYSTEMD,
        **LINKED,
        "usr/sbin/ifup": "",
        "etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n",
    },
    "ubuntu-24.04": {
        **SYSTEMD,
        **LINKED,
        "usr/sbin/netplan": "-> ../share/netplan/netplan.script",
        "usr/share/netplan/netplan.script": "",
        "etc/netplan/10-lxc.yaml": "network: {version: 2, ethernets: {eth0: {dhcp4: true}}}\n",
    },
    "alpine-3.20": {
        **BASE,
        "bin/busybox": "",
        "sbin/init": "-> /bin/busybox",
        "sbin/openrc": "",
        "sbin/ifup": "-> /bin/busybox",
        "etc/inittab": "::sysinit:/sbin/openrc sysinit\n",
        "etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n",
    },
    "rocky-9": {**SYSTEMD, **LINKED, **MANAGED},
    "fedora-42": {**SYSTEMD, **MERGED, "usr/bin/NetworkManager": ""},
    "opensuse-leap-16": {**SYSTEMD, **LINKED, **MANAGED},
    "archlinux": {**SYSTEMD, **MERGED, **ENABLED},
    "opensuse-leap-15": {**BASE, "usr/sbin/wicked": ""},  # which geats knows nothing of
}
