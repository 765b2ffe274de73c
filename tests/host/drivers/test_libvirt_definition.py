"""What is kept of a VM beside libvirt's definition, whatever is cut, lost or changed."""

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.domains.domain_devices import DomainFacts, Source
from geats_core.domains.domain_xml import domain_xml, spec_digest
from geats_core.domains.machine import Machine
from geats_core.planning.offers import Offer
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place, lock_marks
from geats_host.drivers.libvirt import definition
from geats_host.drivers.libvirt.daemon import Daemon
from geats_host.drivers.libvirt.definition import Record
from geats_host.drivers.libvirt.driver import open_qemu
from geats_host.drivers.libvirt.seed_image import seed_image
from geats_host.errors import HostError

FACTS = DomainFacts(kind="qemu", sources={"root": Source(path="/r")}, machine="pc-q35-7.2")
MINE = "<devices><sound model='ich9'/></devices>"
FROM_LIBVIRT = ("</devices>", "<audio id='1'/><input type='tablet' bus='virtio'/></devices>")


def web(**keys: object) -> VMSpec:
    return parse_vm("web", {"template": "debian", "memory": "64MiB", **keys}).unwrap()


def written(spec: VMSpec, *keep: str) -> str:
    return domain_xml(spec, Machine(), FACTS, keep)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    definition.write_spec(tmp_path / "web", web())
    return tmp_path / "web"


def test_a_spec_is_found_by_its_digest_unless_it_was_changed(folder: Path) -> None:
    digest = definition.digest_of(folder, web())
    assert definition.spec_of(folder, digest) == web()
    for other in ("", "../web", definition.digest_of(folder, web(hostname="other"))):
        assert definition.spec_of(folder, other) is None
    (folder / f"spec.{digest}").write_text('{"template": "alpine", "memory": "64MiB"}')
    assert definition.spec_of(folder, digest) is None
    (folder / f"spec.{digest}").write_text("no spec")
    assert definition.spec_of(folder, digest) is None


def test_specs_that_nobody_needs_any_more_are_removed(folder: Path) -> None:
    other = web(hostname="other")
    definition.write_spec(folder, other)
    digest = definition.digest_of(folder, other)
    definition.forget_specs(folder, {digest, ""})
    assert [each.name for each in folder.iterdir()] == [f"spec.{digest}"]


def test_digests_that_libvirt_shows_to_everybody_are_of_this_host_alone(folder: Path) -> None:
    """Else who can look could try what a secret is."""
    digest, key = definition.digest_of(folder, web()), folder.parent / definition.KEY
    assert spec_digest(web()) not in definition.noted_of(folder, web())
    assert digest in definition.noted_of(folder, web())
    assert definition.digest_of(folder.parent / "other/web", web()) != digest
    assert [*folder.parent.iterdir()].count(key) == 1
    assert key.stat().st_mode & 0o007 == 0
    plain = spec_digest(web())  # as an older geats noted it
    (folder / f"spec.{digest}").rename(folder / f"spec.{plain}")
    assert definition.spec_of(folder, plain) == web()


