"""What configs of LXC name of this host, read as liblxc reads it, and no more than can be."""

import os
from pathlib import Path

import pytest

from geats_core.foreign.lxc_lines import all_lines, own_lines, unread
from geats_host.inputs import legacy_files, lxc_includes


def said(text: str) -> tuple[list[str], tuple[str, ...]]:
    """The values that a config comes to with its includes; and what of these is not there."""
    host = lxc_includes.on_host([text])
    lines = [*own_lines(text)]
    values = [line.value for line in all_lines(lines, host.includes)]
    return values, unread(lines, host.includes)


def test_files_and_directories_are_included_as_liblxc_does(tmp_path: Path) -> None:
    folder = tmp_path / "site.d"
    folder.mkdir()
    for name in ("b.conf", "a.conf", ".hidden.conf", ".conf", "c.txt"):
        (folder / name).write_text(f"lxc.uts.name = {name}\n")
    (tmp_path / "site.conf").write_text(f"lxc.include = {folder}\nlxc.uts.name = last\n")
    there = [name for name in os.listdir(folder) if name in ("a.conf", "b.conf")]
    assert said(f"lxc.include = {tmp_path}/site.conf\n") == ([*there, "last"], ())
    assert said(f"lxc.include = {tmp_path}/none.d/\nlxc.include = /dev/null\n") == ([], ())


def test_files_that_include_each_other_are_not_read_without_end(tmp_path: Path) -> None:
    files = [f"{tmp_path}/{number}" for number in range(60)]
    for file in files:
        Path(file).write_text("".join(f"lxc.include = {each}\n" for each in files))
    assert said(f"lxc.include = {files[0]}\n") == ([], (files[0],))


def test_what_is_no_file_or_too_much_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(lxc_includes, "LARGEST_BYTES", 100_000)
    (tmp_path / "large").write_text("#" * 100_001)
    wanted = [f"{tmp_path}/{name}" for name in ("pipe", "large", "gone")]
    text = "".join(f"lxc.include = {each}\n" for each in [*wanted, "relative"])
    assert said(text) == ([], (*wanted, "relative"))


def test_the_sources_of_mounts_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    entries = [f"{tmp_path} a none bind", f"{tmp_path}/file b none bind", "/gone c none bind", "x"]
    text = "".join(f"lxc.mount.entry = {each}\n" for each in entries)
    assert lxc_includes.on_host([text]).kinds == {f"{tmp_path}": True, f"{tmp_path}/file": False}


def test_a_file_of_another_name_than_config_is_a_vm_of_that_name(tmp_path: Path) -> None:
    for name in ("web.conf", "db.conf", "mail/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("lxc.rootfs.path = dir:/srv/root\n")
    files = [f"{tmp_path}/{name}" for name in ("web.conf", "db.conf", "mail/config")]
    made = legacy_files.imported_lxc(files)
    assert (sorted(made.geats["vms"]), made.problems) == (["db", "mail", "web"], ())  # type: ignore[call-overload]
