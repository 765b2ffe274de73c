"""What the host's network offers to VMs."""

import json

from geats_host.run import run


def bridges() -> frozenset[str]:
    """The names of the bridges in our network namespace.

    Asked of the kernel through iproute2: /sys/class/net shows the one it was mounted in.
    """
    links = json.loads(run(["ip", "-json", "link", "show", "type", "bridge"], timeout_s=10) or "[]")
    return frozenset(link["ifname"] for link in links if "ifname" in link)
