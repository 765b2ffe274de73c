"""Text files of people: what is none of them, or too much, is refused."""

import os
from pathlib import Path

import pytest

from geats_host.errors import Refused
from geats_host.inputs.text_files import read_texts
from geats_host.inputs.yaml_text import LARGEST_BYTES


def test_every_file_that_cannot_be_read_is_told_and_none_is_waited_for(tmp_path: Path) -> None:
    good, large, odd, pipe = (f"{tmp_path}/{name}" for name in ("good", "large", "odd", "pipe"))
    Path(good).write_text("é")
    Path(odd).write_bytes(b"\xff")
    Path(large).touch()
    os.truncate(large, LARGEST_BYTES + 1)
    os.mkfifo(pipe)
    assert read_texts([good, pipe]) == {good: "é", pipe: ""}

    with pytest.raises(Refused) as refused:
        read_texts([good, large, odd, f"{tmp_path}", f"{tmp_path}/none", "a\0b"])
    assert [str(each).rpartition(": ")[2] for each in refused.value.problems] == [
        "is larger than 16 MiB",
        "is not text",
        "Is a directory",
        "No such file or directory",
        "is no path",
    ]


def test_a_device_that_never_ends_is_read_as_far_as_it_may_be_long() -> None:
    with pytest.raises(Refused, match="is larger than 16 MiB"):
        read_texts(["/dev/zero"])
