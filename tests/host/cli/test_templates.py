"""``geats templates``: list, import, verify and prune."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from geats_host.cli.templates import NONE
from tests.host.cli.conftest import Geats, answer
from tests.host.templates.archives import file, write
from tests.host.templates.image_server import serving
from tests.memory_host import memory_config


def configure(directory: Path, templates: Mapping[str, object]) -> None:
    pools = {"layers": {"type": "overlay", "path": str(directory / "layers")}}
    raw = memory_config(directory) | {"pools": pools, "templates": templates, "vms": {}}
    (directory / "geats.yaml").write_text(yaml.safe_dump({"geats": raw}))


@pytest.fixture
def archive(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "300")  # so that no line of a table is folded
    archive = write(config.parent / "base.tar", [file("new", "x")])
    other = write(config.parent / "other.tar", [file("other", "y")])
    build = {"command": ["cp", str(other), "{output}"]}
    configure(config.parent, {"debian": {"path": str(archive)}, "built": {"build": build}})
    return archive


def test_templates_are_listed(geats: Geats, archive: Path) -> None:
    code, out, _ = geats("templates", "list")
    assert (code, "debian" in out, "is not imported yet" in out) == (0, True, True)
    listed = answer(geats, "templates", "list")
    assert isinstance(listed, dict)
    assert listed["debian"]["from"] == str(archive)


def test_templates_are_imported(geats: Geats, archive: Path) -> None:
    code, out, _ = geats("templates", "import", "built", "--dry-run")
    assert (code, "build it, unpack it in pool layers" in out) == (0, True)
    assert answer(geats, "templates", "import") == {
        "debian": ["unpack it in pool layers"],
        "built": ["build it", "unpack it in pool layers"],
    }
    assert "nothing" in geats("templates", "import", "built")[1]
    assert "MiB" in geats("templates", "list")[1]
    assert answer(geats, "templates", "import", "built", "--refresh") == {"built": ["build it"]}


def test_a_template_that_fails_keeps_no_other_from_being_imported(
    geats: Geats, archive: Path
) -> None:
    archive.write_text("damaged")
    code, out, err = geats("templates", "import", "debia", "debian", "built", "--json")
    report = json.loads(out)
    assert (code, report["built"]) == (1, ["build it", "unpack it in pool layers"])
    assert report["debia"]["failed"].startswith("name: unknown template 'debia', did you mean")
    assert report["debian"]["failed"].startswith("templates.debian.path: must be a tar archive")
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["failed", "failed"]


def test_templates_are_verified(geats: Geats, archive: Path) -> None:
    assert geats("templates", "verify") == (0, "all templates are sound\n", "")
    archive.write_text("damaged")
    code, out, _ = geats("templates", "verify")
    assert (code, out.startswith("templates.debian.path: must be a tar archive")) == (2, True)
    code, out, _ = geats("templates", "verify", "--json")
    assert (code, json.loads(out)["built"]) == (2, [])


def test_templates_are_pruned(geats: Geats, archive: Path, config: Path) -> None:
    geats("templates", "import")
    configure(config.parent, {})
    told = answer(geats, "templates", "prune", "--dry-run")
    assert isinstance(told, list)
    assert {row["action"] for row in told} == {"destroy"}
    assert answer(geats, "templates", "prune") == told
    assert geats("templates", "prune") == (0, "There is nothing to prune.\n", "")
    assert geats("templates", "list") == (0, f"{NONE}\n", "")


def test_a_copy_that_is_half_unpacked_is_listed_as_such(
    geats: Geats, archive: Path, config: Path
) -> None:
    geats("templates", "import", "debian")
    (marks,) = (config.parent / "layers").rglob("geats.json")
    marks.write_text(marks.read_text().replace("INSTALLED", "FILLING"))
    assert "half unpacked" in geats("templates", "list")[1]


def test_image_servers_are_searched(geats: Geats, config: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "images") as server:
        server.add("20261101", b"x" * 2048)
        search = ("templates", "search", "debian", "--arch", "amd64", "--url", server.url)
        code, out, _ = geats(*search)
        assert (code, out.splitlines()) == (
            0,
            [
                f"image      version   kinds  size  arch   {'url':<{len(server.url)}}".rstrip(),
                f"debian/12  20261101  tree   2KiB  amd64  {server.url}",
                "To have one: templates: {NAME: {simplestreams: {url: "
                f"'{server.url}', alias: debian/12}}}}}}",
            ],
        )
        assert geats(*search, "no")[1] == "No image has these words.\n"
        assert geats("templates", "search", "--url", "http://127.0.0.1:9")[:2] == (1, "")
        code, out, err = geats(*search, "--url", "http://127.0.0.1:9", "--format", "csv")
        assert (code, len(out.splitlines()), err[:26]) == (1, 2, "failed: http://127.0.0.1:9")


def test_a_vm_is_published_and_what_declares_it_is_shown(geats: Geats, tmp_path: Path) -> None:
    geats("start", "web01")
    file = tmp_path / "web.tar.zst"
    assert "publish web01 as" in geats("publish", "web01", f"{file}", "--dry-run")[1]
    assert not file.exists()
    code, out, _ = geats("publish", "web01", f"{file}")
    told = yaml.safe_load(out[out.index("templates:") :])
    assert (code, told["templates"]["web01"]["path"]) == (0, f"{file}")
