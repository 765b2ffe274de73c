"""What is written for libvirt is valid by its own schema, also for types that nobody has run."""

import subprocess
from pathlib import Path

import pytest

from geats_core.domains.flavours import FLAVOURS
from tests.core.domains.test_flavours import WHOLE, rendered


@pytest.mark.parametrize("kind", sorted(FLAVOURS))
def test_a_domain_of_each_type_is_valid(kind: str, tmp_path: Path) -> None:
    assert judged(rendered(kind, WHOLE), tmp_path) == (0, "")


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
