"""``geats show``: what it says declares the same VM again; and ``geats diff``."""

import json
from pathlib import Path

import yaml

from tests.host.cli.conftest import Geats


def test_the_command_prints_yaml_that_declares_the_vm(geats: Geats) -> None:
    assert geats("define", "web01")[0] == 0
    code, out, err = geats("show", "web01")
    assert (code, err) == (0, "")
    told = yaml.safe_load(out)["vms"]["web01"]
    assert (told["memory"], told["template"]) == ("512MiB", "debian")
    assert not {"binds", "autostart", "privileged"} & {*told}
    assert geats("show") == (0, out, "")
    code, _, err = geats("show", "db01", "web01", "nobody")
    assert (code, err.splitlines()[0]) == (2, "refused: db01: is not defined")
    assert "unknown VM 'nobody'" in err


def test_what_is_shown_declares_the_same(geats: Geats, config: Path) -> None:
    """As one does with it: put where the old text was, it changes nothing."""
    assert geats("apply")[0] == 0
    raw = yaml.safe_load(config.read_text())
    raw["geats"] |= yaml.safe_load(geats("show", "--secrets")[1])
    config.write_text(yaml.safe_dump(raw))
    assert geats("plan", "--exit-code")[0] == 0


def test_diff_exits_as_diff_does(geats: Geats, config: Path) -> None:
    geats("apply")
    assert geats("diff") == (0, "no differences\n", "")
    raw = yaml.safe_load(config.read_text())
    raw["geats"]["vms"]["web01"]["memory"] = "1GiB"
    config.write_text(yaml.safe_dump(raw))
    code, out, err = geats("diff", "web01")
    assert (code, err) == (1, "")
    assert [line.split() for line in out.splitlines()] == [
        ["VM", "field", "old", "new"],
        ["web01", "memory", "512MiB", "1GiB"],
    ]
    assert geats("diff", "db01")[0] == 0
    assert json.loads(geats("--json", "diff")[1])["vms"] == {
        "web01": {"memory": {"old": "512MiB", "new": "1GiB"}}
    }
    code, out, err = geats("diff", "web01", "nobody")
    assert (code, "memory" in out) == (2, True)
    assert err.startswith("refused: name: nobody is not on this host")
