"""The files that geats writes into a guest, as text."""

from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv4Interface
from shlex import quote

from geats_core.vm.spec import Dns, VMSpec

HEADER = "# written by geats\n"
FIRSTBOOT = "etc/firstboot.config"


def guest_files(spec: VMSpec) -> Mapping[str, str]:
    """Each file's content, by its path relative to the guest's root."""
    files = {
        "etc/hostname": f"{spec.hostname}\n",
        FIRSTBOOT: firstboot_config(spec),
    }
    if spec.dns != Dns():
        files["etc/resolv.conf"] = resolv_conf(spec.dns)
    return files


def guest_digest(spec: VMSpec) -> str:
    """Names the content of ``guest_files(spec)``: equal exactly when all files are."""
    digest = sha256()
    for path, content in sorted(guest_files(spec).items()):
        digest.update(f"{path}\0{content}\0".encode())
    return digest.hexdigest()[:16]


def firstboot_config(spec: VMSpec) -> str:
    """Shell assignments, quoted: NAME, IPADDRESS, NETMASK and GATEWAY (IPv4), and the metadata.

    The first IPv4 address of the first NIC that has one counts; metadata keys stand as they are.
    """
    values: dict[str, str] = {"NAME": spec.hostname}
    for nic in spec.nics:
        first = next((a for a in nic.addresses if isinstance(a, IPv4Interface)), None)
        if first is not None:
            values |= {"IPADDRESS": str(first.ip), "NETMASK": str(first.netmask)}
            gateway = next((str(g) for g in nic.gateways if g.version == 4), None)
            values |= {} if gateway is None else {"GATEWAY": gateway}
            break
    values |= {key: value for key, value in spec.metadata if key not in values}
    return HEADER + "".join(f"{key}={quote(value)}\n" for key, value in values.items())


def resolv_conf(dns: Dns) -> str:
    """See resolv.conf(5)."""
    lines = [f"nameserver {server}" for server in dns.nameservers]
    if dns.search:
        lines.append(f"search {' '.join(dns.search)}")
    return HEADER + "".join(f"{line}\n" for line in lines)
