"""A pillar that Salt could not render is no order: nobody plans or changes anything by it."""

import inspect
from typing import Any

import pytest
import salt.loader
from salt.exceptions import CommandExecutionError
from salt.version import __version_info__

from tests.salt_modules.masters import Master
from tests.salt_modules.test_documented import functions

IMPORTS = {
    "geats.import_ansible",
    "geats.import_incus",
    "geats.import_legacy",
    "geats.import_libvirt",
    "geats.import_lxc",
    "geats.import_proxmox",
    "geats.import_salt_lxc",
}
NEEDS_NO_PILLAR = {"geats.schema", *IMPORTS}
LOOKS = {"geats.list", "geats.info", "geats.status", "geats.journal", "geats.doctor"}
BROKEN = {
    "a file with wrong Jinja": "{% if %}",
    "a file that is a list": "[a, b]",
    "a file with wrong YAML": "a: b: c",
    "a grain that is not there": "a: {{ grains['nowhere'][0] }}",
    "an include of nothing": "include: [nowhere]",
}
OFFER: dict[str, object] = {"geats": {}}
ALL_STRAYS_STOP = {"strays": "stop"}


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def broken(minion, modules, geats_config):
    """The minion, on which two VMs run; a file of its pillar failed, and one VM is lost in it."""
    modules["geats.apply_host"](test=False)
    del geats_config["vms"]["db01"]
    minion.says("here", {"geats": {**geats_config, "policy": ALL_STRAYS_STOP}})
    minion.says("top", "base: {'*': [here, more]}")
    minion.says("more", BROKEN["a file with wrong Jinja"])
    return minion


def powers(modules):
    return {name: each["power"] for name, each in modules["geats.list"]().items()}


def filled(function):
    """Something for each argument that must be given."""
    given = inspect.signature(function).parameters.values()
    needed = (
        each.default is each.empty or each.name == "name" for each in given if each.kind.value < 2
    )
    return ["web01" for each in needed if each]


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
def test_nothing_is_planned_by_a_pillar_of_which_a_file_failed(broken, modules, said):
    broken.says("more", said)
    for function in ("plan_host", "apply_host", "observe"):
        with pytest.raises(CommandExecutionError) as refused:
            broken.call(f"geats.{function}")
        *errors, mend = refused.value.message.splitlines()
        assert errors
        assert all(each.startswith("pillar: failed to render: ") for each in errors)
        assert mend.endswith("run saltutil.refresh_pillar")
    assert powers(modules) == {"web01": "running", "db01": "running"}


MODULES = {name: each for kind, name, each in functions() if kind == "modules"}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - NEEDS_NO_PILLAR - LOOKS))
def test_every_function_that_does_more_than_look_refuses(broken, modules, name):
    with pytest.raises(CommandExecutionError, match=r"^pillar: failed to render: "):
        broken.call(name, *filled(MODULES[name]))
    assert powers(modules) == {"web01": "running", "db01": "running"}


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_what_only_looks_goes_on_and_says_so(broken, name, caplog):
    context: dict[str, object] = {}
    opts = broken.opts()
    looking: Any = salt.loader.minion_mods(opts, whitelist=["geats"], context=context)[name]
    answer = looking(*filled(MODULES[name]))
    if name == "geats.doctor":
        assert [(each["what"], each["health"]) for each in answer] == [("pillar", "problem")]
    else:
        assert context["retcode"] == 5
        assert "pillar: failed to render: Rendering SLS 'more' failed" in caplog.text
        assert "web01" in str(answer)


GO_ON = (LOOKS - {"geats.doctor"}) | {"geats.stop", "geats.shutdown"}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - NEEDS_NO_PILLAR - {"geats.doctor"}))
def test_where_a_key_is_wrong_what_plans_refuses_and_the_rest_goes_on(
    minion, modules, geats_config, name, caplog
):
    modules["geats.apply_host"](test=False)
    minion.says("here", {"geats": {**geats_config, "polciy": {}}})
    minion.says("top", "base: {'*': [here]}")
    context: dict[str, object] = {}
    function: Any = salt.loader.minion_mods(minion.opts(), whitelist=["geats"], context=context)[
        name
    ]
    if name in GO_ON:
        assert "web01" in str(function(*filled(MODULES[name])))
        assert context["retcode"] == 5
        assert "geats.polciy: unknown key 'polciy'" in caplog.text
    elif name == "geats.validate":
        assert "unknown key" in str(function())
    else:
        with pytest.raises(CommandExecutionError, match=r"geats\.polciy: unknown key"):
            function(*filled(MODULES[name]))


