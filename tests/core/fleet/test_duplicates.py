"""What VMs on two hosts must not both have."""

from geats_core import Candidate, Duplicate, Goal, Observation, Power, Target, duplicates
from tests.core.hosts import at, goals, nic, vm


def there(*raw: tuple[str, str]) -> Candidate:
    """A host with stopped VMs of these names and addresses."""
    specs = [vm(name, nics=nic(address)) for name, address in raw]
    return Candidate(observations=at(Target.STOPPED, *specs))


def test_an_address_on_two_hosts_is_named_with_both_owners() -> None:
    hosts = {"b": there(("web", "10.0.0.2")), "a": there(("db", "10.0.0.2"), ("x", "10.0.0.3"))}
    assert duplicates(hosts) == (
        Duplicate(
            what="the address",
            value="10.0.0.2",
            owners=("a.db.nics[eth0].addresses", "b.web.nics[eth0].addresses"),
        ),
    )


def test_a_name_on_two_hosts_is_one_whoever_made_the_vm() -> None:
    foreign = Observation(power=Power.RUNNING, foreign=True)
    hosts = {"a": there(("web", "10.0.0.2")), "b": Candidate(observations={"web": foreign})}
    assert duplicates(hosts) == (
        Duplicate(what="the name", value="web", owners=("a.web", "b.web")),
    )


def test_names_that_dns_takes_for_one_are_one() -> None:
    hosts = {"a": there(("Web_1", "10.0.0.2")), "b": there(("web-1", "10.0.0.3"))}
    assert duplicates(hosts) == (
        Duplicate(what="the name", value="web-1", owners=("a.Web_1", "b.web-1")),
    )


def test_macs_count_and_names_of_interfaces_on_the_hosts_do_not() -> None:
    one, two = there(("web", "10.0.0.2")), there(("web", "10.0.0.3"))
    found = [(each.what, each.value) for each in duplicates({"a": one, "b": two})]
    mac = vm("web", nics=nic("10.0.0.2")).nics[0].mac
    assert found == [("the name", "web"), ("the MAC address", mac)]


def test_what_is_to_be_counts_as_what_is() -> None:
    spec = vm("web", nics=nic("10.0.0.2"))
    wanted = Candidate(goals=tuple(goals(Target.RUNNING, spec)))
    (found,) = duplicates({"a": wanted, "b": there(("db", "10.0.0.2"))})
    assert found.owners == ("a.web.nics[eth0].addresses", "b.db.nics[eth0].addresses")
    gone = Candidate(goals=(Goal(name="web", target=Target.DEPROVISIONED, spec=spec),))
    assert duplicates({"a": gone, "b": there(("db", "10.0.0.2"))}) == ()


def test_what_one_host_has_twice_is_no_matter_of_many() -> None:
    assert duplicates({"a": there(("web", "10.0.0.2"), ("db", "10.0.0.2"))}) == ()
    assert duplicates({}) == ()
