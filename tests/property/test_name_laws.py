"""Laws of the names of VMs: what is made of two of them is never the same."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from returns.result import Success

from geats_core.reading import fields
from geats_core.requests.salt_resources import offered, vm_of
from geats_core.vm.lxc_config import veth_name
from geats_host.storage import VolumeId
from geats_host.storage.lvm_volumes import lv_name

# Few letters, so that two names are often alike.
parts = st.sampled_from(["a", "A", "1", "a-a", "a_a", "a__A", "a-_1"])
names = st.lists(parts, min_size=1, max_size=3).map(".".join)
others = st.sampled_from(["a", "root", "a-1"])
law = settings(max_examples=150, deadline=None)


@law
@given(names)
def test_the_hostname_of_a_vm_is_one(name: str) -> None:
    assert fields.vm_name("x", name) == Success(name)
    hostname = fields.hostname_of(name)
    assert fields.hostname("x", hostname) == Success(hostname)
    assert fields.domain("x", hostname) == Success(hostname)
    assert fields.dns_name(hostname) == fields.dns_name(name)


@law
@given(names, names, others, others)
@example("a.a", "a", "a", "a")
@example("a_a", "a.a", "a", "a")
def test_logical_volumes_of_two_vms_never_have_one_name(
    one: str, other: str, volume: str, snapshot: str
) -> None:
    made = {
        lv_name("vg", VolumeId(vm, volume), *rest)
        for vm in {one, other}
        for rest in ((), (snapshot,), ("+new",))
    }
    assert len(made) == 3 * len({one, other})
    assert not any("_" in name for name in made)


@law
@given(names, names, names, names)
@example("a", "a.a", "a.a", "a")
def test_two_vms_never_have_one_id_in_salt(
    minion: str, vm: str, other_minion: str, other_vm: str
) -> None:
    (one,), (other,) = offered(minion, [vm], "*"), offered(other_minion, [other_vm], "*")
    assert (one == other) == ((minion, vm) == (other_minion, other_vm))
    assert vm_of(minion, one) == vm


@law
@given(names)
def test_an_interface_on_the_host_has_a_name_that_the_kernel_takes(name: str) -> None:
    assert fields.interface("x", veth_name(name, 9)) == Success(veth_name(name, 9))
