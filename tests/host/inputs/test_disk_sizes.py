"""How large the disks are that files name."""

import os
import struct
from pathlib import Path

from geats_core.foreign.qcow2 import FEATURES, HEADER, MAGIC
from geats_host.inputs.disk_sizes import disk_sizes


def test_each_disk_that_is_there_has_its_size(tmp_path: Path) -> None:
    raw, qcow2, pipe = tmp_path / "raw", tmp_path / "qcow2", tmp_path / "pipe"
    raw.write_bytes(b"")
    os.truncate(raw, 5 << 20)
    header = HEADER.pack(MAGIC, 3, 0, 0, 16, 20 << 20, 0, 0, 0, 0, 0, 0, 0)
    qcow2.write_bytes(header + FEATURES.pack(0) + struct.pack(">I", 0))
    os.mkfifo(pipe)
    disks = [
        *((f"{raw}", "raw"), (f"{qcow2}", "qcow2"), (f"{pipe}", "raw"), (f"{tmp_path}", "raw")),
        *((f"{tmp_path}/none", "raw"), ("a\0b", "raw"), ("", "")),
    ]

    assert disk_sizes(disks) == {f"{raw}": 5 << 20, f"{qcow2}": 20 << 20}
    assert disk_sizes([(f"{raw}", "qcow2")]) == {}  # which would be another disk
