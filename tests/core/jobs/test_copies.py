"""Copies of a whole VM, told as stories."""

import json
from dataclasses import replace

from returns.result import Failure, Success

from geats_core import (
    Checked,
    Goal,
    HostFacts,
    Impact,
    Manifest,
    Observation,
    Offer,
    PackedVolume,
    Plan,
    PoolFacts,
    Power,
    Stage,
    Target,
    VMSpec,
    copied,
    explain,
    follow,
    manifest_from_json,
    manifest_to_json,
    parse_vm,
    plan,
    plan_export,
    plan_import,
    plan_publish,
)
from geats_core.planning.action_words import describe
from geats_core.planning.actions import AllocateVolume, OfOneGuest, UnpackVolume
from geats_core.vm.observation import UNFINISHED_COPY, VolumeSeen
from geats_core.vm.parse import derived_mac

NICS = [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}]
VOLUMES = [{"name": "data", "pool": "fast", "mount": "/data"}, {"name": "root", "pool": "fast"}]


def vm(name: str = "web", **changed: object) -> VMSpec:
    raw = {"template": "debian", "volumes": VOLUMES, "nics": NICS, **changed}
    return parse_vm(name, raw).unwrap()


def manifest(spec: VMSpec | None = None) -> Manifest:
    packed = tuple(
        PackedVolume(name=volume.name, sha256=f"digest of {volume.name}", size_bytes=1)
        for volume in (spec or vm()).volumes
    )
    return Manifest(spec=spec or vm(), template="debian", volumes=packed, taken_s=1)


def at(target: Target, spec: VMSpec) -> Observation:
    made = plan(Goal(name=spec.name, target=target, spec=spec), Observation()).unwrap()
    return follow(made, Observation()).unwrap()


def lines(made: Checked[Plan]) -> list[str]:
    """The steps without their impact; or the problems."""
    match made:
        case Success(found):
            return [line.partition(" (impact")[0] for line in explain(found).splitlines()]
        case Failure(problems):
            return list(map(str, problems))


def imported(
    have: Observation | None = None,
    spec: VMSpec | None = None,
    facts: HostFacts | None = None,
    others: dict[str, VMSpec] | None = None,
    packed: Manifest | None = None,
) -> Checked[Plan]:
    have, spec, facts = have or Observation(), spec or vm(), facts or HostFacts()
    return plan_import("/a.tar", packed or manifest(), spec, have, facts, others or {})


def test_a_running_vm_is_frozen_while_it_is_exported() -> None:
    assert lines(plan_export("web", "/a.tar", at(Target.RUNNING, vm()))) == [
        "1. freeze web for a while because its volumes must be read as they are at one moment",
        "2. export web to /a.tar because an export was asked for",
        "3. unfreeze web because it ran before",
    ]


def test_where_its_volumes_can_be_cloned_in_no_time_it_is_frozen_only_until_they_are() -> None:
    able = PoolFacts(snapshots=True, clones=True)
    both, one = HostFacts(pools={"fast": able}), HostFacts(pools={"fast": PoolFacts(clones=True)})
    have = at(Target.RUNNING, vm())
    export = "export web to /a.tar, frozen only until its volumes are cloned"
    asked = "because an export was asked for"

    made = plan_export("web", "/a.tar", have, both)
    assert lines(made) == [f"1. {export} {asked}"]
    assert made.unwrap().impact is Impact.LIVE
    assert len(lines(plan_export("web", "/a.tar", have, one))) == 3
    assert lines(plan_export("web", "/a.tar", at(Target.STOPPED, vm()), both)) == [
        f"1. export web to /a.tar {asked}"
    ]


def test_one_that_an_interrupted_operation_left_frozen_goes_on() -> None:
    left = "because an interrupted operation left it frozen"
    have = replace(at(Target.RUNNING, vm()), power=Power.HELD)
    able = HostFacts(pools={"fast": PoolFacts(snapshots=True, clones=True)})

    assert lines(plan_export("web", "/a.tar", have)) == [
        "1. export web to /a.tar because an export was asked for",
        f"2. unfreeze web {left}",
    ]
    assert lines(plan_export("web", "/a.tar", have, able))[0] == f"1. unfreeze web {left}"


