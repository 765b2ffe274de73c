"""Defines a container as others do: ``python SCRIPT PACKAGES LXCPATH NAME ITEM...``.

It runs in whichever Python has a sound binding (see ``geats_host.drivers.binding``).
"""

import os
import sys

sys.path.append(sys.argv[1])
import lxc

_, _, lxcpath, name, *items = sys.argv
container = lxc.Container(name, lxcpath)
container.clear_config()
container.load_config("/usr/share/lxc/config/common.conf")
for item in items:
    key, _, value = item.partition(" = ")
    assert container.append_config_item(key, value) or key == "lxc.rootfs.path"
os.makedirs(f"{lxcpath}/{name}", exist_ok=True)
assert container.save_config()
