"""The files that geats writes into a guest, as text."""

import json
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from ipaddress import IPv4Interface
from shlex import quote

from geats_core.containers.guest_networks import network_digest
from geats_core.guests.minion import minion_conf
from geats_core.guests.users import users_to_plain
from geats_core.vm.spec import Dns, VMSpec

HEADER = "# written by geats\n"
FIRSTBOOT = "etc/firstboot.config"
RESOLV_CONF = "etc/resolv.conf"
HOSTNAME, HOSTS, MAILNAME = "etc/hostname", "etc/hosts", "etc/mailname"
NAMING = (HOSTS, MAILNAME)
OWN = "127.0.1.1"
LOCALHOST, LOCALHOST_6 = "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"


def guest_files(spec: VMSpec) -> Mapping[str, str]:
    """Each file's content, by its path relative to the guest's root."""
    files = {
        HOSTNAME: f"{spec.hostname}\n",
        FIRSTBOOT: firstboot_config(spec),
    }
    if spec.dns != Dns():
        files[RESOLV_CONF] = resolv_conf(spec.dns)
    return files


def guest_names(
    found: Mapping[str, str], was: str, spec: VMSpec, *, new: bool
) -> Mapping[str, str]:
    """Files that name the guest, and contain other things too, by their paths: what to write.

    *found* are those of NAMING that are there, *was* is what ``/etc/hostname`` says. Lines of
    others stay as they are. A guest that is *new* is no copy of a VM: its template was made on some
    host, whose name may be left in it.
    """
    files = {HOSTS: named_hosts(found.get(HOSTS, ""), was, spec)}
    mail = found.get(MAILNAME)
    if mail is not None and (_is_name_of(was, mail.strip()) or (new and not _says_a_name(was))):
        files[MAILNAME] = f"{spec.hostname}\n"
    return {path: text for path, text in files.items() if text != found.get(path)}


def named_hosts(text: str, was: str, spec: VMSpec) -> str:
    """*text* of ``/etc/hosts``, see hosts(5), with the guest's name in place of what it *was*.

    Only lines of loopback and of the VM's own addresses change. If none has the name, 127.0.1.1
    gets it, as on Debian.
    """
    names = [spec.hostname, *_short(spec.hostname)]
    own = {str(address.ip) for nic in spec.nics for address in nic.addresses}
    was = "" if was == spec.hostname else was
    lines = [_renamed(line, was, names, own) for line in text.splitlines()]
    if not any(spec.hostname in _fields(line)[1:] for line in lines if _is_own(line, own)):
        lines = _with_line(lines, f"{OWN}\t{' '.join(names)}")
    return "".join(f"{line}\n" for line in lines)


def _renamed(line: str, was: str, names: Sequence[str], own: Collection[str]) -> str:
    address, *others = [*_fields(line), ""]
    if not _is_own(line, own) or not any(_is_name_of(was, each) for each in others):
        return line
    kept = [each for each in others if each and not _is_name_of(was, each)]
    comment = "".join(line.partition("#")[1:])
    return f"{address}\t{' '.join(dict.fromkeys([*names, *kept]))}{' ' * bool(comment)}{comment}"


def _with_line(lines: Sequence[str], line: str) -> list[str]:
    """*lines* with this one: in place of that of its address, else after those of loopback."""
    if not lines:
        return [LOCALHOST, line, LOCALHOST_6]
    there = [at for at, each in enumerate(lines) if _fields(each)[:1] == [OWN]]
    if there:
        return [*lines[: there[0]], line, *lines[there[0] + 1 :]]
    after = 1 + max((at for at, e in enumerate(lines) if e.startswith("127.")), default=-1)
    return [*lines[:after], line, *lines[after:]]


def _is_own(line: str, own: Collection[str]) -> bool:
    address = next(iter(_fields(line)), "")
    return address.startswith("127.") or address == "::1" or address in own


def _fields(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _short(hostname: str) -> list[str]:
    first, dot, _ = hostname.partition(".")
    return [first] if dot else []


def _says_a_name(was: str) -> bool:
    return was.partition(".")[0] not in ("", "localhost")


def _is_name_of(was: str, name: str) -> bool:
    """Whether *name* is that of a guest whose hostname *was* this: with its domain or without."""
    first, dot, _ = was.partition(".")
    in_domain = not dot and name.startswith(f"{first}.")
    return _says_a_name(was) and (name in (was, first) or in_domain)


def guest_digest(spec: VMSpec) -> str:
    """Names the content of ``guest_files(spec)``: equal exactly when all files are."""
    digest = sha256()
    for path, content in sorted(guest_files(spec).items()):
        digest.update(f"{path}\0{content}\0".encode())
    digest.update(network_digest(spec.nics, spec.guest_network).encode())
    digest.update(_told(spec).encode())
    return digest.hexdigest()[:16]


def _told(spec: VMSpec) -> str:
    """What else a guest is told; empty if that is nothing."""
    minion = "" if spec.minion is None else minion_conf(spec.minion, spec.name)
    told = (spec.timezone, users_to_plain(spec.users), [*spec.ssh_keys], minion)
    return json.dumps(told) if any(told) else ""


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
