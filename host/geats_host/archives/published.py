"""A root volume as a template: a tarball of its files, or an image of its disk."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from geats_core.guests.minion import CONF
from geats_core.planning.actions import OfOneGuest
from geats_core.vm.guest_files import FIRSTBOOT
from geats_host.archives.disk_archives import Disk, raw_disk
from geats_host.archives.vm_archives import Content, appearing
from geats_host.archives.volume_archives import Tree, pack
from geats_host.linux import qemu_img

TREE, DISK = "tar.zst", "qcow2"
ID = "etc/machine-id"
FILES: Mapping[OfOneGuest, tuple[str, ...]] = {
    OfOneGuest.MACHINE_ID: (  # and what systemd says is to differ as well: see Building Images
        *("./etc/machine-id", "./var/lib/dbus/machine-id"),
        *("./var/lib/systemd/random-seed", "./var/lib/systemd/credential.secret"),
    ),
    OfOneGuest.SSH_HOST_KEYS: ("./etc/ssh/ssh_host_*",),
    OfOneGuest.HOSTNAME: ("./etc/hostname",),
    OfOneGuest.MINION_KEYS: ("./etc/salt/pki/minion/*",),
    OfOneGuest.METADATA: (f"./{FIRSTBOOT}", f"./{CONF}"),  # which may have secrets
    OfOneGuest.CLOUD_INIT: (  # what `cloud-init clean --logs --seed` removes, but for scripts
        *("./var/lib/cloud/instance", "./var/lib/cloud/instances/*", "./var/lib/cloud/data/*"),
        *("./var/lib/cloud/sem/*", "./var/lib/cloud/seed/*", "./var/log/cloud-init*.log"),
    ),
    OfOneGuest.DHCP_LEASES: (  # of dhclient, dhcpcd and NetworkManager, and by what they are known
        *("./var/lib/dhcp/*", "./var/lib/dhclient/*", "./var/lib/dhcpcd/*"),
        *("./var/lib/NetworkManager/*.lease", "./var/lib/NetworkManager/secret_key"),
    ),
}


def write(
    path: Path,
    content: Content,
    without: Collection[OfOneGuest],
    done_with_volume: Callable[[], None],
) -> None:
    """Write what the volume contains; the file appears only when complete, and replaces none."""
    with appearing(path, done_with_volume) as out:
        if isinstance(content, Disk):
            with raw_disk(content) as raw:
                qemu_img.compress(raw, path, out.fileno())
        else:
            with _empty_id(content, without) as also:
                left_out = [each for what in without for each in FILES[what]]
                pack(content, out, without=left_out, also=also)


@contextmanager
def _empty_id(content: Content, without: Collection[OfOneGuest]) -> Iterator[tuple[str, ...]]:
    """What puts an empty machine-id in the place of one that is left out.

    Without any, systemd takes the next boot for the first, and enables what was disabled: see
    machine-id(5).
    """
    if not isinstance(content, Tree) or OfOneGuest.MACHINE_ID not in without:
        yield ()
        return
    with TemporaryDirectory() as aside:
        os.chmod(aside, 0o755)  # whoever packs may be nobody here
        file = Path(aside, ID)
        file.parent.mkdir(mode=0o755)
        file.touch(mode=0o444)
        os.chown(file, content.shifted_by, content.shifted_by)
        yield ("--directory", aside, ID)
