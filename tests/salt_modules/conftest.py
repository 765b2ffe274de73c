"""Salt's real loader over our modules, on a host that exists in memory only."""

from pathlib import Path

import pytest
import salt.config
import salt.loader
from salt._logging import shutdown_temp_handler

from tests.memory_host import memory_config

REPO = Path(__file__).parents[2]

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
        "extension_modules": str(tmp_path / "extmods"),
        "file_client": "local",
        "grains": {},
        "module_dirs": [str(REPO / "salt")],
        "pillar": {"geats": geats_config},
        "test": testmode,
    }


@pytest.fixture
def modules(opts):
    return salt.loader.minion_mods(opts, whitelist=["geats"])


@pytest.fixture
def states(opts, modules):
    return salt.loader.states(opts, modules, {}, {}, whitelist=["geats"])
