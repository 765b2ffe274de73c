"""The log of a container is bounded, also while liblxc has it open; and what of it an error has."""

from pathlib import Path

from geats_host.drivers.lxc.definition import LOG, LONGEST_LOG, OLD_LOG, OURS, bound_log
from geats_host.drivers.lxc.process import reasons

OF_A_START = """lxc-start t1 1.629 INFO     conf - ../src/lxc/conf.c:run:1 - Running script
lxc-start t1 1.699 ERROR    network - ../src/lxc/network.c:up:711 - No such file or directory - \
Failed to attach "veth1" to bridge "nobr0", bridge interface doesn't exist
lxc-start t1 1.722 ERROR    start - ../src/lxc/start.c:lxc_spawn:1840 - Failed to create the network
lxc-start t1 1.722 ERROR    lxc_start - ../src/lxc/tools/lxc_start.c:main:306 - The container failed
"""


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


def test_of_a_failed_start_the_first_complaint_is_told_and_where_the_others_are(
    tmp_path: Path,
) -> None:
    log = tmp_path / LOG
    assert reasons(log) == ""
    log.write_text(OF_A_START)
    assert reasons(log) == (
        'No such file or directory - Failed to attach "veth1" to bridge "nobr0", bridge interface '
        f"doesn't exist (what followed from it is in {log})"
    )
    assert reasons(log, log.stat().st_size) == ""
    log.write_text(
        "lxc t1 1.6 ERROR    utils - ../src/lxc/utils.c:open:7 - Failed to create detached mount\n"
        'lxc t1 1.6 ERROR    conf - ../src/lxc/conf.c:mount:9 - Failed to mount rootfs "/srv/t1"\n'
    )
    told = 'Failed to create detached mount: Failed to mount rootfs "/srv/t1"'
    assert reasons(log) == told
    log.write_text(OF_A_START)
    last = OF_A_START.splitlines()[-1]
    assert reasons(log, len(OF_A_START) - len(last) - 1) == "The container failed"
