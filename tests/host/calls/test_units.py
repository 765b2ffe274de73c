"""Units of systemd: what they say, and the steps that install and remove them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geats_core.declared.config import HostConfig, parse_config
from geats_host.calls import units
from geats_host.calls.units import Saved
from geats_host.errors import Refused
from geats_host.inputs import configuration
from geats_host.linux import unit_files

FILE = Path("/etc/geats/geats.yaml")
# Of systemd, what it keeps: links for what is enabled, files for what is active.
SYSTEMCTL = """#!/bin/sh
echo "$@" >>{root}/told
wants={root}/etc/systemd/system/x.wants
mkdir -p "$wants" {root}/active
case $1 in
    enable) ln -s "../$2" "$wants/$2" ;;
    disable) rm "$wants/$2" ;;
    start) touch "{root}/active/$2" ;;
    stop) rm -f "{root}/active/$2" ;;
    show) cat {root}/shown ;;
    is-active) [ -e "{root}/active/$2" ] && echo active || {{ echo inactive; exit 3; }} ;;
esac
"""


def config(**policy: object) -> HostConfig:
    return parse_config({"policy": policy}).unwrap()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a systemd that does what it is told."""
    for folder in (units.RUNS, units.FOLDER, "bin"):
        (tmp_path / folder).mkdir(parents=True)
    program = tmp_path / "bin/systemctl"
    program.write_text(SYSTEMCTL.format(root=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


def texts(steps: tuple[units.Step, ...], root: Path) -> list[str]:
    return [str(each["do"]).replace(f"{root}/", "/") for each in units.report(steps)]


def test_the_steps_come_first_and_are_what_is_done(root: Path) -> None:
    steps = units.installing(config(), FILE, root=root)
    assert texts(steps, root) == [
        "write /etc/systemd/system/geats.service",
        "have systemd read its units",
        "enable geats.service",
        "start geats.service, which runs geats boot",
    ]
    assert not (root / units.FOLDER / unit_files.SERVICE).exists()
    units.carry_out(steps)
    assert (root / "told").read_text().splitlines() == [
        "is-active geats.service",
        "daemon-reload",
        "enable geats.service",
        "start geats.service",
    ]
    assert units.installing(config(), FILE, root=root) == ()


def test_a_change_is_written_and_nothing_is_started_again(root: Path) -> None:
    units.carry_out(units.installing(config(), FILE, root=root))
    again = units.installing(config(), Path("/srv/geats.yaml"), root=root)
    assert texts(again, root) == [
        "write /etc/systemd/system/geats.service",
        "have systemd read its units",
    ]
    assert again[0].reason == "it is not as it should be"


@pytest.mark.parametrize("what", ["exports", "snapshots"])
def test_the_timer_is_there_as_long_as_a_policy_says_how_many_stay(root: Path, what: str) -> None:
    units.carry_out(units.installing(config(**{what: {"last": 3}}), FILE, root=root))
    assert (root / f"active/geats-{what}.timer").exists()
    assert not (root / f"active/geats-{what}.service").exists()
    job = (root / units.FOLDER / f"geats-{what}.service").read_text()
    assert f"geats.yaml prune-{what}\n" in job
    less = units.installing(config(), FILE, root=root)
    assert texts(less, root) == [
        f"stop geats-{what}.timer",
        f"disable geats-{what}.timer",
        f"remove /etc/systemd/system/geats-{what}.service",
        f"remove /etc/systemd/system/geats-{what}.timer",
        "have systemd read its units",
    ]
    units.carry_out(less)
    assert units.installing(config(), FILE, root=root) == ()


def test_what_is_removed_leaves_nothing_and_stops_no_vm(root: Path) -> None:
    saved = Saved(root / "state/units.json", {"vms": {}})
    units.carry_out(units.installing(config(exports={"last": 3}), saved.path, saved, root))
    assert configuration.from_file(saved.path) == {"vms": {}}
    assert saved.path.stat().st_mode & 0o777 == 0o600
    (root / "told").unlink()
    units.carry_out(units.removing(saved, root))
    assert sorted(path.name for path in (root / units.FOLDER).iterdir()) == ["x.wants"]
    assert not saved.path.exists()
    assert "stop geats.service" not in (root / "told").read_text()
    assert units.removing(saved, root) == ()


def test_units_of_the_package_are_enabled_where_they_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they say is what would be written, unless the configuration is in another file."""
    argv = ["/usr/bin/geats"]
    monkeypatch.setattr(units, "command", lambda file: [*argv, *([f"{file}"] if file else [])])
    (root / units.PACKAGED).mkdir(parents=True)
    for name, text in unit_files.packaged().items():
        (root / units.PACKAGED / name).write_text(text)
    assert units.removing(root=root) == ()
    policy = {"exports": {"last": 3}}
    steps = units.installing(config(**policy), None, root=root)
    assert texts(steps, root) == [
        "enable geats.service",
        "enable geats-exports.timer",
        "start geats.service, which runs geats boot",
        "start geats-exports.timer",
    ]
    units.carry_out(steps)
    assert units.not_enabled(config(**policy).policy, root) == []
    assert texts(units.installing(config(), None, root=root), root) == [
        "stop geats-exports.timer",
        "disable geats-exports.timer",
        "have systemd read its units",
    ]
    assert texts(units.installing(config(), Path("/x"), root=root), root)[0:3] == [
        "stop geats-exports.timer",
        "disable geats-exports.timer",
        "write /etc/systemd/system/geats.service",
    ]
    units.carry_out(units.removing(root=root))
    assert sorted(each.name for each in (root / units.PACKAGED).iterdir()) == sorted(units.NAMES)
    assert units.removing(root=root) == ()


def test_units_that_do_not_do_what_they_are_for(root: Path) -> None:
    policy = config(exports={"last": 3}).policy
    names = ["geats.service", "geats-exports.timer"]
    assert units.not_enabled(policy, root) == names
    units.carry_out(units.installing(config(exports={"last": 3}), FILE, root=root))
    assert units.not_enabled(policy, root) == []
    gone = f"{root}/gone"
    argv = f"{gone} --config {gone}.yaml halt"
    runs = f"ExecStop={{ path={gone} ; argv[]={argv} ; ignore_errors=no }}"
    (root / "shown").write_text(f"ActiveState=failed\nNeedDaemonReload=yes\n{runs}\n")
    assert units.faults(config().policy) == [
        "geats.service is failed: only what is active does anything",
        "geats.service has changed, and systemd has not read it since",
        f"geats.service runs {gone}, which it cannot",
        f"geats.service reads {gone}.yaml, which it cannot",
    ]
    (root / "shown").write_text("ActiveState=active\nNeedDaemonReload=no\n")
    assert units.faults(policy) == []
    (root / "bin/systemctl").write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    assert units.faults(policy) == ["systemctl failed with exit code 1: no bus"]


def test_a_changed_configuration_of_salts_is_kept(root: Path) -> None:
    path = root / "units.json"
    for raw in ("one", "another"):
        steps = units.installing(config(), path, Saved(path, raw), root)
        assert texts(steps, root)[0] == "write /units.json, for root only"
        units.carry_out(steps)
    assert units.installing(config(), path, Saved(path, "another"), root) == ()


def test_a_unit_of_somebody_else_and_a_host_without_systemd_are_left_alone(root: Path) -> None:
    file = root / units.FOLDER / unit_files.SERVICE
    file.write_text("[Service]\nExecStart=/bin/true\n")
    theirs = r"geats\.service is there already, and geats did not"
    with pytest.raises(Refused, match=theirs):
        units.installing(config(), FILE, root=root)
    with pytest.raises(Refused, match=theirs):
        units.removing(root=root)
    file.unlink()
    (root / units.RUNS).rmdir()
    with pytest.raises(Refused, match="systemd is not the init here"):
        units.removing(root=root)


def test_what_runs_geats_is_the_program_beside_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/python3")
    monkeypatch.setattr(unit_files, "PACKAGED_PROGRAM", f"{tmp_path}/usr/bin/geats")
    config_option = ["--config", f"{FILE}"]
    assert units.command(FILE) == [
        f"{tmp_path}/python3",
        *("-m", "geats_host.cli.main"),
        *config_option,
    ]
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/geats").touch()
    assert units.command(FILE) == [f"{tmp_path}/usr/bin/geats", *config_option]
    (tmp_path / "geats").touch()
    assert units.command(FILE) == [f"{tmp_path}/geats", *config_option]
    assert units.command(None) == [f"{tmp_path}/geats"]


def test_words_are_quoted_as_systemd_reads_them() -> None:
    assert unit_files.quoted("/opt/geats") == "/opt/geats"
    assert unit_files.quoted('/a b/"50%"$x\\') == '"/a b/\\"50%%\\"$$x\\\\"'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    argv = ["/usr/bin/env", "a b%", "--config", "/x"]
    made = unit_files.units(argv, exports="daily", snapshots="daily")
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    paths = [f"{tmp_path}/{name}" for name in made]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
