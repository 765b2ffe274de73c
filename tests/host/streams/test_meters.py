"""How far copies are."""

import io
from concurrent.futures import ThreadPoolExecutor
from tempfile import NamedTemporaryFile

from geats_core.planning.actions import Export
from geats_core.planning.steps import Step
from geats_host.cli.plan_view import _how_far
from geats_host.streams import meters

STEP = Step(vm="web01", action=Export("/a.tar"), reason="asked")
EXPORT = "export web01 to /a.tar"


def test_what_is_read_is_counted_for_what_is_under_way() -> None:
    assert meters.of(STEP) is None
    with meters.metered(STEP):
        stream = meters.counted(io.BytesIO(b"x" * 10), 10)
        assert (stream.read(4), stream.read(3)) == (b"xxxx", b"xxx")
        meter = meters.of(STEP)
        assert meter is not None
        assert (meter.moved_bytes, meter.total_bytes) == (7, 10)
        assert meter.left_s(meter.begun_s + 14) == 6
        meters.counter()(1)  # of the next thing that it moves
        assert (meter.moved_bytes, meter.total_bytes, meter.left_s(0)) == (1, None, None)
    assert meters.of(STEP) is None


def test_two_steps_side_by_side_have_a_meter_each() -> None:
    other = Step(vm="db01", action=Export("/b.tar"), reason="asked")

    def move(step: Step, count: int) -> int:
        with meters.metered(step):
            meters.counter()(count)
            meter = meters.of(step)
            return 0 if meter is None else meter.moved_bytes

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(move, (STEP, other), (5, 7))) == [5, 7]
    meters.counter()(1)  # what nobody asked for is counted for nobody


def test_a_step_under_way_says_how_far_it_is_and_how_long_it_takes() -> None:
    assert _how_far(STEP, 0) == EXPORT
    with meters.metered(STEP):
        assert _how_far(STEP, 0) == EXPORT
        moved = meters.counter(4 << 20)
        moved(1 << 20)
        meter = meters.of(STEP)
        assert meter is not None
        meter.begun_s = 0
        assert _how_far(STEP, 10) == f"{EXPORT}: 1MiB of 4MiB, 30s left"
        meters.counter()(2048)
        assert _how_far(STEP, 10) == f"{EXPORT}: 2KiB"
        meters.counter(4096, "comparing")(2048)
        assert _how_far(STEP, meter.begun_s).startswith(f"{EXPORT}: comparing 2KiB of 4KiB, ")


def test_another_program_is_looked_at_while_it_moves_bytes() -> None:
    far = [0]
    with meters.metered(STEP):
        moved, meter = meters.counter(10), meters.of(STEP)
        assert meter is not None
        for count in (4, 2):
            with meters.looking(lambda: far[0]):
                far[0] = count
            assert meter.moved_bytes == meter.seen()
        moved(1)
        assert (meter.seen(), meter.total_bytes) == (7, 10)
        with meters.looking(lambda: 3, 6):
            assert (meter.seen(), meter.total_bytes, meter.left_s(meter.begun_s + 1)) == (3, 6, 1)
        with NamedTemporaryFile() as file, meters.looking(file.tell):
            file.close()
            assert meter.seen() == 3  # what ended meanwhile is not looked at
    with meters.looking(lambda: 1):
        assert meters.of(STEP) is None  # nobody asked for it
