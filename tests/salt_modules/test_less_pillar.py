"""A pillar that says less than it did is no order: no VM goes for a description that is missing.

Every case is without an error anywhere in Salt, which renders it from files as ever.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
import salt.loader
import yaml
from salt.exceptions import CommandExecutionError

from geats_core.declared.config import HostConfig
from geats_host.inputs import configuration
from tests.memory_host import memory_host
from tests.salt_modules.masterless import Minion

Lose: TypeAlias = Callable[[Minion, dict[str, Any]], None]
NAMES = ("web01", "web02", "db01", "db02")
VMS = {name: {"profile": "small"} for name in NAMES}
STATES = """
all: {geats.host: []}
all off: {geats.host: [{target: off}]}
all deprovisioned: {geats.host: [{target: deprovisioned}, {allow_data_loss: true}]}
all stopped: {geats.host: [{target: stopped}, {at_most: 0}]}
{% for name in salt['pillar.get']('geats:vms') or {} %}
{{ name }}: {geats.running: []}
{% endfor %}
"""
FUNCTIONS: dict[str, Mapping[str, object]] = {
    "as described": {},
    "off": {"target": "off"},
    "deprovisioned": {"target": "deprovisioned", "allow_data_loss": True},
    "undefined": {"target": "undefined"},
    "stopped": {"target": "stopped", "power_off": "stop"},
    "frozen": {"target": "frozen"},
    "rebooted": {"target": "rebooted"},
}


def written(change: Callable[[dict[str, Any]], object]) -> Lose:
    """The pillar is written as *change* leaves it."""

    def lose(minion: Minion, geats: dict[str, Any]) -> None:
        said = {"geats": geats}
        change(said)
        minion.says("here", said)

    return lose


def as_text(template: str) -> Lose:
    """Jinja stands around what the pillar said."""

    def lose(minion: Minion, geats: dict[str, Any]) -> None:
        vms = yaml.safe_dump(geats.pop("vms"), default_flow_style=True, width=9999).strip()
        rest = yaml.safe_dump(geats, default_flow_style=True, width=9999).strip()[1:-1]
        minion.says("here", template.replace("VMS", vms).replace("REST", rest))

    return lose


def by_option(**options: object) -> Lose:
    """The minion's configuration is another."""

    def lose(minion: Minion, geats: dict[str, Any]) -> None:
        minion.options = {**minion.options, **options}

    return lose


def another_file(strategy: str) -> Lose:
    """Another file of the pillar has ``geats`` too, and is merged so."""

    def lose(minion: Minion, geats: dict[str, Any]) -> None:
        minion.says("top", "base: {'*': [here, more]}")
        minion.says("more", {"geats": {"vms": {"new": {"profile": "small"}}}})
        minion.options["pillar_source_merging_strategy"] = strategy

    return lose


def a_program_fails(minion: Minion, geats: dict[str, Any]) -> None:
    """What should add the VMs to the pillar says nothing, which Salt only logs."""
    del geats["vms"]
    minion.says("here", {"geats": geats})
    minion.options["ext_pillar"] = [{"cmd_yaml": "exit 1"}]


def only_a_program_fails(minion: Minion, geats: dict[str, Any]) -> None:
    """The same, where all of ``geats`` comes from it."""
    minion.says("here", "nothing: else")
    minion.options["ext_pillar"] = [{"cmd_yaml": "exit 1"}]


LOST: dict[str, Lose] = {
    "the file is empty": lambda minion, _: minion.says("here", ""),
    "geats is an empty mapping": written(lambda said: said.update(geats={})),
    "geats is null": written(lambda said: said.update(geats=None)),
    "geats is a list": written(lambda said: said.update(geats=[])),
    "there is no geats": written(lambda said: said.pop("geats")),
    "vms is null": written(lambda said: said["geats"].update(vms=None)),
    "vms is an empty list": written(lambda said: said["geats"].update(vms=[])),
    "vms is an empty mapping": written(lambda said: said["geats"].update(vms={})),
    "there is no vms": written(lambda said: said["geats"].pop("vms")),
    "most of vms is gone": written(lambda said: said["geats"].update(vms={"db02": VMS["db02"]})),
    "one of vms is gone": written(lambda said: said["geats"]["vms"].pop("web01")),
    "the paths are gone": written(lambda said: said["geats"].pop("state_dir")),
    "only the VMs are left": written(lambda said: said.update(geats={"vms": VMS})),
    "a condition around all is false": as_text(
        "{% if grains.get('role') == 'host' %}\ngeats: {REST, vms: VMS}\n{% endif %}\n"
    ),
    "a condition around the VMs is false": as_text(
        "geats: {REST, vms: {% if grains.get('role') %}VMS{% endif %}}\n"
    ),
    "the include is of another host": lambda minion, _: minion.says("here", "include: [top]"),
    "another environment": by_option(pillarenv="other"),
    "another id": by_option(pillar_roots={"base": ["/nowhere"]}),
    "no file of the top fits": lambda minion, _: minion.says("top", "base: {'elsewhere': [here]}"),
    "another file is merged over it": another_file("overwrite"),
    "a program fails": a_program_fails,
    "only a program fails": only_a_program_fails,
}


