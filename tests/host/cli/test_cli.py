"""The command line: what it answers, and its exit codes."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
import yaml

from geats_core.declared.pillar_schema import pillar_schema
from geats_host.calls import inventory
from geats_host.cli.main import THEMES, cli
from geats_host.errors import HostError
from geats_host.inputs import configuration
from geats_host.inputs.configuration import DEFAULT_FILE
from geats_host.locks.operation_lock import operation_lock
from tests.host.cli.conftest import Geats, answer
from tests.memory_host import memory_config


def test_a_vm_is_planned_applied_and_then_rests(geats: Geats) -> None:
    assert geats("plan", "web01", "--exit-code")[0] == 3
    code, out, _ = geats("apply", "web01")
    assert (code, "start web01" in out) == (0, True)
    assert geats("plan", "web01", "--exit-code")[0] == 0
    assert geats("apply", "web01")[1] == "web01 is as described: nothing to do\n"


def test_without_names_every_declared_vm_is_meant(geats: Geats) -> None:
    assert geats("apply")[0] == 0
    listed = answer(geats, "list")
    assert isinstance(listed, dict)
    assert {name: row["power"] for name, row in listed.items()} == {
        "db01": "running",
        "web01": "running",
    }


def test_a_plan_is_shown_as_a_table_with_reasons_and_impacts(geats: Geats) -> None:
    code, out, _ = geats("plan", "web01")
    assert code == 0
    for word in ("because", "impact", "define web01", "web01 is not defined", "none"):
        assert word in out


def test_a_vm_that_is_wrong_is_told_where_it_is_meant_and_harms_no_other(
    geats: Geats, config: Path
) -> None:
    assert geats("start", "web01")[0] == 0
    assert geats("start", "db01")[0] == 0
    raw = yaml.safe_load(config.read_text())
    raw["geats"]["vms"]["db01"] = 5
    config.write_text(yaml.safe_dump(raw))
    said = "db01: a VM must be a mapping, got 5"
    assert geats("list")[0] == 0
    assert geats("stop", "web01")[0] == 0
    assert geats("stop", "db01")[0] == 0
    assert geats("apply", "web01")[0] == 0
    for command in ("apply", "apply db01", "plan --to defined db01", "reinit db01"):
        assert geats(*command.split()) == (2, "", f"refused: {said}\n"), command
    assert geats("validate") == (2, f"{said}\n", "")


def test_a_refusal_exits_with_2_and_says_why(geats: Geats) -> None:
    code, out, err = geats("start", "web1")
    assert (code, out) == (2, "")
    assert (
        err == "refused: name: unknown VM 'web1', did you mean 'web01'? (there is: db01, web01)\n"
    )


def test_the_problems_of_all_vms_are_told_at_once_and_none_is_applied(geats: Geats) -> None:
    code, _, err = geats("apply", "web1", "web01", "db1")
    assert (code, len(err.splitlines())) == (2, 2)
    listed = answer(geats, "list")
    assert isinstance(listed, dict)
    assert not any(row["defined"] for row in listed.values())


def test_an_operation_on_one_vm_keeps_a_plan_for_several_from_being_applied(
    geats: Geats, tmp_path: Path
) -> None:
    with operation_lock(tmp_path / "run", "db01"):
        code, out, err = geats("--json", "apply", "db01", "web01")
    assert (code, err) == (6, "")
    (refused,) = json.loads(out)["refused"]
    assert (refused["code"], refused["path"]) == ("busy", "db01")
    assert refused["message"].startswith("another operation is under way")
    assert geats("apply", "web01")[0] == 0


def test_bad_usage_exits_with_2(geats: Geats) -> None:
    assert geats("plan", "--to", "nowhere")[0] == 2
    assert geats("fly", "web01")[0] == 2


def test_a_locked_vm_is_not_deprovisioned(geats: Geats) -> None:
    geats("apply", "web01")
    assert geats("lock", "web01")[0] == 0
    code, _, err = geats("deprovision", "web01")
    assert (code, err) == (2, "refused: web01: is locked, and so cannot be deprovisioned\n")
    assert geats("unlock", "web01")[0] == 0
    assert geats("deprovision", "web01")[0] == 0


def test_a_dry_run_of_a_verb_changes_nothing(geats: Geats) -> None:
    before = answer(geats, "list")
    assert "start web01" in geats("start", "web01", "--dry-run")[1]
    assert answer(geats, "list") == before


def test_trouble_with_the_host_exits_with_1(geats: Geats) -> None:
    geats("apply", "web01")
    assert geats("console", "web01")[:2] == (1, "")


def test_every_report_has_a_table_and_json(geats: Geats) -> None:
    geats("apply", "web01")
    for command in (["list"], ["info", "web01"], ["status"], ["journal", "web01"], ["validate"]):
        code, out, err = geats(*command)
        assert (code, err) == (0, "")
        assert out.strip()
        assert answer(geats, *command)


def test_sizes_and_load_are_told_as_people_read_them(
    geats: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.getloadavg", lambda: (0.123456, 2.0, 1.239))
    told = [line.split() for line in geats("status")[1].splitlines()]
    assert ["load", "0.12,", "2.0,", "1.24"] in told
    assert [line[0] for line in told if line[-1].endswith("B") and "." in line[0]] == [
        "memory.total",
        "memory.available",
        "memory.used",
        "swap.total",
        "swap.used",
    ]


def test_invalid_vms_are_listed_and_exit_with_2(geats: Geats, config: Path, tmp_path: Path) -> None:
    raw = memory_config(tmp_path) | {"vms": {"bad": {"memory": 0, "colour": "red"}}}
    config.write_text(yaml.safe_dump({"geats": raw}))
    code, out, _ = geats("validate")
    assert code == 2
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        "bad.template",
        "bad.memory",
        "bad.colour",
    ]


def test_a_wrong_key_stops_what_plans_and_nothing_else(
    geats: Geats, config: Path, tmp_path: Path
) -> None:
    auto = {"web01": {"profile": "small", "autostart": True}}
    config.write_text(yaml.safe_dump({"geats": {**memory_config(tmp_path), "vms": auto}}))
    assert geats("apply")[0] == 0
    wrong = {**memory_config(tmp_path), "vms": auto, "polciy": {}}
    config.write_text(yaml.safe_dump({"geats": wrong}))
    going_on = (["stop", "web01"], ["boot"], ["shutdown", "web01"], ["boot"], ["halt"])
    looking = (["list"], ["info", "web01"], ["status"], ["journal", "web01"], ["--json", "list"])
    for command in (*going_on, *looking):
        code, _, err = geats(*command)
        assert code == 5
        assert err.startswith("warning: geats.polciy: unknown key 'polciy', did you mean 'policy'?")
        assert err.count("\n") == 1
    assert json.loads(geats("--json", "list")[1])["web01"]["power"] == "stopped"
    for refused in (
        ["plan"],
        ["apply"],
        ["start", "web01"],
        ["deprovision", "web01"],
        ["unlock", "a"],
    ):
        code, _, err = geats(*refused)
        assert (code, err.startswith("refused: geats.polciy: unknown key")) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("geats: [", "is not valid YAML"),
        ("- x", "must have one key, geats"),
        ("geats: 5", "geats: must be a mapping, got 5"),
    ],
)
def test_a_wrong_file_is_refused(geats: Geats, config: Path, text: str, said: str) -> None:
    config.write_text(text)
    code, _, err = geats("list")
    assert code == 2
    assert said in err


def test_a_missing_file_is_refused(geats: Geats, config: Path) -> None:
    config.unlink()
    code, _, err = geats("list")
    assert (code, err) == (2, f"refused: {config}: does not exist\n")


def test_version_imports_neither_lxc_nor_salt() -> None:
    code = (
        "import sys; sys.argv = ['geats', '--version']; from geats_host.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'lxc', 'salt', '_lxc'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_json_and_the_configuration_may_be_said_after_the_command(
    call: Geats, config: Path
) -> None:
    code, out, _ = call("list", "--json", "--config", str(config))
    assert (code, json.loads(out)["web01"]["power"]) == (0, None)


def test_refusals_and_trouble_are_json_for_programs(geats: Geats) -> None:
    code, out, err = geats("plan", "web1", "--json")
    assert (code, err) == (2, "")
    message = "unknown VM 'web1', did you mean 'web01'? (there is: db01, web01)"
    assert json.loads(out) == {"refused": [{"code": "unknown", "path": "name", "message": message}]}
    geats("apply", "web01")
    code, out, err = geats("--json", "console", "web01")
    (failed,) = json.loads(out)["failed"]
    assert (code, failed["code"], err) == (1, "host", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--json", "nowhere"), "No such command 'nowhere'."),
        (
            ("plan", "--to", "nowhere", "--json"),
            "Invalid value for '--to': 'nowhere' is not one of",
        ),
        (("start", "--json"), "name one VM or several, or give --all or --group"),
        (("info", "--json"), "Missing argument 'NAME'."),
    ],
)
def test_what_is_wrong_with_a_command_line_is_json_for_programs(
    call: Geats, words: tuple[str, ...], message: str
) -> None:
    code, out, err = call(*words)
    (refused,) = json.loads(out)["refused"]
    assert (code, refused["code"], refused["path"], err) == (2, "usage", "", "")
    assert refused["message"].startswith(message)


def test_a_locked_vm_is_refused_with_a_code_of_its_own(geats: Geats) -> None:
    geats("start", "web01")
    geats("lock", "web01")
    code, out, _ = geats("--json", "undefine", "web01")
    assert (code, [each["code"] for each in json.loads(out)["refused"]]) == (2, ["locked"])


def test_each_command_is_in_the_module_where_it_is_looked_for() -> None:
    said: dict[str, list[str]] = {}
    for modules in THEMES.values():
        for module, names in modules.items():
            said.setdefault(module, []).extend(names)
    there = {
        module: sorted(each.name for each in import_module(f"geats_host.cli.{module}").COMMANDS)
        for module in said
    }
    assert {module: sorted(names) for module, names in said.items()} == there


def test_the_version_and_the_names_of_commands_are_told_without_what_commands_stand_on() -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "geats_host.cli.main", "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"(geats_(?:core|host)\S*)$", done.stderr, re.MULTILINE))
    installed = {"geats_host.plugins", "geats_host.plugins.installed"}  # which looks at one folder
    assert loaded == {"geats_host", "geats_host.cli", "geats_host.cli.commands", *installed}


def test_the_help_names_the_file_that_is_read_by_default(call: Geats) -> None:
    assert f"(default: {DEFAULT_FILE})" in " ".join(call("list", "--help")[1].split())


def test_every_option_of_every_command_says_what_it_does() -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)


def test_validate_shows_the_problems_of_vms_beside_those_of_the_configuration(
    geats: Geats, config: Path, tmp_path: Path
) -> None:
    raw = memory_config(tmp_path)
    raw |= {"pols": {}, "vms": {"bad": {"template": "debian", "memory": 0}, "good": {}}}
    config.write_text(yaml.safe_dump({"geats": raw}))
    code, out, _ = geats("validate")
    assert (code, [line.partition(":")[0] for line in out.splitlines()]) == (
        2,
        ["geats.pols", "bad.memory", "good.template"],
    )
    raw |= {"vms": 5}
    config.write_text(yaml.safe_dump({"geats": raw}))
    assert geats("validate")[0] == 2


def test_validate_sees_what_two_vms_cannot_both_have(
    geats: Geats, config: Path, tmp_path: Path
) -> None:
    raw = memory_config(tmp_path)
    vm = {"driver": "memory", "template": "debian"}
    nic = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}
    raw |= {"vms": {"a": vm | {"nics": [nic]}, "b": vm | {"nics": [nic]}}}
    config.write_text(yaml.safe_dump({"geats": raw}))
    code, out, _ = geats("validate")
    assert (code, "10.0.0.2" in out) == (2, True)


def test_the_list_says_how_much_is_pending(geats: Geats, config: Path, tmp_path: Path) -> None:
    geats("apply", "web01")
    raw = memory_config(tmp_path)
    raw["profiles"] = {"small": {"driver": "memory", "template": "debian", "hostname": "www"}}
    config.write_text(yaml.safe_dump({"geats": raw}))
    assert geats("apply", "web01", "--restart", "never")[0] == 0
    listed = answer(geats, "list")
    assert isinstance(listed, dict)
    assert (listed["web01"]["pending"], listed["db01"]["pending"]) == (1, 0)


def test_without_a_configuration_that_is_said(
    call: Geats, geats: Geats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "DEFAULT_FILE", tmp_path / "default.yaml")
    recording = tmp_path / "host.json"
    recording.write_text(geats("observe")[1])
    code, out, err = call("plan", "--from", str(recording))
    assert (code, out) == (0, "no VM is affected: nothing to do\n")
    said = f"{tmp_path}/default.yaml does not exist: 'geats init' writes one"
    assert err == f"there is no configuration: {said}\n"


def test_who_only_looks_leaves_no_trace(geats: Geats, config: Path, tmp_path: Path) -> None:
    raw = memory_config(tmp_path) | {
        "registry": "sqlite",
        "drivers": {"memory": {}, "lxc": {"path": str(tmp_path / "state" / "lxc")}},
        "pools": {"default": {"type": "directory", "path": str(tmp_path / "state" / "volumes")}},
    }
    config.write_text(yaml.safe_dump({"geats": raw}))
    for command in ("list", "status", "validate", "plan", "observe"):
        geats(command)
        assert [path.name for path in tmp_path.iterdir()] == ["geats.yaml"], command


def test_the_doctor_tells_what_is_wrong_and_how_to_mend_it(geats: Geats, config: Path) -> None:
    raw = yaml.safe_load(config.read_text())
    raw["geats"]["pools"]["more"] = {"type": "director"}
    config.write_text(yaml.safe_dump(raw))
    code, out, _ = geats("doctor")
    assert (code, "director" in out) == (1, True)
    found = json.loads(geats("--json", "doctor")[1])
    assert [*found[0]] == ["what", "health", "found", "fix"]
    assert "director" in found[-1]["found"]


def test_the_schema_needs_no_configuration(call: Geats) -> None:
    code, out, err = call("schema")
    assert (code, json.loads(out), err) == (0, pillar_schema(), "")


def test_files_of_the_first_geats_become_a_configuration(call: Geats, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay/debian.tar.gz"
    overlay.parent.mkdir()
    overlay.touch()
    conf, vm = tmp_path / "geats.conf", tmp_path / "web.yaml"
    conf.write_text(f"[vms]\n[[lxc]]\ntemplate_path = {tmp_path}\n")
    vm.write_text("{name: web, template: debian, ram: 256, description: 'a\\nb'}")
    code, out, err = call("import-legacy", str(conf), str(vm))
    assert (code, err) == (0, "")
    assert yaml.safe_load(out) == {
        "geats": {
            "templates": {"debian": {"path": f"{tmp_path}/debian.tar.gz", "overlay": str(overlay)}},
            "vms": {
                "web": {
                    "template": "debian",
                    "privileged": True,
                    "memory": "256MiB",
                    "description": "a\\nb",
                }
            },
        }
    }
    told = f"# {vm}: description: is vms.web.description\n"
    assert (told in out, f"# {vm}: ram: is vms.web.memory\n" in out) == (True, True)


def test_every_file_of_the_first_geats_that_cannot_be_read_is_told(
    call: Geats, tmp_path: Path
) -> None:
    wrong = {"a.yaml": b"[", "b.yaml": b"[]", "c.yaml": b"{}", "d.conf": b"[a", "e.conf": b"\xff"}
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
    files = [str(tmp_path / name) for name in (*wrong, "f.conf")]
    code, out, err = call("import-legacy", *files)
    assert (code, err, [*yaml.safe_load(out)["geats"]["vms"]]) == (2, "", ["c"])
    told = [line.removeprefix("# still wrong: ") for line in out.splitlines() if "still" in line]
    assert told[1:] == [
        f"{files[1]}: must be the definition of a VM, got a list",
        f"{files[3]}:1: must be [section], key = value or # comment, got '[a'",
        f"{files[4]}: is not text",
        f"{files[5]}: No such file or directory",
    ]


def test_pools_volumes_drivers_strays_and_what_is_pending_are_shown(
    geats: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    geats("apply")
    for command, said in (
        ("pools", "default"),
        ("volumes", "web01"),
        ("drivers", "memory"),
        ("strays", "no strays"),
        ("pending", "nothing is pending"),
    ):
        code, out, err = geats(command)
        assert (code, said in out, err) == (0, True, ""), command
    drivers = {"memory": {"vms": ["db01", "web01"], "bridges": None, "problem": None}}
    assert (answer(geats, "drivers"), answer(geats, "strays")) == (drivers, {})


def test_the_journal_says_who_called(geats: Geats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    geats("start", "web01")
    entries = answer(geats, "journal", "web01")
    assert isinstance(entries, list)
    assert {entry["origin"] for entry in entries} == {"geats, called by ada"}


def test_containers_of_lxc_become_a_configuration(call: Geats, tmp_path: Path) -> None:
    config = tmp_path / "web/config"
    config.parent.mkdir()
    config.write_text("lxc.rootfs.path = dir:/srv/web\nlxc.hook.start = /bin/true\n")
    code, out, err = call("import-lxc", str(config))
    assert (code, err) == (0, "")
    assert yaml.safe_load(out) == {
        "geats": {
            "templates": {"web-root": {"path": "/srv/web"}},
            "vms": {
                "web": {
                    "privileged": True,
                    "includes": [],
                    "hooks": {"start": ["/bin/true"]},
                    "template": "web-root",
                }
            },
        }
    }
    assert f"# {config}: lxc.hook.start: is vms.web.hooks.start" in out
    assert call("import-lxc", str(tmp_path / "x"))[0] == 2


def test_domains_of_libvirt_become_a_configuration(call: Geats, tmp_path: Path) -> None:
    disk, file = tmp_path / "disk.raw", tmp_path / "web.xml"
    disk.write_bytes(bytes(8 << 20))
    file.write_text(
        "<domain type='kvm'><name>web</name><memory unit='GiB'>1</memory><devices>"
        f"<disk type='file'><driver type='raw'/><source file='{disk}'/>"
        "<target dev='vda' bus='virtio'/></disk><sound model='ich9'/></devices></domain>"
    )
    code, out, err = call("import-libvirt", str(file))
    assert (code, err) == (0, "")
    geats = yaml.safe_load(out)["geats"]
    assert geats["templates"] == {"web-root": {"disk": {"path": str(disk), "format": "raw"}}}
    assert geats["vms"]["web"]["volumes"] == [{"name": "root", "size": "8MiB"}]
    assert f"# {file}: devices/sound: left out: has no key: hardware.xml can say it" in out
    assert call("import-libvirt", str(tmp_path / "x"))[0] == 2


def test_guests_of_proxmox_become_a_configuration(call: Geats, tmp_path: Path) -> None:
    file, storages = tmp_path / "100.conf", tmp_path / "storage.cfg"
    file.write_text("memory: 512\nname: web\nscsi0: a:vm-100-disk-0\n")
    storages.write_text("lvm: a\n\tvgname pve\n")
    code, out, err = call("import-proxmox", "--storage", f"{storages}", f"{file}")
    assert (code, err) == (0, "")
    assert yaml.safe_load(out)["geats"]["templates"] == {
        "web-root": {"disk": {"path": "/dev/pve/vm-100-disk-0", "format": "raw"}}
    }
    assert f"# {file}: scsi0.file: is templates.web-root.disk.path" in out
    assert call("import-proxmox", f"{file}")[0] == 2
    assert call("import-proxmox", f"{tmp_path}/x")[0] == 2


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("import-libvirt", "<domain type='xen'><name>web</name></domain>"),
        ("import-lxc", "lxc.net.0.type = macvlan\nlxc.rootfs.path = dir:/srv/web\n"),
        ("import-lxc", "arch: amd64\nrootfs: local:subvol\n"),
        ("import-legacy", "{name: web, template: debian, ram: none}"),
    ],
)
def test_what_is_still_wrong_after_an_import_is_no_success(
    call: Geats, tmp_path: Path, command: str, text: str
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(text)
    code, out, err = call(command, str(file))
    assert (code, err) == (2, "")
    assert "# still wrong: " in out


def test_who_is_not_root_is_told_that_geats_has_to_be(
    geats: Geats, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def denied(*_: object) -> None:
        raise HostError("registry.sqlite: permission denied")

    monkeypatch.setattr(inventory, "list_report", denied)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    why = "registry.sqlite: permission denied (you are not root, and geats has to be: try sudo)"
    assert geats("list") == (1, "", f"failed: {why}\n")


def test_what_is_shown_to_people_has_no_words_of_python(
    geats: Geats, config: Path, tmp_path: Path
) -> None:
    """Enums, dataclasses, tuples, and what Python calls nothing, yes and no."""
    web: dict[str, object] = {
        "profile": "small",
        "autostart": True,
        "nics": [{"name": "eth0", "bridge": "br0"}],
        "volumes": [{"name": "root", "size": "1GiB"}, {"name": "data", "mount": "/data"}],
        "binds": {"logs": {"source": "/srv", "mount": "/logs"}},
        "metadata": {"ROLE": "web"},
    }
    changed: dict[str, object] = {
        "profile": "small",
        "cpus": 1.5,
        "privileged": True,
        "transient": True,
        "after": ["db01"],
        "dns": {"nameservers": ["10.0.0.1"], "search": ["x.y"]},
        "nics": [{"name": "eth0", "bridge": "br1", "addresses": ["10.0.0.3/24", "fd00::3/64"]}],
        "volumes": [{"name": "root"}, {"name": "data", "mount": "/dat", "read_only": True}],
    }
    shown: list[tuple[int, str, str]] = []
    for described in (web, changed):
        host = memory_config(tmp_path) | {"bind_sources": ["/srv"]}
        vms = {"web01": described, "db01": {"profile": "small"}}
        config.write_text(yaml.safe_dump({"geats": host | {"vms": vms}}))
        shown += [
            geats("plan", "--restart", "never"),
            geats("plan"),
            geats("plan", "--format", "dot"),
        ]
        shown += [geats("apply", "--restart", "never")]
    for command in ("list", "status", "pending", "pools", "volumes", "drivers", "strays", "doctor"):
        shown.append(geats(command))
    shown += [geats("info", "web01"), geats("journal", "web01"), geats("snapshots", "web01")]
    text = "".join(out + err for _, out, err in shown)
    assert "autostart changed {enabled: yes, priority: 0, delay: 0} → {enabled: no" in " ".join(
        text.split()
    )
    assert re.findall(r"\w*(?:<[A-Z]\w*|\b(?:True|False|None)\b|\w\(\w+=|\('|\['|\{')", text) == []
