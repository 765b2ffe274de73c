"""All locks keep operations apart: one suite for them."""

from geats_host.testing.lock_conformance import LockConformance


class TestFlock(LockConformance):
    opener = "geats_host.locks.flock:open_locks"


class TestMemory(LockConformance):
    opener = "geats_host.locks.memory:open_locks"
    shared_by_processes = False
