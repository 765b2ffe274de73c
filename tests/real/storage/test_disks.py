"""Disks are written to block devices: what they hold, and no more than has to be written."""

import os
from pathlib import Path

import pytest

from geats_host.errors import HostError
from geats_host.linux.disks import chunks, size_of, write_disk
from tests.host.templates.disks import MIB, raw_disk
from tests.real.storage.places import in_memory, loop_device, memory, own_mounts

__all__ = ["in_memory", "memory", "own_mounts"]


def test_a_device_begins_with_the_disk_and_shows_nothing_of_what_it_held(memory: Path) -> None:
    raw = raw_disk(memory / "raw")
    with loop_device(memory / "device", 6 * MIB) as device:
        device.write_bytes(os.urandom(6 * MIB))
        write_disk(raw, device)
        assert device.read_bytes() == raw.read_bytes() + bytes(2 * MIB)
        assert size_of(device) == 6 * MIB
        assert b"".join(chunks(device)) == device.read_bytes()


def test_a_thin_device_stays_thin(memory: Path) -> None:
    raw = raw_disk(memory / "raw")
    with loop_device(memory / "device", 6 * MIB) as device:
        write_disk(raw, device)
        write_disk(raw, device)
        assert device.read_bytes() == raw.read_bytes() + bytes(2 * MIB)
        taken = (memory / "device").stat().st_blocks * 512
    assert taken <= 3 * MIB  # by chunks that hold something


def test_a_device_that_is_too_small_is_left_alone(memory: Path) -> None:
    raw = raw_disk(memory / "raw")
    with loop_device(memory / "device", 2 * MIB) as device:
        with pytest.raises(HostError, match="does not fit into 2MiB"):
            write_disk(raw, device)
        assert device.read_bytes() == bytes(2 * MIB)
