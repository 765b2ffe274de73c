"""Guests as Proxmox VE 8 writes them, and what becomes of them."""

from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.notes import Imported
from geats_core.proxmox.proxmox_import import import_proxmox
from geats_core.proxmox.storages import read_storages

STORAGES = """\
dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl

lvmthin: thin
\tthinpool data
\tvgname pve

zfspool: tank
\tpool rpool/data
\tsparse

nfs: nas
\tserver 192.0.2.9

btrfs: bt
\tpath /srv/bt

rbd: ceph
\tpool vms
"""
MACHINE = """\
# Ask%3A ops
agent: 1,fstrim_cloned_disks=1
balloon: 1024
bios: ovmf
boot: order=scsi0;ide2;net0
cipassword: canary
cores: 4
cpu: host,flags=+aes
efidisk0: thin:vm-100-disk-0,efitype=4m,pre-enrolled-keys=1,size=4M
hostpci0: 0000:01:00.0
ide0: thin:vm-100-cloudinit,media=cdrom
ide2: local:iso/debian.iso,media=cdrom,size=700M
ipconfig0: ip=10.0.0.5/24,gw=10.0.0.1,ip6=auto
machine: pc-q35-7.2+pve0
memory: 4096
name: db01
nameserver: 10.0.0.1 10.0.0.2
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,rate=2,queues=2
net1: model=e1000,macaddr=BC:24:11:00:00:02,bridge=vmbr1,link_down=1,mtu=9000
numa: 0
onboot: 1
ostype: l26
parent: before
protection: 1
rng0: source=/dev/urandom
scsi0: thin:vm-100-disk-1,discard=on,iothread=1,size=32G,ssd=1
scsi1: nas:100/vm-100-disk-0.qcow2,cache=writeback,size=100G,serial=data
scsihw: virtio-scsi-single
sockets: 1
sshkeys: ssh-ed25519%20AAAA%20ada%0A
startup: order=3,up=30,down=90
tpmstate0: thin:vm-100-disk-2,size=4M,version=v2.0
unused0: thin:vm-100-disk-9
vcpus: 2
vga: qxl
virtio0: tank:base-7-disk-0/vm-100-disk-4,iothread=1,ro=1,size=512K
watchdog: i6300esb,action=poweroff
bogus line

[PENDING]
memory: 8192

[before]
memory: 2048
snaptime: 1700000000
"""
CONTAINER = """\
arch: amd64
cores: 2
cpulimit: 1.5
dev0: /dev/dri/renderD128,gid=104
features: nesting=1
hostname: www
memory: 1024
mp0: thin:vm-101-disk-1,mp=/srv/data,size=50G,backup=1
mp1: /mnt/media,mp=/media,ro=1
net0: name=lan,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:00:00:03,ip=10.0.0.7/24,ip6=dhcp,type=veth
ostype: debian
rootfs: thin:vm-101-disk-0,size=8G
searchdomain: example.org
swap: 512
unprivileged: 1
lxc.cgroup2.devices.allow: c 10:200 rwm
lxc.mount.entry = /dev/net/tun dev/net/tun none bind,create=file
"""


def imported(text: str, file: str = "100.conf", storages: str = STORAGES) -> Imported:
    """What becomes of one guest."""
    host = OnHost(kinds={"/dev/net/tun": False})
    guests = {file: (file.removesuffix(".conf"), text)}
    return import_proxmox(guests, read_storages(storages), host)


def wrong(text: str, file: str = "100.conf") -> list[str]:
    """What is still wrong after it."""
    return [str(each) for each in imported(text, file).problems]


def told(made: Imported) -> dict[str, str]:
    """Where each key is now, or why it is nowhere."""
    return {note.key: note.to or note.why for note in made.notes}