def test_where_nothing_is_left_of_a_broken_pillar_nothing_is_shown_of_another_host(broken):
    broken.says("here", BROKEN["a file with wrong Jinja"])
    with pytest.raises(CommandExecutionError, match="failed to render"):
        broken.call("geats.list")


@pytest.mark.parametrize(
    "name", ["geats.apply_host", "geats.prune_exports", "geats.keep_snapshots"]
)
def test_the_schedule_which_keeps_no_error_is_answered_with_it(broken, modules, name):
    """Salt gives ``__pub_schedule`` to what it runs by schedule."""
    context: dict[str, object] = {}
    opts = broken.opts()
    function: Any = salt.loader.minion_mods(opts, whitelist=["geats"], context=context)[name]
    answer = function(*filled(MODULES[name]), __pub_schedule="hourly")
    assert list(answer) == ["error"]
    assert answer["error"].startswith("pillar: failed to render: ")
    assert context["retcode"] == 1
    assert powers(modules) == {"web01": "running", "db01": "running"}


def test_the_schedule_is_answered_with_what_was_done_beside_the_error(modules, geats_config):
    geats_config["vms"]["db01"]["memory"] = "10 bananas"
    answer = modules["geats.apply_host"](__pub_schedule="hourly", test=False)
    assert answer["error"].startswith("db01.memory: must be a positive size")
    assert list(answer["vms"]) == ["web01"]
    assert powers(modules) == {"web01": "running", "db01": None}


@pytest.mark.parametrize("state", ["all: {geats.host: []}", "web01: {geats.stopped: []}"])
def test_no_state_runs_not_even_by_force(broken, modules, state):
    broken.says("vms", state, "states")
    said = broken.call("state.apply", "vms")
    assert said[0] == "Pillar failed to render with the following messages:"
    (forced,) = broken.apply(state, force=True).values()
    assert (forced["result"], forced["changes"]) == (False, {})
    assert forced["comment"].startswith("pillar: failed to render: ")
    assert powers(modules) == {"web01": "running", "db01": "running"}


def test_states_of_one_run_do_not_become_a_plan_either(broken, modules):
    broken.options["state_aggregate"] = ["geats"]
    forced = broken.apply("both: {geats.stopped: [{names: [web01, db01]}]}", force=True)
    assert [each["result"] for each in forced.values()] == [False, False]
    assert powers(modules) == {"web01": "running", "db01": "running"}


def test_the_beacon_tells_of_it_once_and_of_no_stray(broken):
    opts = broken.opts()
    loaded = salt.loader.beacons(opts, salt.loader.minion_mods(opts, whitelist=["geats"]), {})
    validate: Any = loaded["geats.validate"]
    assert validate([])[0] is True  # else Salt would not run it, and tell nothing
    beacon: Any = loaded["geats.beacon"]
    ((first,), second) = beacon([]), beacon([])
    assert first["tag"] == "trouble"
    assert first["error"].startswith("pillar: failed to render: ")
    assert second == []


def test_the_grain_tells_the_version_and_nothing_of_pools(broken):
    grain: Any = salt.loader.grain_funcs(broken.opts())["geats.geats"]
    assert set(grain()["geats"]) == {"version"}


@pytest.mark.skipif(__version_info__ < (3008,), reason="Salt has resources since 3008")
def test_no_vm_is_a_target_of_its_own(broken):
    opts = broken.opts()
    found = salt.loader.resource({**opts, "pillar": {**opts["pillar"], "resources": OFFER}})
    with pytest.raises(CommandExecutionError, match="failed to render"):
        found["geats.discover"](opts)


def test_the_master_is_told_why_a_host_is_not_in_an_answer(opts, tmp_path, broken):
    master = Master(opts, tmp_path / "master", a={}, b={})
    master.minions["b"] = salt.loader.minion_mods(broken.opts(), whitelist=["geats"])
    planned = master.runner["geats.plan"]()
    assert (list(planned["hosts"]), planned["retcode"]) == (["a"], 1)
    assert planned["problems"]["b"].startswith("pillar: failed to render: ")
    placed = master.runner["geats.place"]("new", {"driver": "memory", "template": "debian"})
    assert (placed["host"], list(placed["problems"])) == ("a", ["b"])
    listed = master.runner["geats.list"]()
    assert (sorted(listed["hosts"]), listed["retcode"]) == (["a", "b"], 1)
    assert listed["problems"] == {
        "b": "its pillar failed to render: what it declares may be missing here"
    }
