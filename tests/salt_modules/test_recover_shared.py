"""VMs of a lost host that go on with what they have in a shared pool."""

import os

import pytest
import yaml
from click.testing import CliRunner
from salt.exceptions import CommandExecutionError

from geats_host.cli.main import cli
from geats_host.for_salt.claims import Claims
from geats_host.storage.owners import Owners
from tests import problems
from tests.memory_host import memory_config
from tests.salt_modules.masters import Master

VM = {"driver": "memory", "template": "debian", "volumes": [{"name": "root", "size": "8MiB"}]}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="volumes are files of root")


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def master(opts, tmp_path):
    """``a`` has web01 on, in a pool that ``b`` sees as well; ``c`` does not."""
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    policy = {"policy": {"claims": "required"}, "templates": {"debian": {"path": f"{tree}"}}}

    def pool(host):
        return {"default": {"type": "directory", "path": f"{tmp_path}/nfs", "shared": host}}

    made = Master(
        opts,
        tmp_path,
        a={**policy, "vms": {"web01": VM}, "pools": pool("a")},
        b={**policy, "vms": {}, "pools": pool("b")},
        c={**policy, "vms": {}},
    )
    made.runner["geats.claim"]("web01", "a")
    made["a"]["geats.start"]("web01")
    root = next(each for each in (tmp_path / "nfs").rglob("etc") if "web01" in f"{each}")
    (root / "written").write_text("by the guest")
    made.silent = {"a"}
    return made


@pytest.fixture
def written(master, tmp_path):
    """What the guest wrote."""
    [file] = (tmp_path / "nfs").rglob("written")
    return file


@pytest.fixture
def owner(tmp_path):
    """Whose web01 is in the pool."""
    return lambda: Owners(tmp_path / "nfs").all()["web01"].host


def test_a_vm_in_a_shared_pool_goes_on_elsewhere_with_all_that_it_wrote(
    master, opts, owner, written
):
    recover = master.runner["geats.recover"]
    [wants_word] = problems.lines(recover("a")["problems"])
    assert wants_word.startswith("fenced: must be true")
    expected = {"web01": {"host": "b", "pools": ["default"]}}
    would = recover("a", fenced=True, test=True)
    assert (would["recovered"], would["left"], would["problems"]) == (expected, {}, [])
    assert owner() == "a"
    done = recover("a", fenced=True)
    assert (done["recovered"], done["problems"]) == (expected, [])
    assert "running" in f"{master['b']['geats.list']()['web01']}"
    assert written.read_text() == "by the guest"
    assert owner() == "b"
    assert {holder.host for holder in Claims(opts).of("web01").values()} == {"b"}
    assert recover("a", fenced=True)["recovered"] == {}
    master.silent = set()  # it comes back after all: nothing there is its own
    master["a"]["geats.stop"]("web01")
    with pytest.raises(CommandExecutionError, match="is not found there"):
        master["a"]["geats.start"]("web01")
    assert written.read_text() == "by the guest"


def test_nobody_takes_a_vm_whose_description_is_not_known(master, owner):
    master.pillars["a"] = {}
    left = master.runner["geats.recover"]("a", fenced=True)["left"]["web01"]
    assert left == (
        "is in a shared pool, and nobody knows its description: the pillar of the lost host "
        "does not declare it"
    )
    master.pillars["a"] = {"geats": {"vms": {"web01": {"memory": []}}}}
    left = master.runner["geats.recover"]("a", fenced=True)["left"]["web01"]
    assert "web01.memory" in left
    assert owner() == "a"


def test_nothing_is_made_anew_and_what_was_taken_is_given_back(master, owner):
    two = {**VM, "volumes": [*VM["volumes"], {"name": "data", "size": "8MiB", "mount": "/srv"}]}
    master.pillars["a"] = {"geats": {"vms": {"web01": two}}}
    left = master.runner["geats.recover"]("a", fenced=True)["left"]["web01"]
    assert "data is not there" in left
    with pytest.raises(CommandExecutionError, match="is that of a in the pool default, and"):
        master["b"]["geats.take"]("web01", "x", fenced=True, spec=VM)
    with pytest.raises(CommandExecutionError, match="fenced: must be true"):
        master["b"]["geats.take"]("web01", "a", spec=VM)
    other = {**VM, "template": "other"}
    with pytest.raises(CommandExecutionError, match="template"):
        master["b"]["geats.take"]("web01", "a", fenced=True, spec=other)
    assert owner() == "a"


def test_a_host_that_answers_is_not_robbed_if_another_is_called_the_same(master):
    """What tells hosts apart is not their name."""
    found = master.runner["geats.recover"]("b", fenced=True)
    assert "answers, so it is not lost" in problems.lines(found["problems"])[0]
    master.runner["geats.recover"]("a", fenced=True)
    found = master.runner["geats.recover"]("b.example.org", fenced=True)
    assert (found["recovered"], found["left"]) == ({}, {})


def test_the_command_takes_it_as_well_and_shows_first_what_it_would_do(master, tmp_path, owner):
    raw = master.pillars["b"]["geats"]
    pillar = {**memory_config(tmp_path / "b"), **raw, "vms": {"web01": VM}, "policy": {}}
    file = tmp_path / "b.yaml"
    file.write_text(yaml.safe_dump({"geats": pillar}))

    def take(*options):
        return CliRunner().invoke(cli, ["--config", f"{file}", "take", "web01", *options])

    assert "fenced: must be true" in take("--from", "a").stderr
    assert take("--from", "a", "--dry-run").stdout == (
        "take web01 in the shared pool default from a\n"
    )
    assert owner() == "a"
    assert take("--from", "a", "--fenced").exit_code == 0
    assert owner() == "b"
    assert "is defined on this host already" in take("--from", "a", "--fenced").stderr
