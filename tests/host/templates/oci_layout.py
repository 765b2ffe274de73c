"""Layouts of OCI images for the tests, made blob by blob."""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from geats_core.declared.template import OciImage, Template
from tests.host.templates.archives import Members, write

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
TAG = "org.opencontainers.image.ref.name"


def add_blob(layout: Path, content: bytes, media_type: str) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def add_image(
    layout: Path, layers: Sequence[Members], kind: str = "w", config: object = None
) -> dict[str, object]:
    """The descriptor of an image with these layers, packed as *kind* says."""
    (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    described = []
    for members in layers:
        archive = write(layout / "layer", members, "w" if kind == "zstd" else kind)
        content = archive.read_bytes()
        archive.unlink()
        if kind == "zstd":
            content = subprocess.run(["zstd", "-qc"], input=content, stdout=-1).stdout
        described.append(add_blob(layout, content, LAYER))
    return add_manifest(layout, described, config)


def add_manifest(
    layout: Path, layers: Sequence[object], config: object = None
) -> dict[str, object]:
    """The descriptor of an image with these layers, whose program is as *config* says."""
    text = json.dumps({} if config is None else {"config": config}).encode()
    manifest = {"schemaVersion": 2, "config": add_blob(layout, text, "x/y"), "layers": layers}
    return add_blob(layout, json.dumps(manifest).encode(), MANIFEST)


def write_index(layout: Path, *entries: object) -> None:
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


def image(layout: Path, *layers: Members, kind: str = "w") -> Template:
    """A template from a layout with one image."""
    write_index(layout, add_image(layout, layers, kind))
    return oci(layout)


def packed(layout: Path) -> Template:
    """The same, from an archive of the layout."""
    archive = layout.with_suffix(".oci.tar")
    subprocess.run(["tar", "-C", layout, "-cf", archive, "."], check=True)
    return oci(archive)


def oci(path: Path, tag: str | None = None) -> Template:
    return Template(name="t", source=OciImage(path=str(path), tag=tag))
