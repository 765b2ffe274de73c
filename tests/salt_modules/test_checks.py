"""Checks that find something wrong end with an exit code that a pipeline can see."""

import salt.loader


def code_of(opts, name, *arguments):
    """The exit code that Salt would give the call."""
    context = {"retcode": 0}
    modules = salt.loader.minion_mods(opts, whitelist=["geats"], context=context)
    modules[f"geats.{name}"](*arguments)
    return context["retcode"]


def test_a_check_that_finds_nothing_ends_with_0(opts):
    assert code_of(opts, "validate") == 0
    opts["pillar"]["geats"]["templates"] = {}
    assert code_of(opts, "verify_templates") == 0


def test_a_check_that_finds_something_ends_with_1(opts, geats_config, tmp_path):
    geats_config["templates"] = {"debian": {"path": str(tmp_path / "nowhere.tar")}}
    geats_config["vms"]["web01"]["memory"] = "10 bananas"
    for name in ("validate", "verify_templates"):
        assert code_of(opts, name) == 1


def test_an_examination_that_finds_a_problem_ends_with_1(opts, geats_config):
    geats_config["drivers"] = {"lxc": {"path": "/proc/nowhere"}}
    assert code_of(opts, "doctor") == 1