@pytest.fixture
def geats_config(geats_config):
    return {**geats_config, "vms": VMS, "policy": {"strays": "stop"}}


@pytest.fixture
def testmode():
    return False


@pytest.fixture(autouse=True)
def defaults(tmp_path, monkeypatch):
    """Where a host is that says nothing of itself: not this machine's."""
    words = HostConfig.__init__.__kwdefaults__
    for key in ("state_dir", "run_dir"):
        monkeypatch.setitem(words, key, f"{tmp_path}/default/{key}")
    monkeypatch.setattr(configuration, "DEFAULT_FILE", tmp_path / "default/geats.yaml")


@pytest.fixture
def kept(tmp_path, modules, geats_config):
    """Four VMs run; at the end they run all the same, and hold what they held."""
    modules["geats.apply_host"](test=False)
    before = memory_host(tmp_path, geats_config).observe_all()
    yield
    assert memory_host(tmp_path, geats_config).observe_all() == before


@pytest.fixture(params=LOST.values(), ids=list(LOST))
def less(request, minion, geats_config, kept):
    """The minion, whose pillar has lost something since."""
    request.param(minion, {**geats_config, "vms": dict(VMS)})
    return minion


@pytest.mark.parametrize("has_master", [False, True], ids=["alone", "with a master"])
def test_no_function_takes_a_vm_away(less, has_master):
    less.options["has_master"] = has_master
    for words in FUNCTIONS.values():
        with suppress(CommandExecutionError):
            less.call("geats.apply_host", **words)


def test_no_state_takes_a_vm_away(less):
    returned = less.apply(STATES)
    assert {"all", "all off", "all deprovisioned", "all stopped"} <= returned.keys()


def test_the_beacon_takes_nothing_away_and_a_host_that_is_none_of_ours_is_told(less):
    opts = less.opts()
    modules = salt.loader.minion_mods(opts, whitelist=["geats"])
    beacon: Any = salt.loader.beacons(opts, modules, {})["geats.beacon"]
    assert isinstance(beacon([]), list)


@pytest.mark.parametrize("said", ["{geats: null}", "{geats: {}}", "{geats: {vms: null}}"])
@pytest.mark.parametrize("strategy", ["smart", "overwrite", "recurse", "aggregate", "none"])
def test_what_is_said_on_the_command_line_takes_nothing_away(minion, kept, said, strategy):
    minion.options["pillar_source_merging_strategy"] = strategy
    minion.apply(STATES, pillar=yaml.safe_load(said))


def test_a_pillar_in_several_files_with_an_include_is_whole(minion, geats_config, kept):
    vms = geats_config.pop("vms")
    minion.says("here", {"include": ["vms"], "geats": geats_config})
    minion.says("vms", {"geats": {"vms": vms}})
    applied = minion.apply("all: {geats.host: []}")["all"]
    assert (applied["result"], applied["changes"]) == (True, {})


def test_a_vm_goes_by_its_name(minion, modules, geats_config):
    modules["geats.apply_host"](test=False)
    vms = {name: VMS[name] for name in NAMES if name != "web01"}
    gone = {"vms": vms, "gone": {"web01": "deprovisioned"}}
    minion.says("here", {"geats": {**geats_config, **gone}})
    applied = minion.apply("all: {geats.host: []}")["all"]
    assert (applied["result"], list(applied["changes"])) == (True, ["web01"])
    assert modules["geats.list"](vms="web01")["web01"]["defined"] is False


@pytest.mark.parametrize("words", [{"at_most": 4}, {"vms": list(NAMES)}])
def test_all_vms_are_off_where_they_are_counted_or_named(minion, modules, words):
    modules["geats.apply_host"](test=False)
    given = [{"target": "off"}, *({key: value} for key, value in words.items())]
    assert minion.apply(yaml.safe_dump({"all": {"geats.host": given}}))["all"]["result"] is True
    assert {each["power"] for each in modules["geats.list"]().values()} == {"stopped"}


def test_with_a_master_a_pillar_that_lost_geats_does_not_make_another_host(minion, kept):
    minion.says("here", "")
    minion.options["has_master"] = True
    with pytest.raises(CommandExecutionError, match="is neither in the pillar nor in the minion"):
        minion.call("geats.plan_host")


def test_a_file_that_the_minions_configuration_names_is_under_the_pillar(
    minion, tmp_path, geats_config, kept
):
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": geats_config}))
    minion.says("here", {"geats": {"vms": {"more": {"profile": "small"}}}})
    minion.options |= {"geats": str(file), "has_master": True}
    assert minion.call("geats.plan_host", verbose=True)["vms"].keys() == {*NAMES, "more"}


def test_a_file_that_is_named_and_not_there_is_refused(minion, tmp_path):
    minion.options["geats"] = f"{tmp_path}/nowhere.yaml"
    with pytest.raises(CommandExecutionError, match=r"nowhere\.yaml: does not exist"):
        minion.call("geats.apply_host")
