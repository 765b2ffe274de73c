"""The runner accepts keys of minions in VMs: what the guest has, and no other."""

import subprocess
from pathlib import Path

import pytest
import salt.cache
import salt.utils.crypt

from geats_host.calls.guests.minions import fingerprint
from geats_host.errors import HostError
from geats_host.for_salt.minion_keys import DRIVER, accept
from tests import problems
from tests.salt_modules.masters import Master

PATH = "/etc/salt/pki/minion/minion.pub"
VM = {"driver": "memory", "template": "debian", "minion": {"master": "salt"}}


def public_key():
    """A new one."""
    argv = ["openssl", "genrsa", "2048"]
    private = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    argv = ["openssl", "pkey", "-pubout"]
    made = subprocess.run(argv, input=private, capture_output=True, text=True, check=True)
    return made.stdout


ONE, OTHER = public_key(), public_key()


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def master(opts, tmp_path):
    """Host ``a`` has web01, whose guest has a key."""
    found = Master(opts, tmp_path, a={"vms": {"web01": VM}}, b={"vms": {}})
    found["a"]["geats.start"]("web01")
    found["a"]["geats.write_file"]("web01", PATH, ONE)
    return found


def lines(report):
    return problems.lines(report["problems"])


def test_a_minion_without_a_key_is_told_with_what_to_do(opts, tmp_path):
    there = Master(opts, tmp_path, a={"vms": {"web01": VM}})
    there["a"]["geats.start"]("web01")
    (line,) = lines(there.runner["geats.accept"]("web01"))
    assert "No such file" in line
    assert "geats logs" in line


def test_a_fingerprint_is_that_of_salt(tmp_path):
    (tmp_path / "pub").write_text(ONE)
    assert fingerprint(ONE.strip()) == salt.utils.crypt.pem_finger(str(tmp_path / "pub"))


def test_the_key_of_a_guest_is_accepted_once_and_never_another_over_it(master):
    accept_ = master.runner["geats.accept"]
    shown = accept_("web01", test=True)
    assert (shown["id"], shown["host"], shown["new"]) == ("web01", "a", None)
    assert accept_("web01")["new"] is True
    again = accept_("web01", "a")
    assert (again["new"], again["problems"]) == (False, [])
    assert again["fingerprint"] == fingerprint(ONE.strip()) == shown["fingerprint"]
    master["a"]["geats.write_file"]("web01", PATH, OTHER)
    assert (
        "web01: has another key here: `salt-key -d web01` removes that"
        in lines(accept_("web01"))[0]
    )


def test_a_host_cannot_have_the_key_of_another_minion_accepted(master):
    vms = master["a"].pack["__pillar__"]["geats"]["vms"]
    vms["web01"] = {**VM, "minion": {"master": "salt", "id": "master-db"}}
    master["a"]["geats.define"]("web01")
    accept_ = master.runner["geats.accept"]
    assert lines(accept_("web01")) == [
        "web01: its minion is called 'master-db', not 'web01': say id, if that is right"
    ]
    assert accept_("web01", id="master-db")["new"] is True
    assert lines(accept_("absent")) == ["absent: is on no host that answers"]


@pytest.mark.parametrize(
    "said", ["", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "\0x"]
)
def test_what_is_no_public_key_is_refused_and_not_shown(master, said):
    master["a"]["geats.write_file"]("web01", PATH, said)
    (line,) = lines(master.runner["geats.accept"]("web01"))
    assert f"web01: {PATH} is no public key" in line
    assert "AAAA" not in line


def test_a_new_vm_is_accepted_if_that_is_asked_for(master):
    created = master.runner["geats.create"]("web02", VM, tgt="a", accept=True)
    assert "web02" in lines(created)[0]  # its guest has no key: only containers get one
    assert created["steps"]
    assert master["a"]["geats.list"]()


def opts_of(folder, in_cache):
    """Of a master of Salt 3008, or of one before it."""
    known = {"pki_dir": str(folder / "pki"), "cachedir": str(folder), "cache": "localfs"}
    return {**known, "extension_modules": "", **({DRIVER: "localfs"} if in_cache else {})}


def hold(opts, state, key):
    """The master knows that key already."""
    if DRIVER in opts:
        salt.cache.Cache(opts, driver="localfs").store("keys", "web", {"state": state, "pub": key})
        return
    folder = {"accepted": "minions", "pending": "minions_pre"}.get(state, f"minions_{state}")
    path = Path(opts["pki_dir"], folder, "web")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(key)


@pytest.mark.parametrize("in_cache", [True, False])
def test_a_key_that_waits_is_accepted_and_one_that_was_rejected_is_not(tmp_path, in_cache):
    opts, key = opts_of(tmp_path, in_cache), ONE.strip()
    hold(opts, "pending", OTHER)
    assert accept(opts, "web", key)
    assert not accept(opts, "web", key)
    if not in_cache:
        assert Path(opts["pki_dir"], "minions/web").read_text().strip() == key
        assert not Path(opts["pki_dir"], "minions_pre/web").exists()
    with pytest.raises(HostError, match="another key"):
        accept(opts, "web", OTHER.strip())


@pytest.mark.parametrize("in_cache", [True, False])
@pytest.mark.parametrize("state", ["rejected", "denied"])
def test_what_somebody_refused_stays_refused(tmp_path, in_cache, state):
    opts, key = opts_of(tmp_path, in_cache), ONE.strip()
    hold(opts, state, key)
    with pytest.raises(HostError, match="salt-key -d web"):
        accept(opts, "web", key)


@pytest.mark.parametrize("minion", ["", "..", "../master", "a\0b"])
def test_no_id_leads_out_of_the_folder_of_keys(tmp_path, minion):
    with pytest.raises(HostError, match="is no id of a minion"):
        accept(opts_of(tmp_path, False), minion, ONE.strip())
    with pytest.raises(HostError, match="is no public key"):
        accept(opts_of(tmp_path, False), "web", "no")