def test_a_vm_that_is_off_is_exported_once_its_volumes_are_active() -> None:
    have = at(Target.STOPPED, vm())
    idle = replace(have, volumes=tuple(replace(seen, active=False) for seen in have.volumes))

    assert lines(plan_export("web", "/a.tar", idle)) == [
        "1. activate volume web/root in pool fast because it is not active",
        "2. activate volume web/data in pool fast because it is not active",
        "3. export web to /a.tar because an export was asked for",
    ]


def test_what_is_no_whole_vm_is_not_exported() -> None:
    def said(have: Observation) -> list[str]:
        return lines(plan_export("web", "/a.tar", have))

    not_ready = "it is not defined, or a volume is not ready"
    assert said(Observation()) == ["web: is not defined"]
    assert said(at(Target.DEFINED, vm())) == [f"web: cannot export web to /a.tar: {not_ready}"]
    assert said(replace(at(Target.RUNNING, vm()), power=Power.STUCK)) == [
        "web: its monitor is stuck, so that it cannot be frozen: stop it first"
    ]
    assert said(Observation(foreign=True)) == [
        "web: there is a VM of this name on the host that geats did not make: it is left alone "
        "until it is adopted"
    ]


def test_a_tree_is_published_without_what_is_of_one_guest() -> None:
    off, facts = at(Target.STOPPED, vm()), HostFacts()
    file, asked = "publish web as /t.tar.zst", "because a template was asked for"
    words = "machine-id, ssh-host-keys, hostname, minion-keys, metadata, cloud-init, dhcp-leases"
    all_of_it = f"without {words}"

    assert lines(plan_publish("web", "/t.tar.zst", off, facts)) == [
        f"1. {file}, {all_of_it} {asked}"
    ]
    keep = (OfOneGuest.HOSTNAME, OfOneGuest.MACHINE_ID)
    assert lines(plan_publish("web", "/t.tar.zst", off, facts, keep)) == [
        f"1. {file}, without ssh-host-keys, minion-keys, metadata, cloud-init, dhcp-leases {asked},"
        " with its machine-id, hostname"
    ]
    assert lines(plan_publish("web", "/t.tar.zst", off, facts, list(OfOneGuest))) == [
        f"1. {file} {asked}, with its {words}"
    ]
    able = HostFacts(pools={"fast": PoolFacts(snapshots=True, clones=True)})
    made = plan_publish("web", "/t.tar.zst", at(Target.RUNNING, vm()), able)
    assert lines(made) == [
        f"1. {file}, {all_of_it}, frozen only until its volumes are cloned {asked}"
    ]
    assert made.unwrap().impact is Impact.LIVE
    on = lines(plan_publish("web", "/t.tar.zst", at(Target.RUNNING, vm()), facts))
    assert [line.split()[1] for line in on] == ["freeze", "publish", "unfreeze"]
    assert lines(plan_publish("web", "/t", Observation(), facts)) == ["web: is not defined"]


def test_a_disk_is_published_as_it_is() -> None:
    disks = HostFacts(pools={"fast": PoolFacts(offers=Offer.FILE)})
    off = at(Target.STOPPED, vm())

    assert lines(plan_publish("web", "/t.qcow2", off, disks)) == [
        "1. publish web as /t.qcow2 because a template was asked for, with its machine-id,"
        " ssh-host-keys, hostname, minion-keys, metadata, cloud-init, dhcp-leases"
    ]
    assert lines(plan_publish("web", "/t.qcow2", off, disks, [])) == [
        "web.keep: no disk of a guest is opened: what it has is kept; clean it in the guest"
    ]


