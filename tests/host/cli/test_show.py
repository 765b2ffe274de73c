"""``geats show``: what it says declares the same VM again."""

import yaml

from tests.host.cli.conftest import Geats


def test_the_command_prints_yaml_that_declares_the_vm(geats: Geats) -> None:
    assert geats("define", "web01")[0] == 0
    code, out, err = geats("show", "web01")
    assert (code, err) == (0, "")
    told = yaml.safe_load(out)["vms"]["web01"]
    assert (told["memory"], told["template"]) == ("512MiB", "debian")
    assert not {"binds", "autostart", "privileged"} & {*told}
    assert geats("show", "db01") == (2, "", "refused: db01: is not defined\n")