def test_the_key_is_durable_before_a_spec_is_written_that_is_found_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, link, rename = os.fsync, os.link, os.rename

    def synced(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def linked(old: Path, new: Path) -> None:
        done.append(f"link {new.name}")
        link(old, new)

    def renamed(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        done.append("spec" if new.startswith("spec.") else "aside")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "rename", renamed)
    definition.write_spec(tmp_path / "all/web", web())
    assert done == ["aside", "sync all", "link _key", "sync all", "spec", "sync web"]


def test_a_definition_that_was_cut_is_judged_by_what_libvirt_has(folder: Path) -> None:
    """Before libvirt took the new one, the old one counts; after it, the new one does."""
    old, new = web(), web(hostname="other", nics=[{"name": "eth0", "bridge": "br0"}])
    back = written(old, MINE).replace(*FROM_LIBVIRT)
    sealed = Record(wanted=written(old), keep=(MINE,), seal=frozenset())
    definition.write_record(folder, sealed)
    definition.write_record(folder, Record(wanted=written(new), keep=(MINE,)))

    assert definition.record_of(folder, spec_digest(old)) == sealed
    seen = definition.seen_of(folder, back)
    assert (seen.as_written, len(seen.by_hand)) == (True, 2)  # an empty seal vouches for nothing

    seen = definition.seen_of(folder, written(new, MINE).replace(*FROM_LIBVIRT))
    assert not seen.as_written  # it is defined once more, to be sealed
    assert seen.by_hand == ('<devices><sound model="ich9" /></devices>',)


def test_the_seal_ends_the_trial_of_what_was_written(folder: Path) -> None:
    definition.write_record(folder, Record(wanted=written(web())))
    assert (folder / definition.NEW_RECORD).exists()
    definition.write_record(folder, Record(wanted=written(web()), seal=frozenset({"a"})))
    assert not (folder / definition.NEW_RECORD).exists()
    assert definition.record_of(folder, spec_digest(web())) == Record(
        wanted=written(web()), seal=frozenset({"a"})
    )


def test_what_is_as_libvirt_gave_it_back_needs_no_second_look(folder: Path) -> None:
    back = written(web(), MINE).replace(*FROM_LIBVIRT)
    record = definition.sealed(back, written(web()), (MINE,))
    definition.write_record(folder, record)
    assert definition.record_of(folder, spec_digest(web())) == record
    by_hand = ('<devices><sound model="ich9" /></devices>',)
    for same in (back, f"{back} "):
        seen = definition.seen_of(folder, same)
        assert (seen.as_written, seen.by_hand) == (True, by_hand)
    changed = back.replace("on_crash>destroy", "on_crash>restart")
    assert not definition.seen_of(folder, changed).as_written
    odd = definition.sealed(changed, written(web()), ())
    assert odd.back == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"wanted": 1, "keep": [], "seal": null}'])
def test_a_record_that_cannot_be_read_is_none(folder: Path, text: str) -> None:
    (folder / definition.RECORD).write_text(text)
    assert definition.record_of(folder, spec_digest(web())) is None
    assert definition.seen_of(folder, written(web())).as_written is False


def test_a_vm_that_is_not_known_has_no_mark(tmp_path: Path) -> None:
    lock_marks.set_locked(tmp_path / "web", locked=True)
    lock_marks.set_locked(tmp_path / "web", locked=False)
    definition.remove(tmp_path / "web")
    assert not (tmp_path / "web").exists()


def test_without_pycdlib_there_is_no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycdlib", None)
    with pytest.raises(HostError, match="as pycdlib is missing: install geats with the extra"):
        seed_image({"meta-data": "{}"})


def test_a_domain_that_libvirt_lost_as_it_was_renewed_keeps_its_uuid_and_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = "5a5a5a5a-5a5a-4a5a-8a5a-5a5a5a5a5a5a"
    asked: list[object] = []
    driver = open_qemu({"raw_xml": True}, tmp_path)
    folder, here = driver.options.folder / "web", {"root": Place(tmp_path / "r", Offer.FILE)}

    def ask(_: Daemon, do: str, __: str | None, **more: object) -> dict[str, object]:
        asked.append(more.get("xml"))
        return {"domains": []} if do == "observe" else {"xml": more["xml"], "live": "", "new": True}

    monkeypatch.setattr(Daemon, "ask", ask)
    was = domain_xml(web(), Machine(), replace(FACTS, uuid=uuid), ())
    definition.write_spec(folder, web())
    definition.write_record(folder, Record(wanted=was, seal=frozenset()))
    driver.define(web(), here, (MINE,))
    for known in (uuid, "pc-q35-7.2", "ich9"):
        assert known in f"{asked[-1]}"
