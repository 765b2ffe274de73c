"""Text files of people: what is none of them, or too much, is refused."""

import os
from pathlib import Path

from geats_host.inputs.text_files import read_each
from geats_host.inputs.yaml_text import LARGEST_BYTES


def test_every_file_that_cannot_be_read_is_told_and_none_is_waited_for(tmp_path: Path) -> None:
    good, large, odd, pipe = (f"{tmp_path}/{name}" for name in ("good", "large", "odd", "pipe"))
    Path(good).write_text("é")
    Path(odd).write_bytes(b"\xff")
    Path(large).touch()
    os.truncate(large, LARGEST_BYTES + 1)
    os.mkfifo(pipe)
    assert read_each([good, pipe], ()) == ({good: "é", pipe: ""}, ())

    wrong = [large, odd, f"{tmp_path}/none", "a\0b", "/dev/zero"]
    texts, problems = read_each([good, *wrong], ())
    assert texts == {good: "é"}
    assert [str(each).rpartition(": ")[2] for each in problems] == [
        "is larger than 16 MiB",
        "is not text",
        "No such file or directory",
        "is no path",
        "is larger than 16 MiB",
    ]


def test_a_directory_stands_for_the_files_that_are_named_so(tmp_path: Path) -> None:
    for name in ("b/config", "a/config", "a/rootfs/etc/config", "a/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "c/config").mkdir(parents=True)
    texts, problems = read_each([f"{tmp_path}"], ("config", "*/config"))
    assert ([*texts.values()], problems) == (["a/config", "b/config"], ())
    _, problems = read_each([f"{tmp_path}/a/rootfs"], ("*.xml",))
    assert [str(each) for each in problems] == [
        f"{tmp_path}/a/rootfs: has no file that is named like *.xml"
    ]
