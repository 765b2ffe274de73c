"""The log of a container is bounded, also while liblxc has it open."""

from pathlib import Path

from geats_host.drivers.lxc.definition import LOG, LONGEST_LOG, OLD_LOG, OURS, bound_log


def test_a_long_log_begins_anew_and_the_last_of_it_is_kept(tmp_path: Path) -> None:
    log, old = tmp_path / LOG, tmp_path / OLD_LOG
    with log.open("a") as opened:
        opened.write("first\n")
        opened.flush()
        bound_log(tmp_path)
        assert (log.read_text(), old.exists()) == ("first\n", False)
        opened.write("x" * LONGEST_LOG)
        opened.flush()
        bound_log(tmp_path)
        assert (log.read_text(), old.read_text()) == ("", "x" * LONGEST_LOG)
        opened.write("next\n")
    assert log.read_text() == "next\n"
    assert {each.name for each in tmp_path.iterdir()} <= set(OURS)


def test_what_is_no_plain_log_is_left_alone(tmp_path: Path) -> None:
    bound_log(tmp_path)
    (tmp_path / "victim").write_text("x" * (LONGEST_LOG + 1))
    (tmp_path / LOG).symlink_to("victim")
    bound_log(tmp_path)
    assert (tmp_path / "victim").stat().st_size == LONGEST_LOG + 1
