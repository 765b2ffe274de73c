"""What a host has, for plans."""

import psutil

from geats_host.linux import memory


def test_the_memory_of_the_host_is_what_others_say_of_it() -> None:
    assert memory.total_bytes() == psutil.virtual_memory().total
