"""Claims on a real master: of two hosts with one address, one starts its VM."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.real.minions.conftest import Master, SaltError, heard, listening

NIC = "{{name: eth0, bridge: {}, addresses: [10.77.9.9/24]}}"
REQUIRED = {"claims": "required"}


def test_of_two_hosts_with_one_address_one_starts_its_vm(salt: Master) -> None:
    wanted = {"a": "geats-test-salt-one", "b": "geats-test-salt-two"}
    with ExitStack() as declared, ThreadPoolExecutor(2) as pool:
        for host in wanted:
            declared.enter_context(salt.declared(salt.minions[host], policy=REQUIRED))
            nics = NIC.format(salt.minions[host].bridge)
            spec = f"spec={{template: busybox, init: busybox, nics: [{nics}]}}"
            salt.cmd(host, "geats.define", wanted[host], spec)

        def claim(host: str) -> bool:
            try:
                salt.run("geats.claim", wanted[host], host)
            except SaltError as error:
                return "address-10.77.9.9 is held by" not in f"{error}"
            return True

        with listening(salt, "master") as bus:
            got = dict(zip(wanted, pool.map(claim, wanted), strict=True))
            [(_, told)] = heard(bus, "geats/claim", 1)
        assert sum(got.values()) == 1
        [winner], [loser] = ([host for host in got if got[host] is won] for won in (True, False))
        assert told["host"] == winner
        salt.cmd(winner, "geats.start", wanted[winner])
        with pytest.raises(SaltError, match="does not hold"):
            salt.cmd(loser, "geats.start", wanted[loser])
        salt.cmd(loser, "geats.deprovision", wanted[loser])

        salt.cmd(winner, "geats.stop", wanted[winner])
        assert salt.run("geats.release", wanted[winner])["released"].keys() == {winner}
        assert salt.run("geats.claims")["claims"] == {}
        salt.cmd(winner, "geats.deprovision", wanted[winner])


def test_a_new_vm_is_placed_claimed_and_started_and_moves_with_its_claims(salt: Master) -> None:
    name = "geats-test-salt-new"
    with ExitStack() as declared:
        for minion in salt.minions.values():
            declared.enter_context(salt.declared(minion, policy=REQUIRED))
        spec = "spec={template: busybox, init: busybox}"
        host = salt.run("geats.create", name, spec, "test=True")["host"]
        assert salt.minions[host].power(name) == "stopped"
        made = salt.run("geats.create", name, spec)
        assert (made["host"], salt.minions[made["host"]].power(name)) == (host, "running")
        other = "b" if host == "a" else "a"
        salt.run("geats.migrate", name, other)
        assert salt.minions[other].power(name) == "running"
        held = salt.run("geats.claims", name)["claims"]
        assert {holder["host"] for holder in held.values()} == {other}
        assert salt.cmd(host, "geats.claimed") == {}
        salt.cmd(other, "geats.apply", name, "deprovisioned", "power_off=stop")
        salt.run("geats.release", name)
