"""An image server on loopback, in the simplestreams format, that serves a directory."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from geats_core.declared.template import Simplestreams, Template

ALIAS = "debian/12"


@dataclass
class ImageServer:
    """What is served, and which paths were asked for."""

    root: Path
    url: str
    asked: list[str] = field(default_factory=list)
    versions: dict[str, object] = field(default_factory=dict)

    def add(
        self,
        version: str,
        content: bytes,
        ftype: str = "root.tar.xz",
        lie: Mapping[str, object] | None = None,
    ) -> str:
        """Offer a version, maybe with a *lie* about its file; the file's digest."""
        path = f"images/{version}/{ftype}"
        digest = hashlib.sha256(content).hexdigest()
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)
        item = {"ftype": ftype, "path": path, "sha256": digest, "size": len(content)}
        self.versions[version] = {"items": {ftype: {**item, **(lie or {})}}}
        product = {"aliases": ALIAS, "arch": "amd64", "versions": self.versions}
        images = {"datatype": "image-downloads", "path": "streams/v1/images.json"}
        self._write("index.json", {"index": {"images": images}})
        self._write("images.json", {"products": {"debian": product}})
        return digest

    def _write(self, name: str, raw: object) -> None:
        file = self.root / "streams/v1" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(raw))

    def template(self, alias: str = ALIAS, sha256: str | None = None) -> Template:
        source = Simplestreams(url=self.url, alias=alias, arch="amd64", sha256=sha256)
        return Template(name="t", source=source)


class _Handler(SimpleHTTPRequestHandler):
    """Serves files; ``moved/to/URL`` leads elsewhere."""

    def __init__(self, asked: list[str], *arguments: object, directory: Path) -> None:
        self.asked = asked
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.split("/", 3)[3])
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(root: Path) -> Iterator[ImageServer]:
    asked: list[str] = []
    handler = partial(_Handler, asked, directory=root)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield ImageServer(root, f"http://127.0.0.1:{http.server_address[1]}", asked)
        finally:
            http.shutdown()
            thread.join()
