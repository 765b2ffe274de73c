"""What differs between two specs, and what each difference costs."""

from geats_core import COST, Change, Impact, changes, parse_vm
from geats_core.changes import impact_of_changes

RAW: dict[object, object] = {"template": "debian", "metadata": {"name": "x", "bridge": "y"}}
OLD = parse_vm("web", RAW).unwrap()
CHANGED: dict[str, dict[object, object]] = {
    "driver": {"driver": "memory"},
    "template": {"template": "alpine"},
    "root pool": {"volumes": [{"name": "root", "pool": "fast"}]},
    "hostname": {"hostname": "other"},
    "volumes": {
        "volumes": [{"name": "root"}, {"name": "data", "mount": "/data", "read_only": True}]
    },
    "nics": {"nics": [{"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01"}]},
    "dns": {"dns": {"search": ["lan"]}},
    "metadata": {"metadata": {"mount": "z"}},
    "init": {"init": "busybox"},
    "privileged": {"privileged": True},
    "memory": {"memory": "1GiB"},
    "volume sizes": {"volumes": [{"name": "root", "size": "1GiB"}]},
    "cpus": {"cpus": 2},
    "processes": {"processes": 10},
    "transient": {"transient": True},
    "shutdown_timeout": {"shutdown_timeout": 5},
}
LINES = {
    "driver": "driver changed lxc → memory",
    "template": "template changed debian → alpine",
    "root pool": "root pool changed default → fast",
    "hostname": "hostname changed web → other",
    "volumes": "volumes changed [] → [data /data default read_only]",
    "nics": "nics changed [] → [eth0 br0 02:00:00:00:00:01]",
    "dns": "dns changed {nameservers: [], search: []} → {nameservers: [], search: [lan]}",
    "metadata": "metadata changed {name: x, bridge: y} → {mount: z}",
    "init": "init changed systemd → busybox",
    "privileged": "privileged changed False → True",
    "memory": "memory changed (not set) → 1GiB",
    "volume sizes": "volume sizes changed {} → {root: 1GiB}",
    "cpus": "cpus changed (not set) → 2.0",
    "processes": "processes changed (not set) → 10",
    "transient": "transient changed False → True",
    "shutdown_timeout": "shutdown_timeout changed 60 → 5",
}


def test_each_field_changes_alone_and_at_its_own_cost() -> None:
    found = {
        field: changes(OLD, parse_vm("web", RAW | change).unwrap())
        for field, change in CHANGED.items()
    }

    assert {f: [(c.field, c.impact) for c in each] for f, each in found.items()} == {
        field: [(field, impact)] for field, impact in COST.items()
    }
    assert {field: str(each[0]) for field, each in found.items()} == {
        "metadata": "metadata changed {bridge: y, name: x} → {mount: z}"
    } | {field: line for field, line in LINES.items() if field != "metadata"}


def test_the_impact_of_changes_is_the_highest() -> None:
    new = parse_vm("web", RAW | {"memory": "1GiB", "init": "busybox"}).unwrap()

    assert impact_of_changes(changes(OLD, new)) is Impact.RESTART
    assert impact_of_changes(changes(OLD, OLD)) is Impact.NONE


def test_a_new_vm_changes_in_every_field_that_is_set() -> None:
    found = changes(None, OLD)

    assert [change.field for change in found if change.new is None] == []
    assert Change("template", None, "debian", Impact.DATA_LOSS) in found
    assert changes(None, None) == ()
