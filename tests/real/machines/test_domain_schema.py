"""What is written for libvirt is valid by its own schema, also for types that nobody has run."""

import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.flavours import FLAVOURS
from geats_core.domains.machine_keys import read_machine
from tests.core.domains.machines import FACTS, spec
from tests.core.domains.test_flavours import NIC, WHOLE, rendered
from tests.real.machines.libvirt_daemon import virsh


@pytest.mark.parametrize("kind", sorted(FLAVOURS))
def test_a_domain_of_each_type_is_valid(kind: str, tmp_path: Path) -> None:
    assert judged(rendered(kind, WHOLE), tmp_path) == (0, "")


@pytest.mark.parametrize("kind", sorted(FLAVOURS))
def test_libvirt_itself_reads_a_domain_of_each_type(kind: str, tmp_path: Path) -> None:
    """Its driver for tests, which knows one type only."""
    file, text = tmp_path / "domain.xml", rendered(kind, WHOLE)
    file.write_text(text.replace(f'<domain type="{kind}"', '<domain type="test"'))
    done = virsh("-c", "test:///default", f"define {file} --validate; dumpxml db01")
    assert [
        (disk.get("dev"), disk.get("bus"))
        for disk in fromstring(done[done.index("<domain") :]).iterfind("devices/disk/target")
    ] == [
        (disk.get("dev"), disk.get("bus"))
        for disk in fromstring(text).iterfind("devices/disk/target")
    ]


def test_a_port_of_open_vswitch_is_valid(tmp_path: Path) -> None:
    want, facts = spec(nics=[NIC]), replace(FACTS, switches=frozenset({NIC["bridge"]}))
    text = domain_xml(want, read_machine(want).unwrap(), facts)
    assert "virtualport" in text
    assert judged(text, tmp_path) == (0, "")


def test_the_schema_sees_what_is_wrong(tmp_path: Path) -> None:
    wrong = rendered("xen", WHOLE).replace('bus="xen"', 'bus="nonsense"')
    assert judged(wrong, tmp_path)[0] != 0


def judged(xml: str, folder: Path) -> tuple[int, str]:
    """How libvirt's own program ends, and what is wrong by it."""
    file = folder / "domain.xml"
    file.write_text(xml)
    argv = ["virt-xml-validate", f"{file}", "domain"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.replace(f"{file} validates\n", "")
