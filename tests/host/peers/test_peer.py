"""A host at the end of ssh: what is run, what it answers, and what it says if it cannot."""

import os
from pathlib import Path

import pytest

from geats_host.errors import HostError, Refused
from geats_host.peers.peer import Ssh, peer_of, url_of

URL = "ssh://root@a:2222/web01"


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for ssh: a script, whose arguments and input are kept in files."""
    script = tmp_path / "ssh"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script.write_text("#!/bin/sh\nexit 9\n")
    script.chmod(0o700)
    return script


def answers(ssh: Path, then: str) -> None:
    ssh.write_text(f'#!/bin/sh\ncd "{ssh.parent}"\necho "$@" > said\ncat > got\n{then}\n')


def test_it_is_asked_by_one_line_and_answers_by_one_and_what_comes_after(ssh: Path) -> None:
    answers(ssh, """echo '{"disk_bytes": 7}'; printf content""")
    peer, vm = peer_of(URL)
    with peer.asked({"do": "volume", "vm": vm}, b"\0more") as (answer, stream):
        assert answer == {"disk_bytes": 7}
        assert stream.read() == b"content"
    assert (ssh.parent / "said").read_text().endswith(" -- ssh://root@a:2222 geats send\n")
    assert (ssh.parent / "got").read_bytes() == (
        b'{"version": 2, "do": "volume", "vm": "web01"}\n\0more'
    )


def test_another_command_is_quoted_for_the_shell_there(ssh: Path) -> None:
    answers(ssh, "echo '{}'")
    url = url_of("ssh://a/", "web01", "/opt/geats --config '/a b' send")
    with peer_of(url)[0].asked({}):
        pass
    assert (ssh.parent / "said").read_text().endswith(" /opt/geats --config '/a b' send\n")
    assert url_of("ssh://a", "web01") == "ssh://a/web01"


def test_sockets_there_lead_to_sockets_here_for_as_long_as_it_is_asked(ssh: Path) -> None:
    answers(ssh, "echo '{}'")
    with peer_of("ssh://a/web01")[0].asked({}, forwards={"/run/a": "/run/b", "/c": "/c"}):
        pass
    said = (ssh.parent / "said").read_text()
    assert " -o ExitOnForwardFailure=yes -R /run/a:/run/b -R /c:/c -- ssh://a geats send" in said


def asked(peer: Ssh) -> None:
    with peer.asked({}, b"more" * 2**20):
        pass


def test_what_goes_wrong_there_is_told_with_its_place(ssh: Path) -> None:
    peer = Ssh(URL, "ssh://a")
    answers(ssh, """echo '{"refused": ["web01: is locked"]}'""")
    with pytest.raises(Refused, match=f"{URL}: web01: is locked"):
        asked(peer)
    answers(ssh, """echo '{"failed": "the disk is broken"}'""")
    with pytest.raises(HostError, match=f"{URL}: the disk is broken"):
        asked(peer)
    ssh.write_text("#!/bin/sh\necho nobody there >&2; exit 255\n")
    with pytest.raises(HostError, match="nobody there"):
        asked(peer)
    for said in ("", "{", "Welcome!"):
        answers(ssh, f"printf '{said}'")
        with pytest.raises(HostError, match="the connection ended"):
            asked(peer)
    answers(ssh, "echo Welcome!")
    with pytest.raises(HostError, match="is no geats"):
        asked(peer)
