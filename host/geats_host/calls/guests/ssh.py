"""The way into a VM by ssh."""

from geats_core.reading import fields, mappings
from geats_core.reading.mappings import Options
from geats_core.requests.guest_requests import owner
from geats_host.errors import Refused, accepted
from geats_host.host import Host

port = fields.whole_number(1, 65535)


def ssh_command(host: Host, name: str, options: Options) -> list[str]:
    """The argv of ssh to the VM's first address; refused if it has none.

    *options* may have ``user``, ``identity`` (a file of the host) and ``port``.
    """
    read = mappings.options(options)
    user = read.take("user", owner, None)
    identity = read.take("identity", fields.absolute_path, None)
    port_ = read.take("port", port, None)
    accepted(read.done(None))
    addresses = host.driver(name).info(name).addresses
    if not addresses:
        raise Refused(f"{name}: has no address now")
    login = [] if user is None else ["-l", str(user)]
    key = [] if identity is None else ["-i", identity]
    at = [] if port_ is None else ["-p", str(port_)]
    return ["ssh", *login, *key, *at, "--", addresses[0]]