def test_an_import_reserves_all_volumes_before_it_fills_any() -> None:
    made = imported()

    assert [line.partition(" because")[0] for line in lines(made)] == [
        "1. define web",
        "2. allocate volume web/root in pool fast",
        "3. format volume web/root in pool fast",
        "4. activate volume web/root in pool fast",
        "5. reserve volume web/root for a copy",
        "6. allocate volume web/data in pool fast",
        "7. format volume web/data in pool fast",
        "8. activate volume web/data in pool fast",
        "9. reserve volume web/data for a copy",
        "10. unpack volume web/root from /a.tar",
        "11. unpack volume web/data from /a.tar",
        "12. configure the guest on volume web/root",
    ]
    needs = [step.needs for step in made.unwrap().steps]
    assert needs[4:6] == [(3,), (4,)]
    assert needs[8:12] == [(7,), (8,), (8,), (9, 10)]
    end = follow(made.unwrap(), Observation()).unwrap()
    assert end == at(Target.STOPPED, vm())


def test_what_a_cut_left_neither_starts_nor_gets_a_template() -> None:
    made = imported().unwrap()
    goal = Goal(name="web", target=Target.RUNNING, spec=vm())
    advice = "repeat the command that makes it, or deprovision it"
    for cut in range(1, 12):
        left = follow(replace(made, steps=made.steps[:cut]), Observation()).unwrap()
        said = [f"web.volumes: is an unfinished copy of {left.copy_of}: {advice}"]
        assert lines(plan(goal, left))[0] in said
        assert lines(plan(replace(goal, target=Target.REINITIALISED), left))[0] in said
        assert lines(plan(replace(goal, target=Target.PROVISIONED), left))[0] in said


def test_what_an_older_geats_left_of_a_copy_gets_no_template_either() -> None:
    made = imported().unwrap()
    goal = Goal(name="web", target=Target.RUNNING, spec=vm())
    left = follow(replace(made, steps=made.steps[:9]), Observation()).unwrap()
    assert lines(plan(goal, replace(left, copy_of=""))) == [
        "web: cannot install template debian on volume web/root: a copy to it was not finished",
        "web: cannot configure the guest on volume web/root: no template is installed on it",
        "web: cannot start web: a volume is not ready",
    ]
    assert follow(imported(replace(left, copy_of="")).unwrap(), left).unwrap() == at(
        Target.STOPPED, vm()
    )


def test_an_unfinished_copy_is_not_finished_with_another_archive() -> None:
    made = imported().unwrap()
    later = replace(manifest(), taken_s=2)
    for cut in range(1, len(made.steps)):
        left = follow(replace(made, steps=made.steps[:cut]), Observation()).unwrap()
        (said,) = lines(imported(left, packed=later))
        assert said.startswith(f"web: is an unfinished copy of {left.copy_of}, and not of an arch")


def test_what_a_cut_left_is_finished_by_the_same_import() -> None:
    made = imported().unwrap()
    for cut in range(len(made.steps)):
        left = follow(replace(made, steps=made.steps[:cut]), Observation()).unwrap()
        assert follow(imported(left).unwrap(), left).unwrap() == at(Target.STOPPED, vm())


def test_what_is_filled_is_not_filled_again_unless_it_was_taken_away() -> None:
    """Once the root is filled, all volumes were reserved: those that are not were filled."""
    made = imported().unwrap()
    left = follow(replace(made, steps=made.steps[:11]), Observation()).unwrap()
    configure = "configure the guest on volume web/root"

    def said(have: Observation) -> list[str]:
        return [describe(step.action, "web") for step in imported(have).unwrap().steps]

    assert said(left) == [configure]
    without = replace(left, volumes=tuple(v for v in left.volumes if v.name != "data"))
    assert said(without) == [
        "allocate volume web/data in pool fast",
        "format volume web/data in pool fast",
        "activate volume web/data in pool fast",
        "reserve volume web/data for a copy",
        "unpack volume web/data from /a.tar",
        configure,
    ]


