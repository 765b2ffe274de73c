"""Templates as they are declared."""

import pytest
from returns.result import Failure, Success

from geats_core.declared.template import (
    Build,
    DiskDownload,
    DiskFile,
    DiskFormat,
    Empty,
    Files,
    LxdDisk,
    LxdImage,
    OciImage,
    Simplestreams,
    Source,
    Template,
    kind,
    parse_template,
)
from geats_core.reading.checked import Problem
from geats_core.vm.spec import RootKind

DIGEST = "0" * 64
AT = "templates.t"


def parsed(raw: object) -> Template:
    return parse_template(AT, raw).unwrap()


def problems(raw: object) -> tuple[Problem, ...]:
    return parse_template(AT, raw).failure()


SOURCES: list[tuple[dict[str, object], Source]] = [
    ({"path": "/t"}, Files(path="/t")),
    ({"path": "/t", "sha256": DIGEST}, Files(path="/t", sha256=DIGEST)),
    ({"oci": "/o"}, OciImage(path="/o")),
    ({"oci": {"path": "/o", "tag": "v1"}}, OciImage(path="/o", tag="v1")),
    ({"image": "/i"}, LxdImage(path="/i")),
    (
        {"image": {"path": "/i", "sha256": DIGEST, "rootfs": "/r", "rootfs_sha256": DIGEST}},
        LxdImage(path="/i", sha256=DIGEST, rootfs="/r", rootfs_sha256=DIGEST),
    ),
    (
        {"simplestreams": {"url": "https://images.example:8443/x/", "alias": "debian/12"}},
        Simplestreams(url="https://images.example:8443/x/", alias="debian/12"),
    ),
    (
        {
            "simplestreams": {
                "url": "http://[::1]:80",
                "alias": "a",
                "arch": "arm64",
                "sha256": DIGEST,
            }
        },
        Simplestreams(url="http://[::1]:80", alias="a", arch="arm64", sha256=DIGEST),
    ),
    (
        {"simplestreams": {"url": "https://images.example", "alias": "a", "kind": "disk"}},
        Simplestreams(url="https://images.example", alias="a", root_kind=RootKind.DISK),
    ),
    (
        {"image": {"path": "/i", "kind": "disk", "sha256": DIGEST}},
        LxdDisk(path="/i", sha256=DIGEST),
    ),
    (
        {"image": {"path": "/i", "kind": "disk", "rootfs": "/r", "rootfs_sha256": DIGEST}},
        LxdDisk(path="/i", rootfs="/r", rootfs_sha256=DIGEST),
    ),
    (
        {"disk": {"path": "/d", "format": "raw"}},
        DiskFile(path="/d", format=DiskFormat.RAW),
    ),
    (
        {"disk": {"path": "/d", "format": "qcow2", "sha256": DIGEST}},
        DiskFile(path="/d", format=DiskFormat.QCOW2, sha256=DIGEST),
    ),
    (
        {"disk": {"url": "https://cloud.example/d.qcow2", "format": "qcow2", "sha256": DIGEST}},
        DiskDownload(url="https://cloud.example/d.qcow2", format=DiskFormat.QCOW2, sha256=DIGEST),
    ),
    (
        {"disk": {"url": "http://h/d", "format": "raw", "sha256": DIGEST, "disk_size": "2GiB"}},
        DiskDownload(url="http://h/d", format=DiskFormat.RAW, sha256=DIGEST, disk_bytes=2 << 30),
    ),
    ({"empty": "tree"}, Empty(root_kind=RootKind.TREE)),
    ({"empty": "disk"}, Empty(root_kind=RootKind.DISK)),
    ({"build": {"command": ["mk", "{output}"]}}, Build(command=("mk", "{output}"))),
    (
        {"build": {"command": ["mk", "-o={output}"], "timeout": 9}},
        Build(command=("mk", "-o={output}"), timeout_s=9),
    ),
]


@pytest.mark.parametrize(("raw", "source"), SOURCES)
def test_each_source_is_read(raw: dict[str, object], source: Source) -> None:
    assert parse_template(AT, raw) == Success(Template(name="t", source=source))
    assert kind(source) in raw


