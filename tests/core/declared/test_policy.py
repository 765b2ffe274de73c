"""The policy of a host, as it is written."""

from returns.result import Failure, Success

from geats_core import HostConfig, HostPolicy, Problem, Strays, parse_config
from geats_core.declared.keep import Keep
from geats_core.declared.policy import AtOnce, JournalBounds, parse_policy


def test_an_empty_policy_is_all_defaults() -> None:
    assert parse_policy("policy", {}) == Success(HostPolicy())


def test_a_whole_policy_is_read() -> None:
    raw = {
        "overcommit": {"memory": 1.2, "cpus": "4", "disk": "0.9"},
        "strays": {"tmp-*": "stop", "*": "ignore"},
        "at_most": 3,
        "at_once": "50%",
        "by": "profile",
        "journal": {"days": 30, "entries": "5000"},
        "exports": {"last": 3},
        "snapshots": {"daily": 7},
    }
    want = HostPolicy(
        memory_overcommit=1.2,
        cpu_overcommit=4.0,
        disk_overcommit=0.9,
        strays=(("tmp-*", Strays.STOP), ("*", Strays.IGNORE)),
        at_most=3,
        at_once=AtOnce(50, is_percentage=True),
        journal=JournalBounds(days=30, entries=5_000),
        exports=Keep(last=3),
        snapshots=Keep(daily=7),
    )

    assert parse_policy("policy", raw) == Success(want)
    assert parse_config({"policy": raw}) == Success(HostConfig(policy=want))


def test_one_factor_leaves_the_others_as_they_are() -> None:
    assert parse_policy("policy", {"overcommit": {"cpus": 2}}) == Success(
        HostPolicy(cpu_overcommit=2.0)
    )


def test_one_word_is_for_every_stray() -> None:
    assert parse_policy("policy", {"strays": "stop"}) == Success(
        HostPolicy(strays=(("*", Strays.STOP),))
    )


def test_every_mistake_in_a_policy_is_reported() -> None:
    raw = {
        "overcommit": {"memory": 0, "cpus": True, "disk": float("nan"), "swap": 1},
        "strays": {"tmp-*": "kill", ("a",): "stop", "ok": "stop"},
        "at_most": -1,
        "at_once": "0%",
        "by": "name",
        "journal": {"days": 0, "entries": 1},
        "exports": {},
        "stray": "stop",
    }
    factor = "must be a factor from 0.01 to 1000"

    assert parse_policy("policy", raw) == Failure(
        (
            Problem("policy.overcommit.memory", f"{factor}, got 0"),
            Problem("policy.overcommit.cpus", f"{factor}, got true"),
            Problem("policy.overcommit.disk", f"{factor}, got nan"),
            Problem("policy.overcommit.swap", "unknown key 'swap' (there is: cpus, disk, memory)"),
            Problem(
                "policy.strays.tmp-*",
                "unknown policy for strays 'kill' (there is: ignore, report, stop)",
            ),
            Problem("policy.strays.a list", "must be one line of printable text, got a list"),
            Problem("policy.at_most", "must be a whole number from 0 to 10000, got -1"),
            Problem(
                "policy.at_once", "must be a number of VMs from 1, or a part such as 50%, got '0%'"
            ),
            Problem("policy.by", "must be profile, or a label such as label:role, got 'name'"),
            Problem("policy.journal.days", "must be a whole number from 1 to 36500, got 0"),
            Problem(
                "policy.journal.entries", "must be a whole number from 100 to 100000000, got 1"
            ),
            Problem("policy.exports", "would keep no snapshot"),
            Problem(
                "policy.stray",
                "unknown key 'stray', did you mean 'strays'? (there is: at_most, at_once, by, "
                "claims, exports, host_network, journal, overcommit, raw_lines, snapshots, strays)",
            ),
        )
    )
    assert parse_policy("policy", {"strays": "kill"}) == Failure(
        (
            Problem(
                "policy.strays",
                "unknown policy for strays 'kill' (there is: ignore, report, stop)",
            ),
        )
    )


def test_the_first_pattern_that_matches_counts() -> None:
    policy = HostPolicy(strays=(("tmp-[0-9]", Strays.STOP), ("tmp-*", Strays.IGNORE)))

    found = [policy.on_stray(name) for name in ("tmp-1", "tmp-x", "TMP-1", "web")]
    assert found == [Strays.STOP, Strays.IGNORE, Strays.REPORT, Strays.REPORT]


def test_so_many_at_once_or_a_part_of_them() -> None:
    def of(raw: object) -> list[int]:
        policy = parse_policy("policy", {"at_once": raw}).unwrap()
        return [policy.at_once.of(vms) for vms in (1, 3, 8)] if policy.at_once else []

    assert of("2") == of(2) == [2, 2, 2]
    assert of("50%") == [1, 1, 4]
    assert of("100%") == [1, 3, 8]


def test_vms_of_a_label_may_stand_in_for_each_other() -> None:
    assert parse_policy("policy", {"by": "label:role"}) == Success(HostPolicy(by="label:role"))
    assert (HostPolicy(by="label:role").by_label, HostPolicy().by_label) == ("role", None)
    (wrong,) = parse_policy("policy", {"by": "label:a b"}).failure()
    assert str(wrong).startswith("policy.by: must be a label's name of up to 63 letters")
