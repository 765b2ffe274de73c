"""Where a host has its pools and drivers is remembered; a change of it is a step, or refused."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from geats_core.planning.costs import Impact
from geats_core.planning.goal import Goal, Target
from geats_core.plans.explain import THIS_HOST, explain
from geats_core.plans.plan_files import SavedPlan
from geats_host.calls import lifecycle, reports
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.observing import known_places
from geats_host.observing.known_volumes import KIND
from geats_host.planning.facts import facts_of
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_wishes
from geats_host.storage import identity
from tests.host.templates.archives import file, folder, write
from tests.memory_host import memory_config


class Site:
    """A host in memory with a pool in directories; and the configurations that it might have."""

    def __init__(self, at: Path) -> None:
        self.at = at
        members = [folder("etc"), file("etc/hostname", "debian")]
        self.config: Mapping[str, object] = {
            **memory_config(at),
            "registry": "sqlite",
            "pools": {"default": {"type": "directory", "path": f"{at}/pool"}},
            "templates": {"debian": {"path": f"{write(at / 'debian.tar', members)}"}},
            "vms": {"web01": {"profile": "small"}},
        }

    def host(self, **change: object) -> Host:
        return Host.from_config({**self.config, **change})

    def pool_at(self, path: str, kind: str = "directory", **change: object) -> Host:
        pools = {"default": {"type": kind, "path": f"{self.at}/{path}"}}
        return self.host(pools=pools, **change)

    @property
    def remembered(self) -> list[tuple[str, str, str | None]]:
        read = json.loads((self.at / "machine/host.json").read_text())
        at = f"{self.at}/"
        return [(p["kind"], p["at"].removeprefix(at), p["identity"]) for p in read["pools"]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """One on which web01 runs."""
    monkeypatch.setenv(known_places.VARIABLE, str(tmp_path / "machine/host.json"))
    monkeypatch.setattr(known_places, "ROOT", os.geteuid())
    site = Site(tmp_path)
    run(site.host(), "web01")
    return site


def run(host: Host, name: str, target: Target = Target.RUNNING, *, loss: bool = False) -> None:
    apply_plan(host, lifecycle.plan_to(host, name, target, allow_data_loss=loss)).unwrap()


def whole(host: Host) -> SavedPlan:
    return plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))


def more(host: Host, *, loss: bool = False) -> None:
    """Plan for a VM that is not there yet."""
    raw: dict[object, object] = {"template": "debian", "driver": "memory"}
    lifecycle.plan_to(host, "web02", Target.PROVISIONED, raw=raw, allow_data_loss=loss)


def test_a_pool_is_remembered_with_its_identity_once_it_has_one(site: Site) -> None:
    now = site.host().pools["default"].facts.identity
    assert now is not None
    assert site.remembered == [("directory", "pool", now)]
    assert whole(site.host()).plan.is_empty


def test_a_pool_that_was_moved_with_all_that_is_in_it_is_a_step_of_its_own(site: Site) -> None:
    shutil.move(site.at / "pool", site.at / "new")
    host = site.pool_at("new")
    site_is = host.pools["default"].facts.identity
    made = whole(host)

    noted = [
        explain_ for explain_ in explain(made.plan).splitlines() if "remember that" in explain_
    ]
    assert noted == [
        f"1. remember that pools.default is now directory at {site.at}/new (was: directory at"
        f" {site.at}/pool) because the configuration, or a disk, is not as this host remembers"
        " (impact: none)"
    ]
    apply_plan(host, made).unwrap()
    assert site.remembered == [("directory", "new", site_is)]


def test_in_test_mode_and_in_the_run_the_change_is_told_under_a_name_of_its_own(
    site: Site,
) -> None:
    run(site.host(), "web01", Target.DEPROVISIONED, loss=True)
    host = site.pool_at("new", vms={})
    made = whole(host)
    would = reports.would_change_host(made.plan)
    assert list(would) == [THIS_HOST]

    done = reports.apply_host_report(made, apply_plan(host, made))["vms"]
    assert isinstance(done, dict)
    assert {name: each["changes"] for name, each in done.items()} == would
    assert whole(host).plan.is_empty


def test_a_pool_that_leads_elsewhere_leaves_its_volumes_behind_and_is_refused(site: Site) -> None:
    host = site.pool_at("elsewhere")
    with pytest.raises(Refused, match=r"pools.default is now .*/elsewhere.*was .*/pool.*web01 is "):
        more(host)
    with pytest.raises(Refused, match=r"web01.volumes\[root\]: was .*not found there"):
        whole(host)
    assert [at for _, at, _ in site.remembered] == ["pool"]

    more(host, loss=True)
    more(site.host())


def test_leave_is_an_impact_of_data_loss_and_what_is_left_behind_is_no_longer_remembered_here(
    site: Site,
) -> None:
    host = site.pool_at("elsewhere")
    run(host, "web01", Target.OFF)
    planned = lifecycle.plan_to(host, "web01", Target.STOPPED, allow_data_loss=True)
    assert planned.plan.steps[0].impact is Impact.DATA_LOSS
    apply_plan(host, planned).unwrap()
    assert [at for _, at, _ in site.remembered] == ["elsewhere"]
    more(host)


def test_a_pool_whose_mark_is_gone_takes_no_new_vm(site: Site) -> None:
    """As with an empty mount point, or a disk that was formatted."""
    (site.at / "pool" / identity.FILE).unlink()
    with pytest.raises(
        Refused, match=r"directory at .*\(without a mark of geats\); it was .*\(pool "
    ):
        more(site.host())


def test_so_it_is_where_no_file_of_the_machine_is_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(known_places.VARIABLE, "")
    (site.at / "pool" / identity.FILE).unlink()
    with pytest.raises(Refused, match=r"\(without a mark of geats\); it was"):
        more(site.host())


def test_a_pool_of_another_type_at_the_same_path_is_refused(site: Site) -> None:
    host = site.pool_at("pool", "sparsefile")
    why = "is a pool of type directory, and configured as sparsefile"
    for plan in (lambda: more(host, loss=True), lambda: whole(host)):
        with pytest.raises(Refused, match=why):
            plan()
    assert whole(site.host()).plan.is_empty


def test_one_that_is_empty_may_be_of_another_type(site: Site) -> None:
    run(site.host(), "web01", Target.DEPROVISIONED, loss=True)
    more(site.pool_at("pool", "memory"))


def test_a_state_directory_without_its_vms_takes_no_new_one(site: Site) -> None:
    host = site.host(state_dir=f"{site.at}/other")
    with pytest.raises(Refused, match=r"web02.driver: drivers.memory is now .*web01 is left there"):
        more(host)


def test_one_whose_registry_alone_knows_the_vms_is_no_other(site: Site) -> None:
    """The driver has them at a path of its own, and has none now."""
    driver = site.host().drivers["memory"]
    driver.stop("web01")
    driver.undefine("web01")
    with pytest.raises(Refused, match=r"web02.driver: drivers.memory is now .*web01 is left there"):
        more(site.host(state_dir=f"{site.at}/other"))
    shutil.copytree(site.at / "state", site.at / "other")
    host = site.host(state_dir=f"{site.at}/other")
    assert [each.left for each in facts_of(host, []).moved] == [()]


def test_an_older_pool_gets_its_identity_with_the_next_plan_that_is_applied(site: Site) -> None:
    """An older geats filled it for web01 and for db01; the plan is about db01 only."""
    host = site.host(vms={"web01": {"profile": "small"}, "db01": {"profile": "small"}})
    run(host, "db01", Target.STOPPED)
    (site.at / "pool" / identity.FILE).unlink()
    (site.at / "machine/host.json").unlink()
    for key, text in host.registry.notes(KIND).items():
        old = {name: value for name, value in json.loads(text).items() if name != "identity"}
        host.registry.note(KIND, key, json.dumps(old))

    run(host, "db01", Target.LOCKED)
    now = host.pools["default"].facts.identity
    notes = {key: json.loads(text)["identity"] for key, text in host.registry.notes(KIND).items()}
    assert now is not None
    assert notes == {"db01/default/root": now, "web01/default/root": now}
    assert site.remembered == [("directory", "pool", now)]


def test_an_older_pool_of_which_nothing_is_found_gets_none(site: Site) -> None:
    host = site.host()
    shutil.rmtree(site.at / "pool")
    for key, text in host.registry.notes(KIND).items():
        old = {name: value for name, value in json.loads(text).items() if name != "identity"}
        host.registry.note(KIND, key, json.dumps(old))
    run(host, "web01", Target.LOCKED)
    assert not (site.at / "pool").exists()
