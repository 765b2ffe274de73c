"""Salt's real loader over our modules, on a host that exists in memory only."""

from pathlib import Path

import pytest
import salt.config
import salt.loader
import yaml
from salt._logging import shutdown_temp_handler
from salt.version import __version_info__

from tests.memory_host import memory_config
from tests.salt_modules.masterless import Minion
from tests.salt_modules.verbose import Verbose

REPO = Path(__file__).parents[2]
SHORT_ANYWAY = {"geats.units", "geats.template_present"}  # states
collect_ignore = [] if __version_info__ >= (3008,) else ["test_resources.py"]  # it has none before

shutdown_temp_handler()  # pytest reports what is logged; Salt would write it once more at the end


@pytest.fixture(params=[False, True], ids=["real", "test"])
def testmode(request):
    return request.param


@pytest.fixture
def geats_config(tmp_path):
    return memory_config(tmp_path)


@pytest.fixture
def opts(tmp_path, testmode, geats_config):
    return {
        **salt.config.minion_config(None),
        "cachedir": str(tmp_path),
        "pki_dir": str(tmp_path / "pki"),
        "extension_modules": str(tmp_path / "extmods"),
        "file_client": "local",
        "grains": {},
        "module_dirs": [str(REPO / "salt")],
        "pillar": {"geats": geats_config},
        "test": testmode,
    }


@pytest.fixture
def modules(opts):
    # Before 3008, __salt__ gives modules what is in the list too, and nothing else.
    loaded = salt.loader.minion_mods(opts, whitelist=["geats", "cp"])
    loaded.pack["__pillar__"] = opts["pillar"]  # which tests change: Salt copies it before 3008
    return Verbose(loaded)


@pytest.fixture
def minion(tmp_path, geats_config, testmode):
    """The same host, as a minion with files of states and pillar, which Salt itself compiles."""
    return Minion(tmp_path / "minion", {"geats": geats_config}, test=testmode)


@pytest.fixture
def state(minion):
    """What one state comes to, as ``state.apply`` of a file in which it stands alone.

    Its changes are all of them, unless ``verbose`` says else.
    """

    def applied(function, name, **arguments):
        if function not in SHORT_ANYWAY:
            arguments = {"verbose": True, **arguments}
        given = [{key: value} for key, value in arguments.items()]
        return minion.apply(yaml.safe_dump({name: {function: given}}))[name]

    return applied
