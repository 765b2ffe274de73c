"""What is asked of zfs, and how its answers are read.

The format is that of zfs-list(8): a tab between columns, exact numbers, ``-`` for what is not set.
"""

from geats_host.storage import TEMPLATES, VolumeId
from geats_host.storage import zfs_commands as commands
from geats_host.storage.zfs_commands import Dataset

WEB = VolumeId("web01", "root")
SAID = (
    "tank/geats\t120586240\t-\t-\t-\t-\n"
    'tank/geats/_templates:f00\t104857600\t-\t{"a": 1}\t-\t-\n'
    'tank/geats/_templates:f00@web01:root:0\t0\t-\t{"a": 1}\t-\t-\n'
    'tank/geats/web01:root\t5242880\ttank/geats/_templates:f00@web01:root:0\t{"b": "x y"}\t-\t-\n'
    'tank/geats/web01:root@nightly\t8192\t-\t{"b": "x y"}\t{"taken_s": 1}\t-\n'
    'tank/geats/web01:root@by-hand\t8192\t-\t{"b": "x y"}\t-\t-\n'
    "tank/geats/backup\t4096\t-\t-\t-\t-\n"
    "tank/geats/backup/old\t4096\t-\t-\t-\t-\n"
    "tank/geats@all\t0\t-\t-\t-\t-\n"
)


def test_everything_is_listed_at_once() -> None:
    assert commands.list_all("tank/geats", "filesystem") == [
        *("zfs", "list", "-H", "-p", "-d", "2", "-t", "filesystem,snapshot", "-s", "createtxg"),
        *("-o", "name,used,origin,geats:volume,geats:snapshot,volsize", "tank/geats"),
    ]


def test_a_list_is_read() -> None:
    template, web = "tank/geats/_templates:f00", "tank/geats/web01:root"
    origin = f"{template}@web01:root:0"
    assert commands.parse_list(SAID, "tank/geats") == {
        template: Dataset(
            template, 104857600, "", '{"a": 1}', origins=frozenset({origin}), newest="web01:root:0"
        ),
        web: Dataset(
            web, 5242880, origin, '{"b": "x y"}', {"nightly": '{"taken_s": 1}'}, newest="by-hand"
        ),
        "tank/geats/backup": Dataset("tank/geats/backup", 4096, "", ""),
    }
    assert commands.parse_list("", "tank/geats") == {}


def test_names_tell_volumes_apart() -> None:
    one, two = VolumeId("web-1", "root"), VolumeId("web", "1-root")
    assert commands.name_of("tank", one) != commands.name_of("tank", two)
    for volume in (one, two, WEB, VolumeId(TEMPLATES, "f" * 40)):
        assert commands.volume_of(commands.name_of("tank/geats", volume)) == volume
    for other in ("tank/backup", "tank/a:b:new", "tank"):
        assert commands.volume_of(other) is None


def test_a_dataset_is_made_with_all_that_it_is() -> None:
    limits = commands.limits_of(4096, reserve=True)
    assert commands.create("tank/web01:root", '{"x": 1}', limits) == [
        *("zfs", "create", "-o", "mountpoint=legacy", "-o", "refquota=4096"),
        *("-o", "refreservation=4096", "-o", 'geats:volume={"x": 1}', "tank/web01:root"),
    ]
    assert commands.limits_of(None, reserve=True) == []
    assert commands.limits_of(1, reserve=False) == ["refquota=1"]


def test_a_device_is_made_without_partitions_of_the_hosts() -> None:
    options = ["-o", "volmode=dev", "-o", "geats:volume={}"]
    made = ["zfs", "create", *options, "-V", "4096", "tank/a:b"]
    assert commands.create_volume("tank/a:b", "{}", 4096, reserve=True) == made
    sparse = commands.create_volume("tank/a:b", "{}", 4096, reserve=False)
    assert sparse == ["zfs", "create", "-s", *made[2:]]
    clone = ["zfs", "clone", *options, "tank/t@x", "tank/a:b"]
    assert commands.clone_volume("tank/t@x", "tank/a:b", "{}") == clone
    assert commands.clone_volume("tank/t@x", "tank/a:b") == [*clone[:4], *clone[6:]]
    grown = ["zfs", "set", "volsize=8192", "tank/a:b"]
    assert commands.resize_volume("tank/a:b", 8192, reserve=False) == grown
    reserved = commands.resize_volume("tank/a:b", 8192, reserve=True)
    assert reserved == [*grown[:3], "refreservation=auto", "tank/a:b"]
    (found,) = commands.parse_list("t/a:b\t1\t-\t-\t-\t4096\n", "t").values()
    assert found.size_bytes == 4096


def test_marks_and_limits_change_in_one_command() -> None:
    argv = commands.set_marks("tank/a:b", "{}", ["refquota=1"])
    assert argv == ["zfs", "set", "refquota=1", "geats:volume={}", "tank/a:b"]


def test_snapshots_and_clones() -> None:
    assert commands.snapshot("tank/a:b", "nightly", "{}") == [
        *("zfs", "snapshot", "-o", "geats:snapshot={}", "tank/a:b@nightly"),
    ]
    origins = frozenset({"tank/t@web01:root:0", "tank/t@x:y:0"})
    source = Dataset("tank/t", 0, "", "", origins=origins)
    assert commands.origins_of(source, WEB) == ["tank/t@web01:root:0"]
    origin = commands.new_origin(source, WEB)
    assert commands.origin_snapshot(origin) == ["zfs", "snapshot", "tank/t@web01:root:1"]
    assert commands.clone(origin, "tank/web01:root:new", "{}", ["refquota=1"]) == [
        *("zfs", "clone", "-o", "mountpoint=legacy", "-o", "refquota=1", "-o", "geats:volume={}"),
        *("tank/t@web01:root:1", "tank/web01:root:new"),
    ]
    assert commands.rename("tank/a:b:new", "tank/a:b") == [
        *("zfs", "rename", "tank/a:b:new", "tank/a:b"),
    ]
    assert commands.rollback("tank/a:b", "x") == ["zfs", "rollback", "tank/a:b@x"]


def test_nothing_is_destroyed_that_others_stand_on() -> None:
    """Neither -R, which takes clones along, nor -f, which unmounts, is ever asked for."""
    assert commands.destroy("tank/a:b") == ["zfs", "destroy", "-r", "tank/a:b"]
    assert commands.delete_snapshot("tank/a:b@x") == ["zfs", "destroy", "-d", "tank/a:b@x"]


def test_the_room_is_what_is_used_and_what_is_left() -> None:
    words = "zfs get -H -p -o value used,available tank"
    assert commands.room("tank") == words.split()
    assert commands.parse_room("120586240\n879413760\n") == (10**9, 879413760)
    assert commands.mount("tank/a:b", "/mnt") == [
        "mount",
        "-t",
        "zfs",
        "-o",
        "nodev",
        "--",
        "tank/a:b",
        "/mnt",
    ]
