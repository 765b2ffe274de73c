"""What the script in a guest's root does with what the guest left there."""

import os
from pathlib import Path

import pytest

from geats_host.drivers.lxc.scripts import attach_child


def test_what_is_no_regular_file_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "passwd")
    (tmp_path / "link").symlink_to("passwd")
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda *given: opened.append(given))
    for name in ("passwd", "link"):
        with pytest.raises(attach_child.Trouble, match=r"is not a regular file$"):
            attach_child.identity("root", f"{tmp_path / name}", "user")
    assert opened == []
