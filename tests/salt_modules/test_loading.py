"""What is loaded when: a minion starts often without us, and each job is a process of its own."""

import json
import subprocess
import sys

import pytest
import salt.loader
import yaml

from tests.salt_modules.test_documented import REPO

LOADED = """
import json, sys
import salt.config, salt.loader, salt.minion

opts = salt.config.minion_config(sys.argv[1])
opts["grains"] = salt.loader.grains(opts)
minion = salt.minion.SMinion(opts)
function, words = json.loads(sys.argv[2])
minion.functions[function](**words)
print(json.dumps(sorted(name for name in sys.modules if "geats" in name)))
"""
RARE = {
    "geats_core.on_demand",
    "geats_core.requests.guest_requests",
    "geats_core.first_geats.importing",
    "geats_core.declared.pillar_schema",
    "geats_host.calls.copies",
    "geats_host.calls.doctor",
    "geats_host.calls.guests",
    "geats_host.engine.perform",
    "geats_host.calls.snapshots",
    "geats_host.templates",
    "geats_host.archives.vm_archives",
    "geats_host.calls.guests.waiting",
}
NOTHING = ["test.ping", {}]
AN_EMPTY_RUN = ["state.single", {"fun": "geats.host", "name": "all of this host"}]


@pytest.fixture
def loaded(tmp_path, geats_config):
    """The modules with geats in their names that a minion has loaded, by what it was called for."""
    config = {
        "root_dir": str(tmp_path / "salt"),
        "file_client": "local",
        "geats": {**geats_config, "vms": {}},
        "module_dirs": [str(REPO / "salt")],
    }
    (tmp_path / "minion").write_text(yaml.safe_dump(config))

    def names(call):
        argv = [sys.executable, "-W", "ignore", "-c", LOADED]
        argv += [str(tmp_path / "minion"), json.dumps(call)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return set(json.loads(done.stdout.splitlines()[-1]))

    return names


def test_a_minion_starts_and_does_what_is_not_ours_without_what_we_stand_on(loaded):
    names = {name for name in loaded(NOTHING) if name.startswith(("geats_core", "geats_host"))}
    of_version = {"geats_host.plugins", "geats_host.plugins.installed"}  # for the grain
    assert names <= {"geats_host", "geats_host.for_salt", "geats_host.for_salt.loader", *of_version}


def test_a_run_that_has_nothing_to_do_loads_nothing_that_few_calls_use(loaded):
    names = loaded(AN_EMPTY_RUN)
    assert "geats_core.deciding.planner" in names
    assert {each.rpartition(".")[2] for each in names if each.startswith("salt.loaded")} == {
        "geats"
    }
    assert RARE & names == set()


def test_the_grains_have_the_labels_of_declared_vms_with_all_their_values(opts):
    pillar = {
        "profiles": {"web": {"labels": {"role": "web", "owner": "bob"}}, "odd": None},
        "vms": {
            "a": {"profile": "web", "labels": {"owner": "ada"}},
            "b": {"profile": ["odd", "web"]},
            "c": {"labels": ["wrong"]},
            "d": None,
        },
    }
    grains = salt.loader.grains(opts | {"pillar": {"geats": pillar}})["geats"]
    assert grains["labels"] == {"owner": ["ada", "bob"], "role": ["web"]}
    assert "labels" not in salt.loader.grains(opts | {"pillar": {"geats": {}}})["geats"]
