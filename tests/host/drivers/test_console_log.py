"""Consoles of virtual machines: what libvirt's settings keep of them, and the files of it."""

import os
from pathlib import Path

import pytest

from geats_host.drivers.libvirt.guests import console_log
from geats_host.drivers.libvirt.guests.console_log import (
    FILE,
    SYSTEM,
    cannot_keep,
    file_of,
    forget_old,
)
from geats_host.drivers.libvirt.machines import cannot_define
from geats_host.drivers.libvirt.needs import Needs
from geats_host.drivers.libvirt.options import read_options
from geats_host.drivers.libvirt.trial import logger
from tests.core.domains.machines import spec

MIB = 1 << 20


@pytest.mark.parametrize(
    ("uri", "qemu", "logd", "wanted", "why"),
    [
        (SYSTEM, None, None, 6 * MIB, ""),
        (SYSTEM, '#stdio_handler = "file"\n', "#max_size = 1\n", MIB, ""),
        (SYSTEM, ' stdio_handler = "logd"\n', "max_size = 1048576\nmax_backups=1", MIB, ""),
        (SYSTEM, None, "max_size = many\n", 6 * MIB, ""),
        (SYSTEM, None, None, 6 * MIB + 1, "more than virtlogd is sure to keep, which is 6MiB"),
        (SYSTEM, None, "max_backups = 0\n", 1, "is sure to keep, which is 0"),
        (SYSTEM, None, "max_size = 0\n", 1, "has max_size = 0: a guest could fill the disk"),
        (SYSTEM, 'a = 1\nstdio_handler="file"\n', None, 1, 'has stdio_handler = "file"'),
        ("qemu:///session", None, None, 1, "is for virtual machines at qemu:///system"),
    ],
)
def test_what_is_not_kept_or_without_an_end_is_refused(
    tmp_path: Path, uri: str, qemu: str | None, logd: str | None, wanted: int, why: str
) -> None:
    for file, text in (("qemu.conf", qemu), ("virtlogd.conf", logd)):
        if text is not None:
            (tmp_path / file).write_text(text)
    (socket := tmp_path / "virtlogd-sock").touch()
    found = cannot_keep(uri, wanted, tmp_path, socket)
    assert why in found
    assert bool(found) == bool(why)


def test_without_virtlogd_it_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    """A VM that moves here as it runs would else stop halfway."""
    found = cannot_keep(SYSTEM, 1, tmp_path, tmp_path / "none")
    assert found.endswith("systemctl start virtlogd.socket")


def test_without_virtlogd_no_machine_starts_unless_libvirt_is_set_to_do_without(
    tmp_path: Path,
) -> None:
    options = read_options("qemu", {}, tmp_path)
    needs = Needs(settings=tmp_path, virtlogd=tmp_path / "virtlogd-sock")
    (found,) = logger(options, needs)
    assert found.fix == "systemctl start virtlogd.socket"
    (tmp_path / "qemu.conf").write_text('stdio_handler = "file"\n')
    assert not [*logger(options, needs)]
    (tmp_path / "qemu.conf").unlink()
    needs.virtlogd.touch()
    assert not [*logger(options, needs)]


def test_only_a_vm_that_wants_it_is_refused_for_that(tmp_path: Path) -> None:
    options, needs = read_options("qemu", {"uri": "qemu:///other"}, tmp_path), Needs()
    (problem,) = cannot_define(options, spec(console_log="1MiB"), needs)
    assert problem.path == "console_log"
    assert cannot_define(options, spec(), needs) == ()


def written(folder: Path, *sizes: int) -> None:
    for number, size in enumerate(sizes):
        (folder / (f"{FILE}.{number - 1}" if number else FILE)).write_bytes(b"x" * size)


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize(
    ("most", "stays"), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (99, 12)]
)
def test_what_newer_files_make_up_for_is_forgotten(tmp_path: Path, most: int, stays: int) -> None:
    written(tmp_path, *[10] * 12)
    names = [FILE, *(f"{FILE}.{number}" for number in range(11))]
    (tmp_path / f"{FILE}.old").write_text("of somebody else")
    forget_old(tmp_path, most if stays < 12 else 999)
    assert left(tmp_path) == sorted([*names[:stays], f"{FILE}.old"])


def test_they_go_along_to_another_name(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    console_log.move(old, new)
    assert left(tmp_path) == []
    old.mkdir()
    console_log.move(old, new)
    assert left(tmp_path) == ["old"]
    written(old, 1, 2)
    (old / "spec").touch()
    for _ in range(2):
        console_log.move(old, new)
        assert (left(old), left(new)) == (["spec"], [FILE, f"{FILE}.0"])


def test_it_is_where_the_domain_has_it_or_where_it_was(tmp_path: Path) -> None:
    log = "<domain><devices><serial><log file='/a/log'/></serial></devices></domain>"
    assert file_of(tmp_path, log) == Path("/a/log")
    for text in ("", "<domain/>"):
        assert file_of(tmp_path, text) is None
    written(tmp_path, 1)
    assert file_of(tmp_path, "<domain/>") == tmp_path / FILE
