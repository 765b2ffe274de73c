"""Laws of files of Incus, Salt and Ansible: whatever they hold is told of, and nothing raises."""

from hypothesis import given
from hypothesis import strategies as st

from geats_core.automation.ansible_import import MODULES, import_ansible
from geats_core.automation.salt_import import import_salt_lxc
from geats_core.foreign.notes import Imported
from geats_core.incus.incus_import import import_incus
from tests.core.automation.test_ansible_import import OPTIONS
from tests.core.automation.test_salt_import import PILLAR, PRESENT
from tests.core.incus.fleet import CONFIG, DEVICES, INSTANCE, PROFILE

WORDS = ["", "1", "-1", "9" * 30, "none", "true", "/", "/a", "\u0661", "=", "a\nb", "{{ a }}", "[]"]
scalars = st.sampled_from([*WORDS, None, True, 7, 2**70, 1.5, float("nan")])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", 7]), inner)
    ),
    max_leaves=6,
)


def of_keys(*keys: object) -> st.SearchStrategy[dict[object, object]]:
    return st.dictionaries(st.sampled_from(keys) | scalars, values, max_size=6)


def assert_told(made: Imported) -> None:
    told = [(note.file, note.key) for note in made.notes]
    assert len({*told}) == len(told)
    assert all(isinstance(each.message, str) for each in made.problems)


options = st.dictionaries(st.sampled_from([*CONFIG]), st.sampled_from(WORDS), max_size=6)
devices = st.dictionaries(
    st.sampled_from([*DEVICES]),
    st.dictionaries(
        st.sampled_from(["type", "path", "source", "pool", "nictype", "parent", "name", "size"]),
        st.sampled_from([*WORDS, "nic", "disk", "proxy", "bridged"]),
        max_size=5,
    ),
    max_size=3,
)
instances = st.builds(
    lambda config, devices, more: INSTANCE | {"config": config, "devices": devices} | more,
    options,
    devices,
    of_keys(*INSTANCE),
)
states = st.dictionaries(
    st.sampled_from(["web01", "A b"]),
    st.fixed_dictionaries(
        {"lxc.present": st.lists(of_keys(*(key for each in PRESENT for key in each)), max_size=3)}
    ),
    max_size=2,
)
tasks = st.lists(
    st.builds(lambda more: {MODULES[0]: OPTIONS | more}, of_keys(*OPTIONS)) | values, max_size=3
)


@given(instances | values)
def test_any_instance_is_told_of(raw: object) -> None:
    assert_told(import_incus({"a": ("a", [raw, PROFILE]), "b": ("b", raw)}))


@given(states | values, of_keys("lxc.nic", "lxc.profile", "lxc.network_profile.web"))
def test_any_state_and_any_profile_are_told_of(raw: object, profiles: object) -> None:
    assert_told(import_salt_lxc({"a": raw, "b": profiles, "c": PILLAR}))


@given(tasks | values)
def test_any_task_is_told_of(raw: object) -> None:
    made = import_ansible({"a": raw})
    assert all(isinstance(each.message, str) for each in made.problems)
