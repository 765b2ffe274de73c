"""What a host has, for plans."""

import psutil

from geats_host.planning.facts import memory_bytes


def test_the_memory_of_the_host_is_what_others_say_of_it() -> None:
    assert memory_bytes() == psutil.virtual_memory().total
