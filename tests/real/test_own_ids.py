"""Containers with ids of their own: allocated on a real host, kept, and seen in the guest."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from returns.result import Success

from geats_host.calls import copies, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from tests.real.conftest import sh
from tests.real.owner import Owner

ONE, TWO, COPY = "geats-test-own1", "geats-test-own2", "geats-test-own3"
FIRST, MANY = 700_000_000, 65_536


class Several(Owner):
    """Someone whose containers have nothing in common."""

    def reasons(self, name: str, target: str = "running") -> list[str]:
        return [step.reason for step in self.apply(name, target)]

    def owner_of_init(self, name: str) -> int:
        return self.init(name).stat().st_uid

    def inside(self, name: str, script: str) -> str:
        return sh(*self.attached(name, script))


@pytest.fixture
def owner(own_namespaces: None, busybox_rootfs: Path, tmp_path: Path) -> Iterator[Several]:
    """That person, on a host that has ids for three VMs; nothing is left afterwards."""
    for file in ("subuid", "subgid"):
        ours = tmp_path / file
        ours.write_text(f"root:100000:{MANY}\nroot:{FIRST}:{3 * MANY}\n")
        sh("mount", "--bind", str(ours), f"/etc/{file}")
    someone = Several(tmp_path, lxc={})
    yield someone
    for name in (ONE, TWO, COPY):
        someone.vms.setdefault(name, {"profile": "small"})
        someone.apply(name, "deprovisioned")
    for file in ("subuid", "subgid"):
        sh("umount", f"/etc/{file}")


def test_each_has_ids_that_no_other_has_and_keeps_them(owner: Several) -> None:
    own: dict[str, object] = {"profile": "small", "idmap": "auto"}
    owner.vms = {ONE: own, TWO: own}

    assert f"(its ids on the host are {FIRST} to {FIRST + MANY - 1})" in owner.reasons(ONE)[0]
    owner.apply(TWO)
    assert [owner.owner_of_init(name) for name in (ONE, TWO)] == [FIRST, FIRST + MANY]
    assert owner.inside(ONE, "echo mine > /mine; stat -c %u /mine").strip() == "0"
    assert owner.reasons(ONE) == []

    owner.vms[ONE] = {**own, "hostname": "other"}
    owner.apply(ONE)
    assert owner.owner_of_init(ONE) == FIRST
    assert owner.inside(ONE, "cat /mine") == "mine\n"

    owner.apply(ONE, "deprovisioned")
    owner.vms[ONE] = own
    owner.apply(TWO, "stopped")
    owner.apply(ONE)
    assert owner.owner_of_init(ONE) == FIRST


def test_a_clone_has_others_and_reads_the_same_files(owner: Several) -> None:
    owner.vms = {ONE: {"profile": "small", "idmap": "auto"}}
    owner.apply(ONE)
    owner.inside(ONE, "echo mine > /mine; chmod 600 /mine")

    opened = owner.host
    planned = copies.clone(opened, ONE, COPY)
    assert apply_plan(opened, planned) == Success(planned.plan.steps)
    owner.vms[COPY] = owner.vms[ONE]
    owner.apply(COPY)

    assert owner.owner_of_init(COPY) == FIRST + MANY
    assert owner.inside(COPY, "cat /mine") == "mine\n"


def test_a_hole_is_an_id_of_the_host_and_none_is_left_for_too_many(owner: Several) -> None:
    with_hole = {"count": 3 * MANY, "through": [{"guest": 1000, "host": 100_000}]}
    owner.vms = {ONE: {"profile": "small", "idmap": with_hole}, TWO: {"template": "busybox"}}
    owner.apply(ONE)
    uids = [line.split() for line in owner.inside(ONE, "cat /proc/self/uid_map").splitlines()]
    assert uids == [
        ["0", f"{FIRST}", "1000"],
        ["1000", "100000", "1"],
        ["1001", f"{FIRST + 1001}", f"{3 * MANY - 1001}"],
    ]

    owner.vms[TWO] = {"profile": "small", "idmap": "auto"}
    with pytest.raises(Refused, match="add the line root:"):
        lifecycle.plan_to(owner.host, TWO, "running")
