"""The functions that look after templates, through Salt's real loader."""

import inspect

import msgpack
import pytest
from salt.exceptions import CommandExecutionError

from tests.host.templates.archives import file, write
from tests.memory_host import memory_config

FUNCTIONS = ("templates", "import_template", "verify_templates", "prune_templates")


@pytest.fixture
def geats_config(tmp_path):
    archive = write(tmp_path / "base.tar", [file("new", "x")])
    build = {"command": ["cp", str(archive), "{output}"]}
    pools = {"layers": {"type": "overlay", "path": str(tmp_path / "layers")}}
    templates = {"debian": {"path": str(archive)}, "built": {"build": build}}
    return memory_config(tmp_path) | {"pools": pools, "templates": templates, "vms": {}}


def test_every_function_has_an_example(modules):
    for name in FUNCTIONS:
        assert "CLI Example:" in (inspect.getdoc(modules[f"geats.{name}"]) or "")


def test_a_template_is_imported_verified_and_pruned(modules, opts, testmode):
    wanted = ["build it", "unpack it in pool layers"]
    report = modules["geats.import_template"]("built")
    assert report["would" if testmode else "done"] == wanted
    listed = modules["geats.templates"]()
    assert (listed["built"]["key"] is None) == testmode
    assert modules["geats.verify_templates"]() == {"debian": [], "built": []}
    modules["geats.import_template"]("built", test=False)
    assert modules["geats.import_template"]("built", refresh=True, test=True)["would"] == wanted[:1]
    opts["pillar"]["geats"]["templates"] = {}
    first, second = (modules["geats.prune_templates"]() for _ in range(2))
    assert {each["action"] for each in first} == {"destroy"}
    assert second == (first if testmode else [])
    assert modules["geats.prune_templates"](test=True) == second


def test_what_is_told_can_be_sent(modules):
    modules["geats.import_template"]("debian", test=False)
    for report in (
        modules["geats.templates"](),
        modules["geats.verify_templates"](),
        modules["geats.prune_templates"](test=True),
    ):
        assert msgpack.unpackb(msgpack.packb(report)) == report


def test_an_unknown_template_is_refused(modules):
    with pytest.raises(CommandExecutionError, match="unknown template 'debia'"):
        modules["geats.import_template"]("debia")


def test_a_template_is_kept_ready_by_a_state(state, modules, testmode):
    wanted = ["build it", "unpack it in pool layers"]
    first = state("geats.template_present", "built")
    assert (first["result"], first["changes"]) == (None if testmode else True, {"steps": wanted})
    verb = "would be" if testmode else "is now"
    assert first["comment"] == f"the template built {verb} ready: {', '.join(wanted)}"
    modules["geats.import_template"]("built", test=False)
    second = state("geats.template_present", "built")
    assert (second["result"], second["changes"]) == (True, {})
    assert second["comment"] == "the template built is ready"
    anew = state("geats.template_present", "built", refresh=True)
    assert anew["changes"] == {"steps": ["build it"]}
    mistaken = state("geats.template_present", "built", refersh=True)
    assert (mistaken["result"], mistaken["comment"]) == (
        False,
        "unknown: refersh (there is: refresh)",
    )
    unknown = state("geats.template_present", "biult")
    assert (unknown["result"], unknown["changes"]) == (False, {})
    assert "did you mean 'built'?" in unknown["comment"]
