"""A VM that another host has is not created here; one that comes from there is."""

from pathlib import Path

import pytest

from geats_host.calls import copies, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.observing.other_hosts import Told, remember, told
from geats_host.planning import goals
from geats_host.planning.plans import plan_wishes
from tests.memory_host import memory_host

WHY = (
    "web01: is on the host a, and would be an empty twin of it here: move it with `salt-run "
    "geats.migrate web01 b source=a`; if it is no longer there, `salt-run geats.tell` says so to "
    "this host"
)


def told_of(host: Host, **vms: str) -> Host:
    remember(host.registry, Told("b", vms))
    return host


def test_what_was_told_last_counts(tmp_path: Path) -> None:
    host = told_of(memory_host(tmp_path), web01="a", mail="c")
    assert told(told_of(host, web01="a").registry) == Told("b", {"web01": "a"})
    assert told(told_of(host).registry) == Told("", {})


@pytest.mark.parametrize("verb", ["define", "provision", "start"])
def test_a_vm_of_another_host_is_refused_with_the_command_that_moves_it(
    tmp_path: Path, verb: str
) -> None:
    host = told_of(memory_host(tmp_path), web01="a")
    with pytest.raises(Refused) as refused:
        lifecycle.plan_verb(host, verb, "web01")
    assert str(refused.value) == WHY


def test_the_others_of_its_host_are_done(tmp_path: Path) -> None:
    host = told_of(memory_host(tmp_path), web01="a")
    made = plan_wishes(host, goals.wishes({}, goals.names_in(None)))
    assert {name: [*map(str, why)] for name, why in made.refused.items()} == {"web01": [WHY]}
    assert apply_plan(host, made).unwrap()
    assert host.observe("db01").is_recorded
    assert not host.observe("web01").exists


def test_a_vm_that_this_host_has_is_its_own_whatever_was_told(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    apply_plan(host, lifecycle.plan_verb(host, "start", "web01")).unwrap()
    assert not lifecycle.plan_verb(told_of(host, web01="a"), "reboot", "web01").plan.is_empty


def test_a_vm_that_comes_from_there_is_no_twin(tmp_path: Path) -> None:
    source, host = memory_host(tmp_path / "a"), memory_host(tmp_path / "b", {"vms": {}})
    apply_plan(source, lifecycle.plan_verb(source, "provision", "web01")).unwrap()
    archive = f"{tmp_path}/web01.tar"
    copies.apply_export(source, copies.export(source, "web01", archive)).unwrap()
    told_of(host, web01="a")
    copies.apply_copy(host, copies.import_(host, archive, arriving="a")).unwrap()
    apply_plan(host, copies.accept(host, "web01")).unwrap()
    assert host.observe("web01").is_recorded


def test_a_vm_may_come_after_one_of_another_host(tmp_path: Path) -> None:
    after = {"driver": "memory", "template": "debian", "after": ["ldap"]}
    host = memory_host(tmp_path, {"vms": {"app": after, "db": {**after, "after": []}}})
    made = plan_wishes(host, goals.wishes({}, goals.names_in(None)))
    assert [each.name for each in made.plan.plans] == ["db"]
    assert [*made.refused] == ["app"]
    made = plan_wishes(told_of(host, ldap="a"), goals.wishes({}, goals.names_in(None)))
    assert ([each.name for each in made.plan.plans], made.refused) == (["app", "db"], {})
