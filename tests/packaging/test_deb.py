"""The Debian package is whole; dpkg installs and removes it. script/deb --try does far more."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from geats_host.cli.command_pages import command_pages
from geats_host.cli.main import cli
from geats_host.linux.unit_files import packaged
from tests.real.conftest import DEFAULT_DEBIAN

REPO = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dpkg changes roots to what it installs")


def run(argv: Sequence[str | Path]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("deb")
    run([REPO / "script/deb", directory])
    (built,) = directory.glob("geats_*_all.deb")
    return built


@pytest.fixture(scope="module")
def root(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Debian 12 with the package, and without what it depends on."""
    directory = tmp_path_factory.mktemp("root")
    template = os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN)
    run(["tar", "--extract", "--numeric-owner", "--file", template, "--directory", directory])
    dpkg(directory, "--install", package)
    return directory


def dpkg(root: Path, *words: str | Path) -> str:
    return run(["dpkg", f"--root={root}", "--force-depends", *words])


def geats(root: Path, *words: str | Path) -> str:
    """What the installed program says; this Python stands for Debian's, with what that has."""
    return run([sys.executable, "-I", "-B", root / "usr/bin/geats", *words])


def test_the_program_runs_from_its_own_folder(root: Path, tmp_path: Path) -> None:
    assert "0.1.0" in geats(root, "--version")
    config = {
        "registry": "memory",
        "drivers": {"memory": {}},
        "pools": {"default": {"type": "memory"}},
        "templates": {"debian": {"path": "/srv/templates/debian.tar.zst"}},
        "vms": {"web01": {"driver": "memory", "template": "debian"}},
        "state_dir": f"{tmp_path}/state",
        "run_dir": f"{tmp_path}/run",
    }
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": config}))
    assert "web01" in geats(root, "--config", file, "list")


def test_what_debian_lacks_is_in_it_and_salts_modules_are(root: Path) -> None:
    """Found by a Python that has the folder in its path; the checkout is not in it."""
    lib = root / "usr/lib/geats"
    bundled = ["asyncvarlink", "prometheus_client", "pycdlib", "returns"]
    names = ["geats_core", "geats_host", "geats_salt._modules", *bundled]
    script = (
        f"import sys; sys.path[:] = [{str(lib)!r}, *sys.path, {sysconfig.get_path('purelib')!r}];"
        "from importlib import import_module;"
        f"[print(*import_module(name).__path__) for name in {names}];"
        "from geats_host.for_salt.loader import module_dirs; print(*module_dirs()['states'])"
    )
    found = run([sys.executable, "-I", "-S", "-B", "-c", script]).splitlines()
    assert found == [f"{lib}/{name.replace('.', '/')}" for name in (*names, "geats_salt._states")]


def test_units_manual_and_completion_are_where_they_are_looked_for(root: Path) -> None:
    units = root / "usr/lib/systemd/system"
    assert {each.name: each.read_text() for each in units.glob("geats*")} == packaged()
    pages = {each.name for each in (root / "usr/share/man/man1").iterdir()}
    paths = [each.path.replace(" ", "-") for each in command_pages(cli)]
    assert pages == {"-".join(filter(None, ("geats", path))) + ".1.gz" for path in paths}
    for completion in (
        "bash-completion/completions/geats",
        "zsh/vendor-completions/_geats",
        "fish/vendor_completions.d/geats.fish",
    ):
        assert "geats completion" in (root / "usr/share" / completion).read_text()


def test_what_is_needed_is_what_setup_cfg_says(package: Path) -> None:
    """A requirement that is new is a package of Debian, or it is bundled."""
    setup = ConfigParser()
    setup.read(REPO / "setup.cfg")
    extras = setup["options.extras_require"]
    all_needed = [setup["options"]["install_requires"], extras["agent"], extras["libvirt"]]
    wanted = re.findall(r"^(\S+?)>=", "\n".join(all_needed), re.M)
    depends = run(["dpkg-deb", "--field", package, "Depends"])
    bundled = (REPO / "packaging/debian/bundled.txt").read_text()
    names = {"PyYAML": "python3-yaml"}
    for each in wanted:
        package_name = names.get(each, f"python3-{each.lower()}")
        assert package_name in depends or f"\n{each}==" in bundled, each


def test_an_upgrade_and_a_removal_leave_what_describes_guests(package: Path, root: Path) -> None:
    """Last in this file: afterwards, the package is gone."""
    kept = [root / "etc/geats/geats.yaml", root / "var/lib/geats/registry.sqlite"]
    for each in kept:
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text("as it was")
    dpkg(root, "--install", package)
    dpkg(root, "--remove", "geats")
    assert not list((root / "usr").rglob("*geats*"))
    said = dpkg(root, "--purge", "geats")
    assert "geats: /etc/geats stays" in said
    assert "geats: /var/lib/geats stays" in said
    assert [each.read_text() for each in kept] == ["as it was"] * 2
