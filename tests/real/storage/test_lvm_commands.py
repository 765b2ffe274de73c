"""What LVM is asked, and how its answers and tags are read; reports are of LVM 2.03.16."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geats_core.vm.observation import SnapshotSeen, Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.storage import TEMPLATES, VolumeId, lvm_commands
from geats_host.storage.lvm_commands import (
    LogicalVolume,
    parse_own_bytes,
    parse_report,
    parse_volumes,
)
from geats_host.storage.lvm_volumes import (
    LONGEST_NAME,
    NEW,
    held_by,
    lv_name,
    marked,
    seen_of,
    snapshot_tags,
    tags_of,
)

VOLUME = VolumeId("web01", "root")
OF_A_TAG = re.compile(r"[A-Za-z0-9_+./=!:&#][A-Za-z0-9_+.\-/=!:&#]{0,1023}")  # lvm(8)

REPORT = """
  {
      "report": [
          {
              "lv": [
                  {"lv_name":"geats.web01.root", "lv_tags":"geats,geats.guest=a#20b:&!",
                   "lv_size":"67108864", "lv_active":"active", "pool_lv":"pool0", "thin_id":"1",
                   "origin":"", "segtype":"thin", "zero":"zero", "data_percent":"25.00"},
                  {"lv_name":"kept", "lv_tags":"", "lv_size":"4194304", "lv_active":"",
                   "pool_lv":"pool0", "thin_id":"2", "origin":"geats.web01.root",
                   "segtype":"thin", "zero":"zero", "data_percent":""},
                  {"lv_name":"pool0", "lv_tags":"", "lv_size":"2147483648", "lv_active":"active",
                   "pool_lv":"", "thin_id":"", "origin":"", "segtype":"thin-pool",
                   "zero":"zero", "data_percent":"12.50"},
                  {"lv_name":"home", "lv_tags":"", "lv_size":"8388608", "lv_active":"active",
                   "pool_lv":"", "thin_id":"", "origin":"", "segtype":"linear",
                   "zero":"unknown", "data_percent":""}
              ]
          }
      ]
  }
