"""Who says each key of a spec: as the values are merged, so are their origins."""

from geats_core.vm.origins import in_words, origins

Raw = dict[object, object]

SMALL: Raw = {"memory": "1GiB", "volumes": {"root": {"size": "1GiB"}, "data": {"size": "2GiB"}}}
LARGE: Raw = {"memory": "8GiB", "dns": {"search": ["example.org"]}}


def test_what_the_vm_says_itself_is_its_own() -> None:
    assert origins({"memory": "1GiB", "nics": []}, {}, "vms.web01") == {
        "memory": "vms.web01",
        "nics": "vms.web01",
    }


def test_what_a_profile_says_is_the_profiles_until_something_above_says_it() -> None:
    raw: Raw = {"profile": ["small", "large"], "cpus": 2}
    assert origins(raw, {"small": SMALL, "large": LARGE}, "vms.web01") == {
        "memory": "profiles.large",
        "volumes": "profiles.small",
        "dns": "profiles.large",
        "cpus": "vms.web01",
    }


def test_parts_of_a_mapping_have_origins_of_their_own() -> None:
    raw: Raw = {"profile": "small", "volumes": {"data": {"size": "9GiB"}, "films": {}}}
    assert origins(raw, {"small": SMALL}, "vms.web01") == {
        "memory": "profiles.small",
        "volumes.root": "profiles.small",
        "volumes.data": "vms.web01",
        "volumes.films": "vms.web01",
    }


def test_what_is_no_mapping_replaces_all_parts() -> None:
    raw: Raw = {"profile": "small", "volumes": None}
    assert origins(raw, {"small": SMALL}, "vms.web01")["volumes"] == "vms.web01"
    raw = {"profile": "off", "volumes": {"data": {}}}
    assert origins(raw, {"off": {"volumes": None}}, "vms.web01") == {"volumes": "vms.web01"}


def test_an_empty_mapping_says_nothing_of_its_parts() -> None:
    assert origins({"volumes": {}}, {}, "vms.web01") == {}


def test_a_profile_that_nobody_knows_says_nothing() -> None:
    assert origins({"profile": ["gone", 7]}, {}, "vms.web01") == {}


def test_in_words_each_source_has_its_keys() -> None:
    said = {"memory": "profiles.small", "nics": "vms.web01", "cpus": "profiles.small"}
    assert in_words(said) == "from profiles.small: memory, cpus; from vms.web01: nics"
    assert in_words({}) == ""
