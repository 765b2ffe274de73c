"""Configs read as liblxc reads them: what each line says, and what includes come to."""

import pytest

from geats_core.foreign.lxc_lines import (
    Includes,
    Line,
    all_lines,
    bounded,
    included_by,
    is_of_lxc,
    lines_of,
    own_lines,
    root_of,
    settled,
    unread,
)


def pairs(text: str, includes: Includes) -> list[tuple[str, str]]:
    return [line.pair for line in all_lines([*own_lines(text)], includes)]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('lxc.uts.name = "a b"', [("lxc.uts.name", "a b")]),
        ("lxc.uts.name = 'quoted'", [("lxc.uts.name", "quoted")]),
        ("lxc.uts.name = 'ab\"", [("lxc.uts.name", "'ab\"")]),
        ('lxc.uts.name = "', [("lxc.uts.name", '"')]),
        (" \tlxc.uts.name\t=\tab \t\r", [("lxc.uts.name", "ab")]),
        ("lxc.uts.name==x", [("lxc.uts.name", "=x")]),
        ("# lxc.uts.name = x\n  # lxc.tty.max = 1", []),
        ("nonsense\nfoo.bar = 1\nLXC.tty.max = 2", []),
        ("lxc.tty.max = 1\0\nlxc.tty.max = 2", [("lxc.tty.max", "1")]),
    ],
)
def test_a_line_is_read_as_liblxc_reads_it(text: str, read: list[tuple[str, str]]) -> None:
    assert [*lines_of(text)] == read
    assert is_of_lxc(text) == bool(read)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("lxc.mount = /f", "lxc.mount.fstab"),
        ("lxc.tty = 2", "lxc.tty.max"),
        ("lxc.aa_profile = unconfined", "lxc.apparmor.profile"),
        ("lxc.loglevel = 1", "lxc.log.level"),
        ("lxc.limit.nofile = 9", "lxc.prlimit.nofile"),
        ("lxc.network.ipv4 = 10.0.0.2", "lxc.net.0.ipv4.address"),
        ("lxc.network.type = veth", "lxc.net.0.type"),
        ("lxc.network.type = veth\nlxc.network.type = veth", "lxc.net.1.type"),
        ("lxc.network.3.mtu = 9", "lxc.net.3.mtu"),
        ("lxc.network =", "lxc.net"),
    ],
)
def test_keys_of_lxc_2_have_their_names_of_today(text: str, key: str) -> None:
    assert [*lines_of(text)][-1][0] == key


def test_the_root_filesystem_of_lxc_2_has_its_kind_in_a_line_of_its_own() -> None:
    assert root_of("lxc.rootfs.backend = btrfs\nlxc.rootfs = /r") == "/r"
    assert root_of("lxc.rootfs.backend = overlay\nlxc.rootfs = /a:/b") == "overlay:/a:/b"
    assert root_of("lxc.rootfs.path = dir:/r") == "/r"


@pytest.mark.parametrize("value", ["a", " a ", '"a"', "a b", "", "'", "= x"])
def test_a_line_as_it_stays_is_read_as_the_same(value: str) -> None:
    assert [*own_lines(Line("lxc.k", value, "lxc.k").text)] == [Line("lxc.k", value, "lxc.k")]


def test_an_include_is_read_where_it_stands_and_knows_where_it_came_from() -> None:
    includes: Includes = {
        "/a": (("/a", "lxc.tty.max = 1\nlxc.include = /d/\n"),),
        "/d/": (("/d/y.conf", "lxc.tty.max = 2"), ("/d/x.conf", "lxc.tty.max = 3")),
    }
    text = "lxc.tty.max = 0\nlxc.include = /a\nlxc.tty.max = 4\nlxc.include =\n"
    assert [value for _, value in pairs(text, includes)] == ["0", "1", "2", "3", "4"]
    came = [line.included for line in all_lines([*own_lines(text)], includes)]
    assert came == ["", "/a", "/a", "/a", ""]
    assert included_by(text) == ("/a",)


def test_what_is_not_there_or_includes_itself_is_passed_over() -> None:
    round_: Includes = {"/a": (("/a", "lxc.tty.max = 1\nlxc.include = /a\nlxc.include = /gone"),)}
    text = "lxc.include = /a\n"
    assert pairs(text, round_) == [("lxc.tty.max", "1")]
    assert unread([*own_lines(text)], round_) == ("/gone",)


def test_what_includes_itself_or_comes_to_too_much_is_not_read() -> None:
    def files(*names: str) -> str:
        return "".join(f"lxc.include = {name}\n" for name in names)

    twice: Includes = {f"/{n}": ((f"/{n}", files(f"/{n + 1}", f"/{n + 1}")),) for n in range(40)}
    kept = bounded({**twice, "/40": (("/40", "lxc.tty.max = 1\n"),)}, 4096)
    assert {*twice} - {*kept} == {"/33", "/26", "/19", "/12", "/5"}
    assert unread([*own_lines(files("/34", "/33"))], kept) == ("/33",)
    all_ = [f"/{n}" for n in range(200)]
    others: Includes = {name: ((name, files(*all_)),) for name in all_}
    assert bounded({**others, "/a": (("/a", files("/1", "/gone")),)}, 4096).keys() == {"/a"}


def test_what_a_tool_wrote_out_of_lxcs_own_file_is_an_include_of_it() -> None:
    standard = "lxc.tty.max = 4\nlxc.cap.drop = sys_time\n"
    lines = [*own_lines("lxc.tty.max=4\nlxc.cap.drop = sys_time\nlxc.uts.name = a")]
    assert [line.pair for line in settled(lines, standard, "/c")] == [
        ("lxc.include", "/c"),
        ("lxc.uts.name", "a"),
    ]
    for others in (lines[1:], lines[::-1]):
        assert settled(others, standard, "/c") == tuple(others)
    assert settled(lines, "", "/c") == tuple(lines)