def test_a_vm_that_is_to_run_again_is_not_what_is_left_of_an_import() -> None:
    have = replace(at(Target.STOPPED, vm()), to_run=True)
    made_anew = replace(have, volumes=tuple(v for v in have.volumes if v.name != "root"))

    assert lines(imported(made_anew)) == [
        "web: there is a VM of this name, or a volume of one: give another name"
    ]


def test_data_beside_a_root_that_a_reinit_took_away_is_never_imported_over() -> None:
    have = at(Target.STOPPED, vm())
    data = tuple(volume for volume in have.volumes if volume.name != "root")
    said = ["web: there is a VM of this name, or a volume of one: give another name"]

    for stage in (None, Stage.ALLOCATED, Stage.FORMATTED):
        root = () if stage is None else (VolumeSeen(name="root", pool="fast", stage=stage),)
        assert lines(imported(replace(have, volumes=(*root, *data)))) == said


def test_an_import_never_takes_the_place_of_a_vm() -> None:
    said = ["web: there is a VM of this name, or a volume of one: give another name"]

    assert lines(imported(at(Target.STOPPED, vm()))) == said
    assert lines(imported(replace(at(Target.DEFINED, vm()), foreign=True))) == said
    assert lines(imported(replace(at(Target.STOPPED, vm()), recorded=None, defined=None))) == said
    left = follow(replace(imported().unwrap(), steps=imported().unwrap().steps[:9]), Observation())
    assert lines(imported(left.unwrap(), vm(memory="1GiB"))) == said


def test_addresses_of_other_vms_are_refused_also_while_they_are_off() -> None:
    other = vm("db", nics=[{**NICS[0], "mac": "02:00:00:00:00:01"}])

    assert lines(imported(others={"db": other, "web": vm()})) == [
        "web.nics[eth0].addresses: the address 10.0.0.2 is also that of db.nics[eth0].addresses"
    ]


def test_what_the_host_does_not_have_is_refused() -> None:
    facts = HostFacts(pools={}, templates=frozenset({"alpine"}))

    assert lines(imported(facts=facts)) == [
        "web.template: unknown template 'debian' (there is: alpine)",
        "web.volumes[root].pool: unknown pool 'fast' (there is none)",
        "web.volumes[data].pool: unknown pool 'fast' (there is none)",
    ]
    one_volume = vm(volumes=[{"name": "root", "pool": "fast"}])
    assert lines(imported(spec=one_volume)) == [
        "web.volumes: must be those of the archive (data, root), got root"
    ]


def actions_of(made: Checked[Plan]) -> list[object]:
    unpacked = [step.action for step in made.unwrap().steps if "unpack" in str(step.action).lower()]
    return [(action.template, str(action.identity)) for action in unpacked]  # type: ignore[union-attr]


def test_a_vm_of_another_name_is_a_new_one_and_the_template_is_that_of_the_archive() -> None:
    old = replace(manifest(), template="old")
    other = copied(vm(), "mail", {"nics": []}).unwrap()
    upgraded = copied(vm(), "web", {"template": "new"}).unwrap()

    assert actions_of(imported(packed=old)) == [("old", "kept"), (None, "kept")]
    assert actions_of(imported(spec=other, packed=old)) == [("old", "new"), (None, "new")]
    assert actions_of(imported(spec=upgraded, packed=old)) == [("new", "kept"), (None, "kept")]


def test_a_copy_has_a_hostname_and_mac_addresses_of_its_own() -> None:
    spec = vm(hostname="web.example.org", nics=[{**NICS[0], "mac": "02:00:00:00:00:01"}])
    copy = copied(spec, "mail", {}).unwrap()

    assert (copy.hostname, copy.nics[0].mac) == ("mail.example.org", derived_mac("mail", "eth0"))
    assert copied(vm(hostname="www"), "mail", {}).unwrap().hostname == "www"
    assert copied(vm(), "db_1.example.org", {}).unwrap().hostname == "db-1.example.org"
    assert copied(spec, "web", {}) == Success(spec)