def test_several_overlays_keep_their_order() -> None:
    raw = {"path": "/t", "overlays": ["/b", {"path": "/a", "sha256": DIGEST}]}
    assert parsed(raw).overlays == (Files(path="/b"), Files(path="/a", sha256=DIGEST))


def test_one_overlay_has_words_of_its_own() -> None:
    raw = {"path": "/t", "overlay": "/o", "overlay_sha256": DIGEST}
    assert parsed(raw).overlays == (Files(path="/o", sha256=DIGEST),)


def test_a_template_has_exactly_one_source() -> None:
    one = "must have exactly one of path, oci, image, simplestreams, build, disk, empty"
    assert problems({}) == (Problem(AT, f"{one}, got none"),)
    both = {"path": "/t", "oci": "/o"}
    assert problems(both) == (Problem(AT, f"{one}, got path and oci"),)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"oci": "/o", "sha256": DIGEST}, Problem(f"{AT}.sha256", "is allowed only with path")),
        (
            {"path": "/t", "overlay_sha256": DIGEST},
            Problem(f"{AT}.overlay_sha256", "is allowed only with overlay"),
        ),
        (
            {"path": "/t", "overlay": "/o", "overlays": ["/o"]},
            Problem(AT, "must have overlay or overlays, not both"),
        ),
        (
            {"image": {"path": "/i", "rootfs_sha256": DIGEST}},
            Problem(f"{AT}.image.rootfs_sha256", "is allowed only with rootfs"),
        ),
        (
            {"path": "/t", "overlays": [{"sha256": DIGEST}]},
            Problem(f"{AT}.overlays[0].path", "is missing"),
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(raw: object, problem: Problem) -> None:
    assert problems(raw) == (problem,)


@pytest.mark.parametrize(
    "command", [[], ["{output}"], ["mk"], ["", "{output}"], "mk {output}", [["mk"], "{output}"]]
)
def test_a_command_without_a_place_for_its_output_is_refused(command: object) -> None:
    assert problems({"build": {"command": command}})[0].path.startswith(f"{AT}.build.command")


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "file:///etc", "http://", "http://u@x/", "http://x/?q", "http://x/ y", "x", 1],
)
def test_only_plain_http_is_taken(url: object) -> None:
    (problem,) = problems({"simplestreams": {"url": url, "alias": "a"}})
    assert problem.path == f"{AT}.simplestreams.url"


@pytest.mark.parametrize("raw", [1, [], "x", {"path": ["/"]}, {"oci": 1}, {"overlays": "/o"}])
def test_hostile_values_are_problems(raw: object) -> None:
    assert isinstance(parse_template(AT, raw), Failure)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({"path": "/d"}, ["disk.format: is missing"]),
        ({"format": "vmdk", "path": "/d"}, ["disk.format: unknown format 'vmdk' "]),
        ({"format": "raw"}, ["disk: must have exactly one of path, url, got none"]),
        (
            {"format": "raw", "path": "/d", "url": "http://h/d"},
            ["disk: must have exactly one of path, url, got path and url"],
        ),
        ({"format": "raw", "url": "http://h/d"}, ["disk.sha256: is missing"]),
        (
            {"format": "raw", "path": "/d", "disk_size": "2GiB"},
            ["disk.disk_size: is only for a url: of a file, geats looks"],
        ),
        ("/d", ["disk: must be a mapping"]),
    ],
)
def test_what_a_disk_image_is_is_said_whole(raw: object, found: list[str]) -> None:
    said = [str(each) for each in problems({"disk": raw})]
    assert len(said) == len(found)
    for text, wanted in zip(said, found, strict=True):
        assert text.startswith(f"{AT}.{wanted}")


def test_a_disk_image_has_no_overlays() -> None:
    disk = {"path": "/d", "format": "raw"}
    (found,) = problems({"disk": disk, "overlay": "/o"})
    assert str(found) == f"{AT}: must have no overlays: a disk image is whole"


@pytest.mark.parametrize(("raw", "source"), SOURCES)
def test_a_template_is_of_the_kind_that_is_declared(raw: dict[str, object], source: Source) -> None:
    is_disk = "disk" in raw or "kind" in str(raw) or raw == {"empty": "disk"}
    assert parsed(raw).root_kind is (RootKind.DISK if is_disk else RootKind.TREE)
