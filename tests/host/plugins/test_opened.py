"""Plugins that are asked while others are."""

from threading import Event

from geats_host.plugins.opened import Opened


def test_one_kind_of_plugins_answers_while_another_is_asked() -> None:
    """A driver that waits for another process, such as that of libvirt, waits beside the pools."""
    pools_answered = Event()
    drivers, pools = Opened.of("driver", {"one": 1}), Opened.of("pool", {"disks": 2})

    def size(pool: int) -> int:
        pools_answered.set()
        return pool

    answers = drivers.asking(lambda driver: (driver, pools_answered.wait(30)))
    assert pools.asked(size) == {"disks": 2}
    assert answers() == {"one": (1, True)}
