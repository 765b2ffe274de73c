"""Plans on the command line: shown, kept in files, made elsewhere, and undone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from socket import gethostname

import pytest
import yaml

from geats_core import HostPlan, Step, saved
from geats_core.planning.actions import Pause
from geats_core.plans.plan_files import SavedPlan
from geats_host.cli import lists, plan_view, plans
from geats_host.drivers.memory import MemoryDriver, open_driver
from geats_host.errors import HostError
from geats_host.registry import Outcome
from geats_host.registry.sqlite import open_registry
from geats_host.step_listeners import Progress
from tests.host.cli.conftest import Geats, answer
from tests.memory_host import memory_config


def powers(geats: Geats) -> dict[str, str | None]:
    listed = answer(geats, "list")
    assert isinstance(listed, dict)
    return {name: row["power"] for name, row in listed.items()}


def change_config(config: Path, **change: object) -> None:
    raw = memory_config(config.parent) | change
    config.write_text(yaml.safe_dump({"geats": raw}))


def test_vms_that_nobody_declared_are_told_only_of_the_whole_host(
    geats: Geats, config: Path
) -> None:
    geats("apply", "db01")
    change_config(config, vms={"web01": {"profile": "small"}})
    code, out, _ = geats("plan")
    assert (code, "stray: db01 is running, its description is gone" in out) == (0, True)
    assert "stray" not in geats("plan", "web01")[1]
    assert "stray" in geats("apply")[1]
    assert powers(geats) == {"db01": "running", "web01": "running"}


def test_a_vm_whose_description_is_gone_is_left_alone_whatever_the_policy(
    geats: Geats, config: Path
) -> None:
    geats("apply", "db01")
    change_config(config, vms={"web01": {"profile": "small"}}, policy={"strays": "stop"})
    code, out, _ = geats("apply")
    assert (code, "db01: left alone, although the policy is to stop strays" in out) == (0, True)
    assert powers(geats) == {"db01": "running", "web01": "running"}


def test_a_vm_is_taken_away_by_its_name(geats: Geats, config: Path) -> None:
    geats("apply")
    small = {"web01": {"profile": "small"}}
    for end, power in (("stopped", "stopped"), ("undefined", None), ("deprovisioned", None)):
        change_config(config, vms=small, gone={"db01": end, "never": end})
        assert geats("apply")[0] == 0
        assert powers(geats).get("db01") == power
        assert geats("plan", "--exit-code")[0] == 0
    assert "db01" not in powers(geats)


def test_all_vms_are_powered_off_only_by_their_names_or_number(geats: Geats) -> None:
    geats("apply")
    code, _, err = geats("apply", "--to", "off")
    assert (code, "2 of 2 VMs would be off although nobody named them (" in err) == (2, True)
    assert set(powers(geats).values()) == {"running"}
    assert geats("apply", "--to", "off", "--at-most", "2")[0] == 0
    assert set(powers(geats).values()) == {"stopped"}
    geats("apply")
    assert geats("apply", "web01", "db01", "--to", "off")[0] == 0
    assert set(powers(geats).values()) == {"stopped"}


def test_a_plan_says_the_whole_first_and_the_steps_of_one_vm_or_if_asked(geats: Geats) -> None:
    whole = "+ db01   create, 7 steps\n+ web01  create, 7 steps\n2 to create\n"
    assert geats("plan")[1] == whole
    head, *steps = geats("plan", "web01")[1].splitlines()
    assert (head, steps[0].strip()) == (
        "+ web01  create, 7 steps",
        "1. define web01 because web01 is not defined (impact: none)",
    )
    lines = geats("plan", "-v")[1].splitlines()
    assert [line for line in lines if line[0] != " "] == whole.splitlines()
    assert {line.strip() for line in lines if line[0] == " "} == {
        *geats("plan", "--steps")[1].splitlines()[:-1]
    }


@pytest.mark.parametrize(
    ("form", "begins"),
    [("text", "1. define db01"), ("table", "| # |"), ("mermaid", "flowchart"), ("dot", "digraph")],
)
def test_a_plan_is_shown_in_each_form(geats: Geats, form: str, begins: str) -> None:
    code, out, err = geats("plan", "--steps", "--format", form)
    assert (code, err) == (0, "")
    assert out.startswith(begins)
    assert "start web01" in out


def test_a_plan_in_json_is_one_of_the_whole_host(geats: Geats) -> None:
    shown = json.loads(geats("plan", "--format", "json")[1])
    assert shown == answer(geats, "plan")
    assert set(shown) == {
        "impact",
        "steps",
        "vms",
        "strays",
        "text",
        "notes",
        "warnings",
        "refused",
    }
    assert set(shown["vms"]) == {"web01", "db01"}


def test_why_tells_all_about_the_steps_that_are_named(geats: Geats) -> None:
    code, out, _ = geats("why", "start web01", "web01")
    assert (code, "because web01 should be running" in out) == (0, True)
    assert geats("why", "fly web01")[0] == 2


def test_a_plan_dearer_than_allowed_is_refused(geats: Geats) -> None:
    geats("apply")
    code, _, err = geats("plan", "web01", "--to", "stopped", "--max-impact", "live")
    assert (code, "live is the most that is allowed" in err) == (2, True)


def test_with_restart_always_any_change_restarts(geats: Geats, config: Path) -> None:
    geats("apply", "web01")
    vm = {"profile": "small", "memory": "1GiB"}
    change_config(config, vms={"web01": vm})
    first = answer(geats, "plan", "web01", "--max-impact", "restart")
    assert isinstance(first, dict)
    always = answer(geats, "plan", "web01", "--restart", "always")
    assert isinstance(always, dict)
    assert [step["text"].split()[0] for step in always["steps"]][-1] == "start"


def test_a_failing_vm_is_told_and_the_others_come_to_their_goals(
    geats: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = MemoryDriver.start

    def fails(driver: MemoryDriver, name: str) -> None:
        if name == "db01":
            raise HostError("no init")
        start(driver, name)

    monkeypatch.setattr(MemoryDriver, "start", fails)
    code, out, err = geats("--json", "apply")
    report = json.loads(out)["vms"]
    assert code == 1
    assert err.startswith("could not start db01: no init\n")
    assert (report["db01"]["error"], report["web01"]["error"]) == ("no init", None)
    assert report["db01"]["failed"]["text"] == "start db01"
    assert powers(geats) == {"db01": "stopped", "web01": "running"}


def test_a_saved_plan_is_applied_once_and_then_refused_with_what_moved(
    geats: Geats, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    assert geats("plan", "--save", str(file))[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert powers(geats)["web01"] is None
    assert geats("apply", "--saved", str(file))[0] == 0
    assert powers(geats) == {"db01": "running", "web01": "running"}
    code, _, err = geats("apply", "--saved", str(file))
    assert (code, "refused: db01, web01: is new on the host: plan again" in err) == (2, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [(("web01",), "--saved cannot be combined"), (("--to", "off"), "--saved cannot be combined")],
)
def test_a_saved_plan_is_what_it_is(
    geats: Geats, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "plan.json"
    geats("plan", "--save", str(file))
    code, _, err = geats("apply", "--saved", str(file), *more)
    assert (code, said in err) == (2, True)


@pytest.mark.parametrize("text", ["", "{}", "[]", "\xff", '{"version": 1}'])
def test_what_is_no_plan_is_refused(geats: Geats, tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    for arguments in (("apply", "--saved"), ("reverse",), ("plan", "--from")):
        code, _, err = geats(*arguments, str(file))
        assert (code, err.startswith(f"refused: {file}")) == (2, True)


def test_a_plan_is_made_where_there_is_no_host(
    geats: Geats, call: Geats, config: Path, tmp_path: Path
) -> None:
    geats("apply", "db01")
    recording, elsewhere = tmp_path / "host.json", tmp_path / "elsewhere.yaml"
    recording.write_text(geats("observe")[1])
    raw = memory_config(tmp_path / "nowhere") | {
        "registry": "sqlite",
        "drivers": {"memory": {}},
        "pools": {"default": {"type": "directory", "path": str(tmp_path / "nowhere" / "pool")}},
    }
    elsewhere.write_text(yaml.safe_dump({"geats": raw}))
    here, there = geats("plan"), call("plan", "--from", str(recording), "--config", str(elsewhere))
    assert there == here
    assert there[1] == "+ web01  create, 7 steps\n"
    assert not (tmp_path / "nowhere").exists()


def test_a_plan_made_elsewhere_is_applied_on_the_host(geats: Geats, tmp_path: Path) -> None:
    recording, file = tmp_path / "host.json", tmp_path / "plan.json"
    recording.write_text(geats("observe")[1])
    assert geats("plan", "--from", str(recording), "--save", str(file))[0] == 0
    assert geats("apply", "--saved", str(file))[0] == 0
    assert powers(geats) == {"db01": "running", "web01": "running"}


def test_a_plan_is_undone_by_its_reverse(geats: Geats, tmp_path: Path) -> None:
    file, back = str(tmp_path / "plan.json"), str(tmp_path / "back.json")
    geats("apply", "db01")
    before = json.loads(geats("observe")[1])["observations"]
    geats("plan", "--save", file)
    geats("apply", "--saved", file)
    code, out, _ = geats("reverse", file, "--save", back)
    assert (code, "undefine web01" in out) == (0, True)
    assert geats("apply", "--saved", back)[0] == 0
    assert json.loads(geats("observe")[1])["observations"] == before


def test_with_a_snapshot_a_new_guest_can_be_taken_back(
    geats: Geats, config: Path, tmp_path: Path
) -> None:
    file, back = str(tmp_path / "plan.json"), str(tmp_path / "back.json")
    geats("apply")
    before = json.loads(geats("observe")[1])["observations"]
    change_config(config, vms={"web01": {"profile": "small", "hostname": "www"}})
    code, out, _ = geats("plan", "web01", "--snapshot", "--save", file, "--format", "table")
    assert (code, "snapshot volume web01/root as before-" in out) == (0, True)
    assert geats("apply", "--saved", file)[0] == 0
    assert "roll volume web01/root back" in geats("reverse", file, "--save", back)[1]
    assert geats("apply", "--saved", back)[0] == 0
    assert json.loads(geats("observe")[1])["observations"] == before


def test_boot_starts_what_is_to_start_and_halt_powers_all_off(geats: Geats, config: Path) -> None:
    vms = {"web01": {"profile": "small", "autostart": True}, "db01": {"profile": "small"}}
    change_config(config, vms=vms)
    geats("apply")
    assert "! db01   power off\n" in geats("halt", "--dry-run")[1]
    assert "shut down db01" in geats("halt", "--dry-run", "-v")[1]
    assert powers(geats) == {"db01": "running", "web01": "running"}
    assert geats("halt")[0] == 0
    assert powers(geats) == {"db01": "stopped", "web01": "stopped"}
    assert geats("boot")[0] == 0
    assert powers(geats) == {"db01": "stopped", "web01": "running"}
    assert geats("boot")[1] == "no VM is affected: nothing to do\n"


def test_all_that_is_there_is_powered_off_and_locked(geats: Geats) -> None:
    geats("start", "web01")
    for target, command in (("off", "stop"), ("locked", "lock")):
        assert geats("plan", "--to", target, "db01")[0] == geats(command, "db01")[0] == 2
        assert geats("apply", "--to", target)[0] == 0
    assert powers(geats) == {"db01": None, "web01": "stopped"}
    assert geats("deprovision", "web01")[0] == 2


@pytest.mark.parametrize("environment", [{}, {"PYTHONIOENCODING": "ascii"}])
@pytest.mark.parametrize("reads", [True, False])
def test_the_work_is_done_whoever_reads_of_it(
    environment: dict[str, str], reads: bool, tmp_path: Path, config: Path
) -> None:
    change_config(config, registry="sqlite")
    argv = [sys.executable, "-m", "geats_host.cli.main", "--config", str(config), "apply"]
    reader, writer = os.pipe()
    if not reads:
        os.close(reader)
    done = subprocess.run(
        argv, stdout=writer, stderr=subprocess.PIPE, env={**os.environ, **environment}, text=True
    )
    os.close(writer)
    if reads:
        os.close(reader)
    assert (done.returncode, done.stderr) == (0, "")
    last = open_registry({}, tmp_path / "state").journal("web01")[-1]
    assert (last.action, last.outcome) == ("start web01", Outcome.DONE)


def test_what_cannot_start_keeps_no_other_from_it(geats: Geats, config: Path) -> None:
    def auto(priority: int, **more: object) -> dict[str, object]:
        return {"profile": "small", "autostart": {"priority": priority}, **more}

    vms = {"a": auto(1, memory="1PiB"), "b": auto(2), "c": auto(3, template="old"), "d": auto(0)}
    change_config(config, vms=vms, templates={name: {"path": "/no"} for name in ("debian", "old")})
    for name in vms:
        assert geats("provision", name)[0] == 0
    change_config(config, vms=vms)
    code, out, _ = geats("boot", "--dry-run", "-v")
    assert (code, "start b" in out, "refused: memory: a (1PiB) would" in out) == (2, True, True)
    assert geats("boot")[0] == 2
    assert powers(geats) == {"a": "stopped", "b": "running", "c": "stopped", "d": "running"}
    refused = json.loads(geats("--json", "boot")[1])["refused"]
    assert {name: why[0]["path"] for name, why in refused.items()} == {
        "a": "memory",
        "c": "c.template",
    }
    code, out, _ = geats("boot")
    assert (code, "nothing to do" in out) == (2, False)
    assert geats("halt")[0] == 0


@pytest.mark.parametrize("command", [("shutdown", "web01"), ("reboot", "web01"), ("halt",)])
def test_a_guest_that_had_to_be_powered_off_is_told(
    geats: Geats, config: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    note = "it did not shut down within 60 s, and was powered off"
    change_config(config, registry="sqlite")
    assert geats("start", "web01")[0] == 0
    open_driver({}, tmp_path / "state").deaf.add("web01")
    code, out, _ = geats(*command)
    assert (code, note in " ".join(out.split())) == (4, True)
    journal = open_registry({}, tmp_path / "state").journal("web01")
    told = [(each.action.split()[0], each.outcome, each.detail) for each in journal if each.detail]
    assert ("shut", Outcome.DONE, note) in told
    assert geats("start", "web01")[0] == 0
    code, out, _ = geats("--json", *command)
    assert (code, json.loads(out)["vms"]["web01"]["notes"]) == (4, [f"web01: {note}"])


def test_an_address_is_shown_as_it_is_and_not_as_a_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lists.show_table(["mac"], [{"mac": "02:ab:ab:cd:00:01"}])
    assert "02:ab:ab:cd:00:01" in capsys.readouterr().out


def test_a_plan_can_be_a_page(geats: Geats) -> None:
    code, out, err = geats("plan", "--format", "html")
    assert (code, err) == (0, "")
    assert f"<h1>Plan for {gethostname()}, " in out
    assert out.count('<li id="step-') == len(json.loads(geats("plan", "--json")[1])["steps"])


@pytest.mark.parametrize(("most", "more"), [(20, ""), (1, "left: 4 more\n")])
def test_an_interruption_says_what_is_done_and_what_is_left(
    geats: Geats, monkeypatch: pytest.MonkeyPatch, most: int, more: str
) -> None:
    def interrupted(_: object, made: SavedPlan, progress: Progress) -> None:
        for step in made.plan.steps[:2]:
            progress(step, Outcome.DONE, "")
        raise KeyboardInterrupt

    monkeypatch.setattr(plans, "apply_plan", interrupted)
    monkeypatch.setattr(plan_view, "MOST_LEFT", most)
    code, out, _ = geats("apply", "web01")
    assert code == 130
    told = out.partition("interrupted: ")[2]
    assert told.startswith(
        "2 of 7 steps are done\nleft: 3. format volume web01/root in pool default\n"
    )
    assert told.endswith("what is done stays; the same command does the rest\n")
    assert told.count("left: ") == (5 if not more else 2)
    assert more in told


def test_programs_are_told_what_an_interruption_left(
    geats: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object, made: SavedPlan, progress: Progress) -> None:
        progress(made.plan.steps[0], Outcome.INTENT, "")
        progress(made.plan.steps[0], Outcome.DONE, "")
        progress(made.plan.steps[1], Outcome.INTENT, "")
        raise KeyboardInterrupt

    monkeypatch.setattr(plans, "apply_plan", interrupted)
    code, out, err = geats("--json", "apply", "web01")
    told = json.loads(out)["interrupted"]
    assert (code, err) == (130, "")
    assert [each["do"] for each in told["done"]] == ["Define"]
    assert [each["do"] for each in told["left"]][:2] == ["AllocateVolume", "FormatVolume"]


def test_whatever_is_interrupted_says_so(geats: Geats, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plans, "_plan", interrupted)
    assert geats("apply", "web01") == (130, "", "interrupted\n")
    code, out, err = geats("--json", "plan")
    assert (code, json.loads(out), err) == (130, {"interrupted": {"done": [], "left": []}}, "")


def test_of_steps_with_the_same_words_only_those_that_were_done_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, then = (
        Step(vm="", action=Pause(), reason=f"wave {number}", needs=needs)
        for number, needs in ((1, ()), (2, (0,)))
    )
    made = saved(HostPlan(steps=(first, then)), {})

    def apply() -> None:
        with plan_view.progress(made, quiet=False) as progress:
            progress(first, Outcome.DONE, "")
            raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        apply()

    out = capsys.readouterr().out
    assert "interrupted: 1 of 2 steps are done\nleft: 2. wait for the steps before\n" in out
