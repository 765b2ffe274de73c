"""Laws of guests of Proxmox: whatever a file holds is told of, and nothing raises."""

from hypothesis import given
from hypothesis import strategies as st

from geats_core.proxmox.conf import read_conf
from geats_core.proxmox.proxmox_import import import_proxmox
from geats_core.proxmox.storages import find, read_storages
from tests.core.proxmox.guests import CONTAINER, MACHINE, STORAGES

KEYS = sorted(
    {line.partition(":")[0] for line in (CONTAINER + MACHINE).splitlines() if ":" in line}
    - {"# Ask%3A ops", "hostname", "name", "description"}
)
WORDS = ["", "1", "0", "-1", "9" * 30, "none", "cdrom", "canary", "virtio", "\u0661", "=", ",", ";"]
OPTIONS = ["file", "volume", "media", "size", "bridge", "ip", "mp", "ro", "tag", "order", "virtio"]
words = st.sampled_from([*WORDS, "thin:vm-1-disk-0", "local:iso/a", "/dev/sda", "/srv/a", "\x85"])
values = st.lists(
    st.builds("=".join, st.tuples(st.sampled_from(OPTIONS), words)) | words, min_size=1, max_size=4
).map(",".join)
settings = st.dictionaries(
    st.sampled_from(KEYS) | st.from_regex(r"[a-z]{1,6}[0-9]?", fullmatch=True), values, max_size=8
)
bases = st.sampled_from(["rootfs: thin:vm-1-disk-0,size=1G", "memory: 512"])


@given(bases, settings)
def test_each_setting_of_any_guest_is_told_of_and_no_key_twice(
    base: str, lines: dict[str, str]
) -> None:
    text = "\n".join([base, *(f"{key}: {value}" for key, value in lines.items())])
    made = import_proxmox({"1.conf": ("1", text)}, read_storages(STORAGES))

    keys = [note.key for note in made.notes]
    conf = read_conf("1.conf", text).unwrap()
    assert len(set(keys)) == len(keys)
    assert {key.partition(".")[0] for key in keys if key[0] != "l"} == {
        key for key in (*conf.settings, *(f"line {n}" for n in conf.unread)) if key[0] != "l"
    }


@given(st.text(max_size=400), st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str, storages: str) -> None:
    for guest in (text, f"rootfs: a\n{text}", f"memory: 1\n{text}"):
        made = import_proxmox({"1.conf": ("1", guest)}, read_storages(storages))
        assert made.notes or made.problems
    find(text, read_storages(storages))