def test_a_copy_may_differ_in_any_key_and_in_its_pools() -> None:
    changes = {"memory": "1GiB", "nics": [], "pools": {"root": "slow"}}
    copy = copied(vm(), "mail", changes).unwrap()

    assert (copy.limits.memory_bytes, copy.nics) == (2**30, ())
    assert [volume.pool for volume in copy.volumes] == ["slow", "fast"]
    everywhere = copied(vm(), "web", {"pools": "slow"}).unwrap()
    assert [volume.pool for volume in everywhere.volumes] == ["slow", "slow"]


def test_all_that_is_wrong_with_the_changes_is_said() -> None:
    pools = {"logs": "slow"}

    def said(changes: dict[str, object]) -> list[str]:
        return [str(each) for each in copied(vm(), "mail", changes).failure()]

    wrong = "pools: 'logs' is not a volume of the VM (data, root)"
    assert said({"pools": pools}) == [wrong]
    found = said({"pools": pools, "memory": "10 bananas"})
    assert (found[0].partition(":")[0], found[1]) == ("memory", wrong)


def test_a_manifest_survives_its_file() -> None:
    text = manifest_to_json(manifest())

    assert manifest_from_json("a.tar", text) == Success(manifest())


def test_a_manifest_that_was_changed_or_is_none_is_refused() -> None:
    raw = json.loads(manifest_to_json(manifest()))

    def said(text: str) -> str:
        return str(manifest_from_json("a.tar", text).failure()[0])

    assert said("{") == (
        "a.tar: is not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
    )
    assert said("[]") == "a.tar: is not written by geats"
    newer = {**raw, "manifest": {**raw["manifest"], "version": 5}}
    assert said(json.dumps(newer)) == (
        "a.tar: was written by a newer geats (format 5, and this one knows 4)"
    )
    edited = {**raw, "manifest": {**raw["manifest"], "template": "other"}}
    assert said(json.dumps(edited)) == (
        "a.tar: has another checksum than it should: the file was changed"
    )
    hostile = manifest_to_json(replace(manifest(), spec=replace(vm(), name="../x")))
    assert said(hostile).startswith("a.tar.spec")
    lacking = manifest_to_json(replace(manifest(), volumes=()))
    assert said(lacking) == "a.tar: its volumes are not those of its VM"


def test_a_volume_that_is_half_copied_is_not_ready_even_if_it_is_no_root() -> None:
    have = at(Target.STOPPED, vm())
    copying = tuple(
        replace(seen, stage=Stage.FILLING, template=UNFINISHED_COPY)
        if seen.name == "data"
        else seen
        for seen in have.volumes
    )
    goal = Goal(name="web", target=Target.RUNNING, spec=vm())

    assert lines(plan(goal, replace(have, volumes=copying))) == [
        "web: cannot start web: a volume is not ready"
    ]


BY_HAND = ("lxc.environment = A=1", "lxc.net.0.veth.pair = fw0", " lxc.net.0.mtu = 1400")


def test_lines_added_by_hand_come_with_an_import_but_for_those_of_one_vm_only() -> None:
    packed = replace(manifest(), by_hand=BY_HAND)
    assert imported(packed=packed).unwrap().by_hand == BY_HAND
    spec = copied(vm(), "web2", {"nics": []}).unwrap()
    made = imported(spec=spec, packed=packed).unwrap()
    assert made.by_hand == (BY_HAND[0], BY_HAND[2])
    assert made.steps[0].reason == (
        "web2 is not defined, without lines that are of one VM only: lxc.net.0.veth.pair = fw0"
    )


UEFI = {"firmware": "uefi", "tpm": True}
MEMORY = {"firmware.fd": "entries", "tpm2": "keys"}


