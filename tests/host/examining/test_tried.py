"""What is tried on a host: what goes wrong is told, and nothing stays."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_host.examining import tried
from geats_host.examining.findings import Health, HostFiles
from geats_host.examining.looks import looks

WHY = "Too many open files"
FUSE = "30 25 0:26 / {} rw - fuse.lxcfs lxcfs rw\n"


@pytest.fixture
def no_descriptors() -> Iterator[None]:
    """Nothing more can be opened by this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def opened() -> list[str]:
    return os.listdir("/proc/self/fd")


def test_what_can_be_opened_is_closed_again() -> None:
    before = opened()
    assert (tried.inotify(2), tried.pty()) == ("", "")
    assert opened() == before


def test_what_cannot_be_opened_is_told(no_descriptors: None) -> None:
    assert (tried.inotify(2), tried.pty()) == (WHY, WHY)


def test_a_parser_and_a_filesystem_that_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = tmp_path / "apparmor_parser"
    parser.write_text('#!/bin/sh\nread -r profile\necho "$@: $profile" >&2\nexit 7\n')
    parser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    told = "exit code 7: --skip-kernel-load --skip-cache: profile geats-doctor {}"
    assert told in tried.apparmor_parser()
    assert "No such file" in tried.file(tmp_path / "none")
    assert tried.file(parser) == ""


def test_what_was_tried_counts_more_than_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every trial that fails is a problem or a warning, with what to do."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(FUSE.format(tmp_path))
    for name in ("sys/module/apparmor/parameters", "sys/kernel/security/apparmor"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sys/module/apparmor/parameters/enabled").write_text("Y\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    monkeypatch.setattr(HostFiles, "is_this_host", True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("inotify", "pty", "apparmor_parser", "file"):
        monkeypatch.setattr(tried, name, lambda *_: "fails so")
    asked: list[Path] = []

    def stays(folder: Path) -> bool:
        asked.append(folder)
        return True

    monkeypatch.setattr(tried, "stays_mounted", stays)
    mounting = [tmp_path / "run/none", tmp_path / "state"]
    found = {each.what: each for each in looks(HostFiles(tmp_path), mounting)}
    for what in ("inotify", "ptys", "apparmor", "lxcfs"):
        assert found[what].health is Health.PROBLEM
        assert "fails so" in found[what].found
        assert found[what].fix
    assert found["mounts"].health is Health.WARNING
    assert asked == [tmp_path]  # what of both is there
