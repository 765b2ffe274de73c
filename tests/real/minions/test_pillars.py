"""What becomes of VMs that run on a real minion when its pillar is broken, or says less: nothing.

The VMs of minion ``a`` run all the while. At the end each has the process that it had.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.minions.conftest import (
    REACTION,
    SCRIPTS,
    Master,
    Minion,
    SaltError,
    heard,
    listening,
)

NAMES = ("geats-test-salt-p1", "geats-test-salt-p2")
BROKEN = "{% if %}"
FAILED = "pillar: failed to render: Rendering SLS 'a' failed"
ORCHESTRATED = """
a function:
  salt.function: [{name: geats.apply_host}, {tgt: a}]
states:
  salt.state: [{tgt: a}, {sls: all}]
a runner:
  salt.runner: [{name: geats.plan}]
"""


@pytest.fixture(scope="module")
def a(salt: Master) -> Iterator[Minion]:
    """Minion ``a``, on which three VMs run; strays of it are to be stopped."""
    minion = salt.minions["a"]
    (salt.directory / "states/all.sls").write_text("all: {geats.host: []}")
    (salt.directory / "states/off.sls").write_text("all off: {geats.host: [{target: off}]}")
    with salt.declared(minion, *NAMES, policy={"strays": "stop"}):
        salt.cmd("a", "geats.apply_host")
        before = pids(salt, minion)
        assert len(set(before.values())) == 3
        yield minion
        assert pids(salt, minion) == before


def pids(salt: Master, minion: Minion) -> dict[str, int]:
    return {name: salt.cmd("a", "geats.info", name)["pid"] for name in (minion.vm, *NAMES)}


@contextmanager
def saying(salt: Master, minion: Minion, text: str) -> Iterator[None]:
    """While this lasts, that is the minion's pillar."""
    (salt.directory / "pillar/a.sls").write_text(text)
    salt.cmd("a", "saltutil.refresh_pillar", "wait=True")
    try:
        yield
    finally:
        salt.write_pillar(minion)
        salt.cmd("a", "saltutil.refresh_pillar", "wait=True")


@pytest.fixture(scope="module")
def broken(salt: Master, a: Minion) -> Iterator[None]:
    """The pillar of ``a`` fails to render."""
    with saying(salt, a, BROKEN):
        yield


@pytest.mark.parametrize("function", ["apply_host", "plan_host", "stop geats-test-salt-p1"])
def test_a_job_is_refused_with_what_failed(salt: Master, broken: None, function: str) -> None:
    with pytest.raises(SaltError, match=FAILED):
        salt.cmd("a", *f"geats.{function}".split())


def test_no_state_runs_not_even_by_force(salt: Master, broken: None) -> None:
    first, *_ = salt.cmd("a", "state.apply", "all")
    assert first == "Pillar failed to render with the following messages:"
    (forced,) = salt.cmd("a", "state.apply", "all", "force=True").values()
    assert (forced["result"], forced["changes"]) == (False, {})
    assert forced["comment"].startswith(FAILED)


def test_the_runner_names_the_host(salt: Master, broken: None) -> None:
    with pytest.raises(SaltError, match=FAILED):
        salt.run("geats.plan")


def test_an_orchestration_fails(salt: Master, broken: None) -> None:
    (salt.directory / "states/orchestrated.sls").write_text(ORCHESTRATED)
    with pytest.raises(SaltError) as failed:
        salt.run("state.orch", "orchestrated")
    said, _ = json.JSONDecoder().raw_decode(str(failed.value))
    (returned,) = said["data"].values()
    assert [each["result"] for each in returned.values()] == [False, False, False]


def test_a_scheduled_job_is_refused(salt: Master, a: Minion, broken: None) -> None:
    with listening(salt, "master") as bus:
        salt.cmd("a", "schedule.add", "hourly", "function=geats.apply_host", "hours=1")
        salt.cmd("a", "schedule.run_job", "hourly", "force=True")
        assert FAILED in returned_of(bus, "geats.apply_host")
    salt.cmd("a", "schedule.delete", "hourly")