def test_an_import_tells_what_the_machine_remembers() -> None:
    packed = replace(manifest(vm(hardware=UEFI)), remembered=MEMORY)

    def told(spec: VMSpec, packed: Manifest = packed) -> str:
        made = imported(spec=spec, packed=packed).unwrap()
        of_root, of_data = (s.reason for s in made.steps if isinstance(s.action, UnpackVolume))
        assert of_data == "it should be as in the archive"
        return of_root.removeprefix(of_data)

    assert told(vm(hardware=UEFI)) == ("; with the variables of its firmware and its TPM")
    assert told(copied(vm(hardware=UEFI), "web2", {"nics": []}).unwrap()) == (
        "; with the variables of its firmware; its TPM is a new one"
    )
    bios = {"firmware": "bios", "tpm": False}
    assert [told(vm()), told(vm(hardware=bios))] == ["", ""]
    assert told(vm(hardware=UEFI), replace(packed, remembered={})) == ""
    assert told(vm(hardware=UEFI), replace(packed, remembered={"tpm2": "keys"})) == (
        "; with its TPM"
    )
    assert manifest_from_json("a.tar", manifest_to_json(packed)).unwrap() == packed


def test_an_archive_whose_lines_no_config_can_hold_is_refused() -> None:
    text = manifest_to_json(replace(manifest(), by_hand=("a", "b\nlxc.hook.start = /x")))
    assert [str(each) for each in manifest_from_json("a.tar", text).failure()] == [
        "a.tar: it has a line that no config can hold: 'b\\nlxc.hook.start = /x'"
    ]


def disks_in(size_bytes: int | None) -> Manifest:
    """The archive of a VM whose root was a disk, and whose other volumes were trees."""
    made = manifest()
    packed = [
        replace(each, disk_bytes=size_bytes if each.name == "root" else None)
        for each in made.volumes
    ]
    return replace(made, volumes=tuple(packed))


def wrong_with(found: Manifest, spec: VMSpec, offers: Offer | None) -> list[str]:
    facts = HostFacts(pools={volume.pool: PoolFacts(offers=offers) for volume in spec.volumes})
    match plan_import("/a.tar", found, spec, Observation(), facts, {}):
        case Failure(problems):
            return [str(each) for each in problems]
        case _:
            return []


def test_disks_and_trees_come_out_as_what_they_are() -> None:
    names = [volume.name for volume in vm().volumes]
    directory, file = (f"offers a {each}" for each in (Offer.DIRECTORY, Offer.FILE))
    for size_bytes, offers, wrong in (
        (None, Offer.DIRECTORY, []),
        (None, Offer.NOTHING, []),
        (None, None, []),
        (None, Offer.FILE, [(name, "tree", file) for name in names]),
        (2**20, Offer.DIRECTORY, [("root", "disk", directory)]),
        (2**20, Offer.FILE, [(name, "tree", file) for name in names if name != "root"]),
    ):
        said = wrong_with(disks_in(size_bytes), vm(), offers)
        assert len(said) == len(wrong), (size_bytes, offers, said)
        for text, (name, kind, where) in zip(said, wrong, strict=True):
            assert text.startswith(f"web.volumes[{name}].pool: is a {kind} in the archive, and")
            assert text.endswith(where)


def test_a_disk_of_an_archive_fits_into_its_volume() -> None:
    small = vm(volumes=[{"name": "root", "size": "1GiB"}])
    packed = PackedVolume(name="root", sha256="x", size_bytes=1, disk_bytes=2**31)
    found = Manifest(spec=small, template="debian", volumes=(packed,), taken_s=1)
    assert wrong_with(found, small, Offer.FILE) == [
        "web.volumes[root].size: must be at least 2GiB, that of the disk in the archive"
    ]
    for size in ("2GiB", None):
        fits = vm(volumes=[{"name": "root", **({} if size is None else {"size": size})}])
        assert wrong_with(found, fits, Offer.FILE) == []
        made = plan_import("/a.tar", found, fits, Observation(), HostFacts(), {}).unwrap()
        allocated = [each.action for each in made.steps if isinstance(each.action, AllocateVolume)]
        assert allocated == [AllocateVolume("default", "root", 2**31)]
