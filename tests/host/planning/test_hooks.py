"""Programs of this host that VMs run: there, programs, and root's alone."""

from pathlib import Path

from geats_core.declared.config import parse_config
from geats_core.vm.parse import parse_vm
from geats_host.planning import allowed


def wrong(program: str, *directories: str, kind: str = "pre-start") -> list[str]:
    spec = parse_vm("web", {"template": "t", "hooks": {kind: program}}).unwrap()
    config = parse_config({"hook_directories": [*directories]}).unwrap()
    return [each.message for each in allowed.problems(spec, config)]


def test_only_programs_that_are_roots_alone_run_on_the_host(tmp_path: Path) -> None:
    hooks, outside = tmp_path / "hooks", tmp_path / "outside"
    hooks.mkdir()
    program, mine = f"{hooks}/nas", Path(hooks, "nas")
    assert wrong(program, f"{hooks}") == [f"'{program}' cannot be run: No such file or directory"]
    mine.touch(0o644)
    assert wrong(program, f"{hooks}") == [f"'{program}' is no program"]
    mine.chmod(0o755)
    assert wrong(program, f"{hooks}") == []
    assert wrong(program) == [
        f"'{program}' is not within what hook_directories allows (there is none)"
    ]
    assert wrong("/in/the/guest", kind="start") == []
    assert wrong(f"{outside}/secret", f"{hooks}") == [  # which says nothing of what is there
        f"'{outside}/secret' is not within what hook_directories allows ({hooks})"
    ]
    mine.chmod(0o775)
    assert wrong(program, f"{hooks}") == [
        f"'{program}' is not safe: others than root can write '{program}'"
    ]
    outside.touch(0o755)
    outside.chmod(0o755)
    mine.unlink()
    mine.symlink_to(outside)
    links = "links below hook_directories are not followed"
    assert wrong(program, f"{hooks}") == [f"'{program}' leads to '{outside}': {links}"]


def test_a_link_that_others_could_exchange_is_not_followed(tmp_path: Path) -> None:
    good, theirs = tmp_path / "good", tmp_path / "theirs"
    good.touch(0o755)
    good.chmod(0o755)
    theirs.mkdir()
    theirs.chmod(0o777)
    link = theirs / "link"
    link.symlink_to(good)
    links = "links below hook_directories are not followed"
    assert wrong(f"{link}", f"{tmp_path}") == [f"'{link}' leads to '{good}': {links}"]
    whole = tmp_path.parent / f"{tmp_path.name}-link"
    whole.symlink_to(tmp_path)
    assert wrong(f"{whole}/good", f"{whole}") == []
    whole.unlink()