"""
OWN_BYTES = "1 8585216 \n3  196608 \n"


def test_a_thick_volume_is_made_neither_active_nor_clean() -> None:
    """It is wiped when it is formatted: what a cut leaves of that is done again."""
    assert lvm_commands.create("vg0", None, "lv", 1000, ["b", "a"]) == [
        *("lvcreate", "--yes", "--activate", "n", "--setactivationskip", "y"),
        *("--addtag", "a", "--addtag", "b", "--name", "lv"),
        *("--wipesignatures", "n", "--zero", "n", "--size", "1024b", "--", "vg0"),
    ]


def test_a_thin_volume_is_made_in_its_pool() -> None:
    assert lvm_commands.create("vg0", "pool0", "lv", 4096, ["a"]) == [
        *("lvcreate", "--yes", "--activate", "n", "--setactivationskip", "y"),
        *("--addtag", "a", "--name", "lv"),
        *("--thinpool", "pool0", "--virtualsize", "4096b", "--", "vg0"),
    ]


def test_tags_are_replaced_in_one_command() -> None:
    old, new = frozenset({"a", "b"}), frozenset({"b", "c"})
    argv = lvm_commands.retag("vg0", "lv", old, new)
    assert argv == ["lvchange", "--deltag", "a", "--addtag", "c", "--", "vg0/lv"]


def test_volumes_that_are_not_made_active_at_boot_are_when_they_are_needed() -> None:
    argv = lvm_commands.activate("vg0", "lv")
    assert argv == ["lvchange", "--activate", "y", "--ignoreactivationskip", "--", "vg0/lv"]


def test_the_other_commands() -> None:
    assert lvm_commands.snapshot("vg0", "lv", "kept", ["a"]) == [
        *("lvcreate", "--yes", "--snapshot", "--setactivationskip", "y", "--addtag", "a"),
        *("--name", "kept", "--", "vg0/lv"),
    ]
    assert lvm_commands.deactivate("vg0", "lv") == ["lvchange", "--activate", "n", "--", "vg0/lv"]
    assert lvm_commands.extend("vg0", "lv", 513) == ["lvextend", "--size", "1024b", "--", "vg0/lv"]
    assert lvm_commands.rename("vg0", "a", "b") == ["lvrename", "--", "vg0", "a", "b"]
    assert lvm_commands.remove("vg0", ["a", "b"]) == ["lvremove", "--yes", "--", "vg0/a", "vg0/b"]
    assert lvm_commands.message("vg-0", "p-0", "text") == [
        *("dmsetup", "message", "vg--0-p--0-tpool", "0", "text")
    ]


def test_a_report_is_read() -> None:
    assert parse_volumes(REPORT) == (
        LogicalVolume(
            name="geats.web01.root",
            size_bytes=64 * 2**20,
            tags=frozenset({"geats", "geats.guest=a#20b:&!"}),
            active=True,
            pool="pool0",
            thin_id=1,
            zeroes=True,
            full=25.0,
        ),
        LogicalVolume(
            name="kept",
            size_bytes=4 * 2**20,
            pool="pool0",
            thin_id=2,
            origin="geats.web01.root",
            zeroes=True,
        ),
        LogicalVolume(
            name="pool0",
            size_bytes=2 * 2**30,
            active=True,
            is_thin_pool=True,
            zeroes=True,
            full=12.5,
        ),
        LogicalVolume(name="home", size_bytes=8 * 2**20, active=True),
    )


def test_an_empty_group_has_an_empty_report() -> None:
    assert parse_volumes('{"report": [{"lv": []}]}') == ()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"report": []}', '{"report": [{"vg": []}]}'])
def test_what_is_no_report_is_an_error(text: str) -> None:
    with pytest.raises(HostError, match="makes no sense"):
        parse_report(text, "lv")


@pytest.mark.parametrize("row", ["1", '"text"', '{"lv_name": 1}'])
def test_a_row_that_makes_no_sense_is_an_error(row: str) -> None:
    with pytest.raises(HostError, match="makes no sense"):
        parse_volumes(f'{{"report": [{{"lv": [{row}]}}]}}')


def test_own_bytes_are_read() -> None:
    assert parse_own_bytes(OWN_BYTES) == {1: 8585216, 3: 196608}


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
volumes = st.builds(VolumeId, st.just(TEMPLATES) | names, names)
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
stages = st.sampled_from(Stage)


@given(volumes, stages, texts, texts, st.none() | st.integers(1, 2**40), st.booleans())
def test_what_is_remembered_in_tags_is_read_from_them(
    volume: VolumeId,
    stage: Stage,
    template: str | None,
    guest: str | None,
    size_bytes: int | None,
    active: bool,
) -> None:
    """Whatever the text; and LVM takes each tag."""
    seen = VolumeSeen(
        name=volume.volume,
        pool="",
        stage=stage,
        active=active and stage >= Stage.FORMATTED,
        size_bytes=size_bytes,
        template=template,
        guest=guest,
    )
    tags = tags_of(volume, seen)
    assert all(OF_A_TAG.fullmatch(tag) for tag in tags)
    name = lv_name("vg0", volume)
    lv = LogicalVolume(name=name, size_bytes=2**40, tags=tags, active=active)
    held = held_by([lv], "vg0", None)[volume]
    assert seen_of(volume, held) == seen
    assert marked(lv, volume, seen) == tags


@given(volumes, names, stages, texts, texts)
def test_snapshots_are_read_in_the_order_in_which_they_were_taken(
    volume: VolumeId, name: str, stage: Stage, template: str | None, guest: str | None
) -> None:
    """Whatever the clock said."""
    taken = [
        SnapshotSeen(name=each, taken_s=10 - number, stage=stage, template=template, guest=guest)
        for number, each in enumerate((name, f"{name[:60]}-2", f"{name[:60]}-3"))
    ]
    found = [
        LogicalVolume(
            name=lv_name("vg0", volume, each.name),
            size_bytes=1,
            tags=snapshot_tags(volume, each, number),
            pool="pool0",
        )
        for number, each in enumerate(taken, start=9)
    ]
    seen = VolumeSeen(name=volume.volume, pool="", stage=stage)
    own = LogicalVolume(
        name=lv_name("vg0", volume), size_bytes=1, pool="pool0", tags=tags_of(volume, seen)
    )
    held = held_by([*reversed(found), own], "vg0", "pool0")[volume]
    read = seen_of(volume, held)
    assert read is not None
    assert list(read.snapshots) == taken
    assert held.next_number() == 12


@given(volumes, volumes, names)
def test_names_are_as_long_as_may_be_and_told_apart(
    one: VolumeId, other: VolumeId, snapshot: str
) -> None:
    """With hyphens doubled, as device-mapper has them; none is like one of LVM's own."""
    vg = "-" * 3 + "v" * 37
    names = {
        lv_name(vg, each, *rest) for each in {one, other} for rest in ((), (snapshot,), (NEW,))
    }
    assert len(names) == 3 * len({one, other})
    for name in names:
        assert len(lvm_commands.mapped(vg, name)) <= LONGEST_NAME
        assert name.startswith("geats.")
        assert not re.search("_[ctmrpvwi](data|meta|log|image|mspare|origin|vol|corig)", name)


def test_names_show_what_they_are_of() -> None:
    assert lv_name("vg0", VOLUME) == "geats.web01.root"
    assert lv_name("vg0", VOLUME, "first") == "geats.web01.root.first"
    assert lv_name("vg0", VolumeId("a-b", "c")) != lv_name("vg0", VolumeId("a", "b-c"))
