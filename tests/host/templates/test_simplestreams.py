"""Images from a server: the newest, verified as it comes, kept until it is refreshed."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from geats_core.declared.template import Template
from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.templates.downloads import fetch_document, fetch_file
from geats_host.templates.searching import search
from geats_host.templates.store import Store
from tests.host.templates.archives import file, folder, write
from tests.host.templates.image_server import ImageServer, serving
from tests.host.templates.lxd_images import whole_image


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ImageServer]:
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        yield server


def archive(directory: Path, content: str) -> bytes:
    members = [folder("etc"), file("etc/issue", content)]
    return write(directory / "made", members, "w:xz").read_bytes()


def issue(template: Template, target: Path, store: Store) -> str:
    templates.verify(template, store)
    templates.install(template, target, store)
    return (target / "etc/issue").read_text()


def test_the_newest_image_is_downloaded_once(
    server: ImageServer, tmp_path: Path, target: Path, store: Store
) -> None:
    server.add("20240101", archive(tmp_path, "old"))
    server.add("20240102", archive(tmp_path, "new"))
    assert issue(server.template(), target, store) == "new"
    asked = len(server.asked)
    assert issue(server.template(), target, store) == "new"
    assert len(server.asked) == asked
    assert [path.name for path in (store.root / "scratch").iterdir()] == []


def test_a_newer_image_is_taken_when_it_is_refreshed(
    server: ImageServer, tmp_path: Path, target: Path, store: Store
) -> None:
    template = server.template()
    server.add("20240101", archive(tmp_path, "old"))
    templates.make_ready(template, store)
    before = templates.key_of(template, store)
    server.add("20240102", archive(tmp_path, "new"))
    assert issue(template, target, store) == "old"
    templates.make_ready(template, store, refresh=True)
    assert issue(template, target, store) == "new"
    assert templates.key_of(template, store) != before
    templates.make_ready(template, store, refresh=True)
    assert sum(path.startswith("/images/20240102") for path in server.asked) == 1


def test_a_digest_pins_the_version(
    server: ImageServer, tmp_path: Path, target: Path, store: Store
) -> None:
    old = server.add("20240101", archive(tmp_path, "old"))
    server.add("20240102", archive(tmp_path, "new"))
    assert issue(server.template(sha256=old), target, store) == "old"


def test_a_whole_image_is_taken(
    server: ImageServer, tmp_path: Path, target: Path, store: Store
) -> None:
    whole_image(tmp_path / "image", [folder("etc"), file("etc/issue", "whole")], "w:gz")
    server.add("1", (tmp_path / "image").read_bytes(), "lxd_combined.tar.gz")
    assert issue(server.template(), target, store) == "whole"


def test_what_the_server_lacks_is_refused_before_anything_changes(
    server: ImageServer, tmp_path: Path, store: Store
) -> None:
    with pytest.raises(Refused, match="404"):
        templates.verify(server.template(), store)
    server.add("1", archive(tmp_path, "x"))
    with pytest.raises(Refused, match="has no image 'ubuntu'"):
        templates.verify(server.template("ubuntu"), store)
    server.add("2", archive(tmp_path, "x"), lie={"size": 2**50})
    with pytest.raises(Refused, match=r"root\.tar\.xz is of \d+ bytes, and there are \d+ at"):
        templates.verify(server.template(), store)
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"sha256": "0" * 64}, "must have the sha256 0000"),
        ({"size": 10}, "is of more than 10 bytes"),
        ({"size": 10**6}, "must be of 1000000 bytes"),
    ],
)
def test_what_is_not_what_was_promised_is_not_kept(
    server: ImageServer,
    tmp_path: Path,
    target: Path,
    store: Store,
    lie: dict[str, object],
    said: str,
) -> None:
    server.add("1", archive(tmp_path, "x"), lie=lie)
    with pytest.raises(HostError, match=said):
        templates.install(server.template(), target, store)
    assert not any(path.is_file() for path in store.root.rglob("*"))
    server.add("1", archive(tmp_path, "x"))
    assert issue(server.template(), target, store) == "x"


def test_what_is_no_archive_is_not_kept(server: ImageServer, target: Path, store: Store) -> None:
    server.add("1", b"hello")
    with pytest.raises(HostError, match="must be a tar archive"):
        templates.install(server.template(), target, store)
    assert not any(path.is_file() for path in store.root.rglob("*"))


def test_many_at_once_download_it_once(server: ImageServer, tmp_path: Path, store: Store) -> None:
    server.add("1", archive(tmp_path, "x"))
    with ThreadPoolExecutor(8) as many:
        list(many.map(lambda _: templates.make_ready(server.template(), store), range(8)))
    assert sum(path.startswith("/images/") for path in server.asked) == 1


def test_what_was_downloaded_and_then_damaged_is_refused(
    server: ImageServer, tmp_path: Path, store: Store
) -> None:
    digest = server.add("1", archive(tmp_path, "x"))
    templates.make_ready(server.template(), store)
    store.blob(digest).write_bytes(archive(tmp_path, "evil"))
    with pytest.raises(Refused, match="must have the sha256"):
        templates.verify(server.template(), store)
    store.blob(digest).unlink()
    templates.verify(server.template(), store)
    templates.make_ready(server.template(), store)
    assert store.blob(digest).is_file()


def test_a_template_that_was_not_downloaded_has_no_key(server: ImageServer, store: Store) -> None:
    with pytest.raises(HostError, match="is not imported yet"):
        templates.key_of(server.template(), store)


@pytest.mark.parametrize("record", [b"", b"[]", b'{"tar": 1}', b'{"tar": "../../x"}', b"\xff"])
def test_a_record_that_makes_no_sense_is_none(
    server: ImageServer, tmp_path: Path, store: Store, record: bytes
) -> None:
    server.add("1", archive(tmp_path, "x"))
    templates.make_ready(server.template(), store)
    (file,) = (store.root / "records").iterdir()
    file.write_bytes(record)
    templates.make_ready(server.template(), store)
    templates.key_of(server.template(), store)


def test_redirects_lead_to_http_only(server: ImageServer, tmp_path: Path) -> None:
    (server.root / "file").write_text("content")
    moved = f"{server.url}/moved/to/{server.url}/file"
    assert fetch_document(moved, 100) == b"content"
    for url in (f"file://{tmp_path}/www/file", "ftp://127.0.0.1/x", "data:,x"):
        with pytest.raises(HostError):
            fetch_document(f"{server.url}/moved/to/{url}", 100)
        with pytest.raises(HostError):
            fetch_document(url, 100)


def test_a_document_without_end_is_refused(server: ImageServer, tmp_path: Path) -> None:
    (server.root / "file").write_bytes(bytes(1000))
    with pytest.raises(HostError, match="is of more than 999 bytes"):
        fetch_document(f"{server.url}/file", 999)
    digest = hashlib.sha256(bytes(1000)).hexdigest()
    fetch_file(f"{server.url}/file", tmp_path / "got", at_most=1000, sha256=digest)


def test_a_server_that_never_ends_is_given_up(
    server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.root / "file").write_bytes(bytes(1000))
    monkeypatch.setattr("geats_host.templates.downloads.TIMEOUT_S", -1)
    with pytest.raises(HostError, match="did not end within"):
        fetch_document(f"{server.url}/file", 1000)


def test_a_server_that_is_not_there_is_told(store: Store) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = ImageServer(Path("/"), f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(Refused, match="refused"):
            templates.verify(server.template(), store)


def test_a_server_that_is_no_http_server_is_told(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"hello\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        server = ImageServer(Path("/"), f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(Refused, match="hello"):
            templates.verify(server.template(), store)
        thread.join()


def test_a_server_is_searched_and_one_that_fails_stops_no_other(server: ImageServer) -> None:
    server.add("20261101", b"x" * 7)
    server.add("20261102", b"y" * 8, "squashfs")
    declared = {"t": server.template(), "same": server.template()}
    row = {
        "image": "debian/12",
        "arch": "amd64",
        "kinds": ["tree"],
        "version": "20261102",
        "size_bytes": 8,
        "url": server.url,
    }
    assert search(declared, ["debian"], None, "amd64") == ([row], [])
    rows, failed = search({}, [], ["http://127.0.0.1:9", server.url], "all")
    assert (rows, len(failed)) == ([row], 1)
    assert failed[0].startswith("http://127.0.0.1:9/streams/v1/index.json: ")
    assert search(declared, ["debian"], None, "s390x") == ([], [])
    assert search(declared, "fedora", None, "all") == ([], [])


def test_a_search_asks_nobody_that_was_not_named() -> None:
    with pytest.raises(Refused, match="no template is declared from an image server"):
        search({}, ["debian"])
    with pytest.raises(Refused, match=r"url\[0\]: must be an http or https URL"):
        search({}, [], ["file:///etc"])
