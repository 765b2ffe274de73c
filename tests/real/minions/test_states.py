"""States of real runs on a real minion: in one plan or not, requisites hold."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.real.minions.conftest import Master, remove_vms

NAMES = ("geats-test-salt-s1", "geats-test-salt-s2", "geats-test-salt-s3")
ONE, TWO, THREE = NAMES


@pytest.fixture(autouse=True, scope="module")
def declared(salt: Master) -> Iterator[None]:
    """Minion ``a`` has three more VMs in its pillar."""
    with salt.declared(salt.minions["a"], *NAMES):
        yield


@pytest.fixture(autouse=True)
def nothing_runs(salt: Master) -> Iterator[None]:
    """Each test begins with no VM."""
    yield
    remove_vms(salt.minions["a"])


@pytest.fixture(params=[False, True], ids=["alone", "together"])
def together(request: pytest.FixtureRequest) -> bool:
    """Whether the states of a run are to become one plan."""
    return bool(request.param)


def apply(salt: Master, sls: str, *words: str, together: bool = False) -> dict[str, Any]:
    """What the states of minion ``a`` came to, by their ids, in the order in which they ran."""
    states = yaml.safe_load(sls)
    for state in states.values():
        for arguments in state.values():
            arguments.append({"aggregate": together})
    (salt.directory / "states/some.sls").write_text(yaml.safe_dump(states, sort_keys=False))
    returned = salt.cmd("a", "state.apply", "some", *words)
    in_order = sorted(returned.values(), key=lambda each: int(each["__run_num__"]))
    return {each["__id__"]: each for each in in_order}


def results(returned: dict[str, Any]) -> dict[str, bool | None]:
    return {name: each["result"] for name, each in returned.items()}


def powers(salt: Master) -> dict[str, str]:
    return {name: salt.minions["a"].power(name) for name in NAMES}


def test_what_test_mode_shows_is_done_and_then_there_is_nothing_left(
    salt: Master, together: bool
) -> None:
    sls = "\n".join(f"{name}: {{geats.running: []}}" for name in NAMES)
    shown = apply(salt, sls, "test=True", together=together)
    assert set(results(shown).values()) == {None}
    assert set(powers(salt).values()) == {"stopped"}
    done = apply(salt, sls, together=together)
    assert results(done) == dict.fromkeys(NAMES, True)
    assert powers(salt) == dict.fromkeys(NAMES, "running")
    assert [each["changes"] for each in done.values()] == [
        each["changes"] for each in shown.values()
    ]
    first, *others = (each["duration"] for each in done.values())
    if together:
        assert first > sum(others)  # it did what they ask for, too, and they did nothing
    again = apply(salt, sls, together=together)
    assert [(each["result"], each["changes"]) for each in again.values()] == [(True, {})] * 3


def test_requisites_hold(salt: Master, together: bool) -> None:
    file = salt.minions["a"].directory / "settings"
    sls = f"""
{ONE}:
  geats.running:
    - watch: [{{file: settings}}]
settings:
  file.managed:
    - name: {file}
    - contents: CONTENTS
broken:
  test.fail_without_changes: []
{TWO}:
  geats.running:
    - require: [{{test: broken}}]
{THREE}:
  geats.running:
    - onchanges: [{{file: settings}}]
"""
    first = apply(salt, sls.replace("CONTENTS", "one"), together=together)
    assert results(first) == {"settings": True, ONE: True, "broken": False, TWO: False, THREE: True}
    assert powers(salt) == {ONE: "running", TWO: "stopped", THREE: "running"}
    second = apply(salt, sls.replace("CONTENTS", "one"), together=together)
    assert second[ONE]["comment"] == f"{ONE} is running, as described"
    assert "none of the onchanges reqs changed" in second[THREE]["comment"]
    third = apply(salt, sls.replace("CONTENTS", "two"), together=together)
    assert third[ONE]["comment"].startswith(f"{ONE} was restarted")
    assert (third[THREE]["result"], third[THREE]["changes"]) == (True, {})
    file.unlink()


def test_a_whole_host_is_one_state(salt: Master) -> None:
    a = salt.minions["a"]
    salt.cmd("a", "geats.start", ONE)
    shown = apply(salt, "all: {geats.host: []}", "test=True")
    assert powers(salt) == {ONE: "running", TWO: "stopped", THREE: "stopped"}
    done = apply(salt, "all: {geats.host: []}")
    assert (results(shown), results(done)) == ({"all": None}, {"all": True})
    assert done["all"]["changes"].keys() == {a.vm, TWO, THREE}
    assert done["all"]["changes"] == shown["all"]["changes"]
    assert {*powers(salt).values(), a.power()} == {"running"}
    again = apply(salt, "all: {geats.host: []}")
    assert (again["all"]["result"], again["all"]["changes"]) == (True, {})
    all_gone = "all: {geats.host: [{target: deprovisioned}, {power_off: stop}, {at_most: COUNT}]}"
    too_many = apply(salt, all_gone.replace("COUNT", "3"))
    assert (too_many["all"]["result"], too_many["all"]["changes"]) == (False, {})
    gone = apply(salt, all_gone.replace("COUNT", "4"))
    assert (gone["all"]["result"], len(gone["all"]["changes"])) == (True, 4)
    assert salt.cmd("a", "geats.list")[ONE]["defined"] is False