def test_what_a_reactor_asks_for_is_refused(salt: Master, broken: None) -> None:
    reaction = salt.directory / "states" / REACTION
    reaction.write_text("all: {local.geats.apply_host: [{tgt: a}]}")
    with listening(salt, "master") as bus:
        salt.cmd("b", "event.send", "geats/anything/start")
        assert FAILED in returned_of(bus, "geats.apply_host")
    reaction.unlink()


def returned_of(bus: Any, function: str) -> str:
    """What minion ``a`` returned to the next job of this function."""
    for _ in range(50):
        ((_, data),) = heard(bus, "salt/job/", 1)
        if data.get("fun") == function and "return" in data:
            return str(data["return"])
    raise SaltError(f"no job of {function} returned")


def test_the_beacon_tells_that_the_pillar_is_broken(salt: Master, a: Minion) -> None:
    salt.cmd("a", "beacons.add", "geats", "[{interval: 1}, {pool_space: false}]")
    with listening(salt, "master") as bus, saying(salt, a, BROKEN):
        ((_, told),) = heard(bus, "salt/beacon/a/geats/trouble", 1)
    salt.cmd("a", "beacons.delete", "geats")
    assert told["error"].startswith(FAILED)


SAYS_LESS = {
    "nothing": "",
    "a false condition": "{% if grains.get('role') == 'host' %}\ngeats: {vms: {}}\n{% endif %}",
    "no vms": "geats: REST",
    "no VM but one": "geats: REST\n  vms: {geats-test-salt-p1: {profile: small}}\n",
}


def without_vms(minion: Minion) -> str:
    rest = {key: value for key, value in minion.geats.items() if key != "vms"}
    return "\n  " + yaml.safe_dump(rest).replace("\n", "\n  ")


def applied(salt: Master, *words: str) -> set[str]:
    """The states that minion ``a`` ran, of two that are about all of its VMs."""
    return {each["__id__"] for each in salt.cmd("a", "state.apply", "all,off", *words).values()}


@pytest.mark.parametrize("text", SAYS_LESS.values(), ids=list(SAYS_LESS))
def test_a_pillar_that_says_less_takes_nothing_away(salt: Master, a: Minion, text: str) -> None:
    with saying(salt, a, text.replace("REST", without_vms(a))):
        with suppress(SaltError):
            salt.cmd("a", "geats.apply_host", "target=off")
        assert applied(salt) == {"all", "all off"}


def test_a_program_that_fails_takes_nothing_away(salt: Master, a: Minion) -> None:
    more = salt.directory / "more/a"
    more.write_text(yaml.safe_dump({"geats": a.geats}))
    with saying(salt, a, "{}"):
        assert salt.cmd("a", "geats.plan_host")["steps"] == []
        more.unlink()
        salt.cmd("a", "saltutil.refresh_pillar", "wait=True")
        with pytest.raises(SaltError, match="geats: is neither in the pillar nor in the minion"):
            salt.cmd("a", "geats.apply_host")
    more.write_text("{}")


@pytest.mark.parametrize(
    "words", ["pillarenv=nowhere", "pillar={geats: {vms: null}}", "pillar={geats: null}"]
)
def test_a_run_with_another_pillar_takes_nothing_away(salt: Master, a: Minion, words: str) -> None:
    assert applied(salt, words) == {"all", "all off"}


def test_without_the_master_nothing_is_taken_away(salt: Master, a: Minion, tmp_path: Path) -> None:
    (tmp_path / "top.sls").write_text("base: {'*': [less]}")
    (tmp_path / "less.sls").write_text(f"geats: {without_vms(a)}")
    words = ["--local", "-c", f"{a.directory}", "--pillar-root", f"{tmp_path}", "--out=json"]
    states = ["--file-root", f"{salt.directory}/states", "state.apply", "all,off"]
    for asked in (["geats.apply_host", "target=off"], states):
        argv = [f"{SCRIPTS}/salt-call", *words, *asked]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert "the description is gone, which is not a request to stop" in done.stdout
