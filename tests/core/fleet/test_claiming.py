"""What only one VM of a fleet may have, and what a plan needs of it."""

from geats_core.fleet.claiming import Holder, held_by_others, keys_of, unclaimed
from geats_core.planning.actions import Define, Shutdown, Start
from geats_core.planning.steps import Step
from geats_core.vm.observation import Observation, Power
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec

KEYS = ("name-web01", "mac-00:16:3e:00:00:01", "address-10.0.0.5")


def vm(address: str = "10.0.0.5/24") -> VMSpec:
    nic = {"name": "eth0", "bridge": "br0", "mac": "00:16:3E:00:00:01", "addresses": [address]}
    return parse_vm("web01", {"template": "debian", "nics": [nic]}).unwrap()


def step(action: Start | Define | Shutdown) -> Step:
    return Step(vm="web01", action=action, reason="")


def problems(have: Observation, *steps: Step, held: tuple[str, ...] = ()) -> list[str]:
    return [*map(str, unclaimed(steps, {"web01": have}, {"web01": held}))]


def test_the_keys_of_a_vm_are_its_name_and_all_its_addresses() -> None:
    assert keys_of(vm()) == KEYS


def test_who_has_a_key_already_is_told() -> None:
    wanted = Holder(vm="web01", host="a")
    other = Holder(vm="web02", host="b")
    holders = {KEYS[0]: wanted, KEYS[2]: other}
    assert [*map(str, held_by_others(wanted, KEYS, holders))] == [
        "web01: address-10.0.0.5 is held by b for web02: `salt-run geats.release web02` gives it "
        "back"
    ]


def test_a_vm_that_starts_needs_all_of_its_keys() -> None:
    off = Observation(defined=vm(), recorded=vm())
    [wrong] = problems(off, step(Start()), held=KEYS[:2])
    assert wrong.startswith("web01: this host does not hold address-10.0.0.5 for it")
    assert problems(off, step(Start()), held=KEYS) == []
    [new] = problems(Observation(), step(Define(vm())), step(Start()))
    assert ", ".join(KEYS) in new


def test_one_that_is_off_or_has_them_already_needs_none() -> None:
    off = Observation(defined=vm(), recorded=vm())
    on = Observation(defined=vm(), recorded=vm(), in_effect=vm(), power=Power.RUNNING)
    assert problems(off, step(Define(vm("10.0.0.6/24")))) == []
    assert problems(on, step(Shutdown(60))) == []
    assert problems(on, step(Define(vm()))) == []
    [more] = problems(on, step(Define(vm("10.0.0.6/24"))))
    assert "does not hold address-10.0.0.6 for it" in more
    assert problems(Observation(), step(Start())) == []


def test_one_that_arrives_is_held_where_it_comes_from() -> None:
    assert problems(Observation(), step(Define(vm(), copy_of="web01 on a")), step(Start())) == []
    assert problems(Observation(recorded=vm(), copy_of="web01 on a"), step(Start())) == []
