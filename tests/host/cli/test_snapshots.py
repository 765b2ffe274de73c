"""The commands about snapshots: what they answer, and their exit codes."""

from tests.host.cli.conftest import Geats, answer


def test_a_snapshot_is_taken_listed_gone_back_to_and_given_up(geats: Geats) -> None:
    assert geats("start", "web01")[0] == 0
    assert "snapshot volume web01/root" in geats("snapshot", "web01", "monday", "--dry-run")[1]
    assert geats("snapshots", "web01") == (0, "There are no snapshots.\n", "")
    assert geats("snapshot", "web01", "monday")[0] == 0
    listed = answer(geats, "snapshots", "web01")
    assert isinstance(listed, list)
    assert [each["name"] for each in listed] == ["monday"]
    assert "monday" in geats("snapshots", "web01")[1]
    code, _, said = geats("restore", "web01", "monday")
    assert (code, "allow data loss" in said) == (2, True)
    assert geats("restore", "web01", "monday", "--allow-data-loss")[0] == 0
    assert geats("delete-snapshot", "web01", "monday")[0] == 0
    assert geats("delete-snapshot", "web01", "monday") == (
        2,
        "",
        "refused: web01.snapshot: unknown snapshot 'monday' (there is none)\n",
    )


def test_what_goes_by_the_rules_is_a_list_too(geats: Geats) -> None:
    assert geats("start", "web01")[0] == 0
    for name in ("2026-11-01-070000", "2026-11-02-070000"):
        assert geats("snapshot", "web01", name)[0] == 0
    prune = ("prune-snapshots", "--last", "1")
    as_csv = ("--format", "csv", "--columns", "vm,snapshot,volume")
    gone = ["vm,snapshot,volume", "web01,2026-11-01-070000,root"]
    assert geats(*prune, *as_csv, "--dry-run")[1].splitlines() == gone
    assert geats(*prune, *as_csv)[1].splitlines() == gone
    assert "2026-11-02-070000" in geats("snapshots", "web01", "--format", "csv")[1]
    assert geats(*prune, "--format", "table")[1] == "Every snapshot is kept.\n"
    assert geats(*prune, "--format", "json", "--dry-run")[1].startswith("{")
