"""Claims, new VMs, and hosts that are emptied or lost: the runner, on hosts in memory."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jinja2
import pytest
import yaml
from salt.exceptions import CommandExecutionError

from geats_core.fleet.claiming import Holder
from geats_host.errors import Refused
from geats_host.for_salt.claims import Claims, moving
from geats_host.for_salt.runners import asking
from tests import problems
from tests.memory_host import memory_host
from tests.salt_modules.masters import Master

REQUIRED = {"policy": {"claims": "required"}}
NIC = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.5/24"]}
VM = {"driver": "memory", "template": "debian", "nics": [NIC]}
VM_2 = {**VM, "nics": []}
KEYS = ["name-web01", "address-10.0.0.5"]


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def master(opts, tmp_path):
    """``a`` and ``b`` want the same address, each for a VM of its own; both need claims."""
    return of(opts, tmp_path, a={"vms": {"web01": VM}}, b={"vms": {"web02": VM}})


def of(opts, tmp_path, **hosts):
    return Master(opts, tmp_path, **{host: REQUIRED | change for host, change in hosts.items()})


def lines(report):
    return problems.lines(report["problems"])


def addresses(report):
    return [key for key in report["keys"] if not key.startswith("mac-")]


def test_of_two_hosts_with_one_address_only_one_gets_it(master):
    run = master.runner
    with pytest.raises(CommandExecutionError, match="does not hold name-web01"):
        master["a"]["geats.start"]("web01")
    assert run["geats.claim"]("web01", "a", test=True)["problems"] == []
    assert run["geats.claims"]()["claims"] == {}
    held = run["geats.claim"]("web01", "a")
    assert (addresses(held), master.events[0][0]) == (KEYS, "geats/claim")
    master["a"]["geats.start"]("web01")

    refused = run["geats.claim"]("web02", "b")
    assert lines(refused) == [
        "web02: address-10.0.0.5 is held by a for web01: `salt-run geats.release web01` gives it "
        "back"
    ]
    with pytest.raises(CommandExecutionError, match="does not hold"):
        master["b"]["geats.start"]("web02")
    [on] = lines(run["geats.release"]("web01"))
    assert "is on, so what it has stays its own" in on

    master["a"]["geats.stop"]("web01")
    assert run["geats.release"]("web01")["problems"] == []
    assert run["geats.claims"]()["claims"] == {}
    assert run["geats.claim"]("web02", "b")["problems"] == []
    master["b"]["geats.start"]("web02")


def test_a_claim_is_renewed_and_gives_back_what_is_not_needed(master):
    run = master.runner
    run["geats.claim"]("web01", "a")
    new = {**VM, "nics": [{**NIC, "addresses": ["10.0.0.7/24"]}]}
    master["a"].pack["__pillar__"]["geats"]["vms"]["web01"] = new
    assert run["geats.claim"]("web01", "a")["problems"] == []
    held = run["geats.claims"](host="a")["claims"]
    assert ("address-10.0.0.7" in held, "address-10.0.0.5" in held) == (True, False)


def test_a_vm_that_another_host_has_now_is_claimed_for_that_host(master):
    run = master.runner
    run["geats.claim"]("web01", "a")
    master["b"].pack["__pillar__"]["geats"]["vms"] = {"web01": VM}
    assert run["geats.claim"]("web01", "b", test=True)["problems"] == []
    assert {at["host"] for at in run["geats.claims"]()["claims"].values()} == {"a"}
    assert run["geats.claim"]("web01", "b")["problems"] == []
    assert {at["host"] for at in run["geats.claims"]()["claims"].values()} == {"b"}
    assert master["a"]["geats.claimed"]() == {}
    master["b"]["geats.start"]("web01")
    for test in (True, False):
        [on] = lines(run["geats.claim"]("web01", "a", test=test))
        assert "b: geats.claimed: web01: is on" in on


def test_a_claim_that_is_refused_changes_nothing(master):
    run = master.runner
    run["geats.claim"]("web01", "a")
    master["b"].pack["__pillar__"]["geats"]["vms"] = {"web01": VM_2, "web02": VM}
    assert run["geats.claim"]("web01", "b")["problems"] == []
    before = run["geats.claims"]()
    run["geats.claim"]("web02", "b")
    [refused] = lines(run["geats.claim"]("web01", "a"))
    assert "address-10.0.0.5 is held by b for web02" in refused
    held = run["geats.claims"]("web01")["claims"]
    assert held == before["claims"]
    assert "web01" in master["b"]["geats.claimed"]()


def test_a_new_vm_does_not_take_the_claims_of_another_host(master):
    run = master.runner
    run["geats.claim"]("web01", "a")
    for test in (True, False):
        refused = lines(run["geats.create"]("web01", VM_2, tgt="b", test=test))
        assert "web01: name-web01 is held by a for web01" in refused[0]
    assert "web01" in master["a"]["geats.claimed"]()


def test_a_source_that_cannot_be_told_that_it_lost_its_claims_is_a_problem(master, opts):
    run = master.runner
    run["geats.claim"]("web01", "a")
    ask = asking({"salt.execute": master.execute}, "list")
    with moving(Claims(opts), ask, "web01", "a", "b") as claims:
        master.silent = {"a"}
        [left] = claims.end("b")
    assert left == (
        "a would still start web01, until `salt a geats.claimed '{web01: []}'` is done: "
        "a: geats.claimed: did not answer"
    )
    assert {at["host"] for at in run["geats.claims"]()["claims"].values()} == {"b"}


def test_nothing_is_given_back_while_the_vm_is_about_to_start(master, tmp_path):
    run = master.runner
    run["geats.claim"]("web01", "a")
    with memory_host(tmp_path / "a").locks.operation("web01"):
        [busy] = lines(run["geats.release"]("web01"))
    assert "another operation is under way" in busy
    assert {at["host"] for at in run["geats.claims"]()["claims"].values()} == {"a"}


def test_what_a_vm_that_is_on_uses_stays_held_for_it(master):
    master.runner["geats.claim"]("web01", "a")
    master["a"]["geats.start"]("web01")
    before = master["a"]["geats.claimed"]()
    with pytest.raises(CommandExecutionError, match="is on, so what it has stays its own"):
        master["a"]["geats.claimed"]({"web01": ["name-web01"]})
    assert master["a"]["geats.claimed"]() == before


def test_a_move_that_only_has_to_start_the_vm_takes_the_claims_along(master, opts):
    run = master.runner
    run["geats.claim"]("web01", "a")
    ask = asking({"salt.execute": master.execute}, "list")
    for _ in range(2):  # it came in an earlier try, of which only the target is known
        with moving(Claims(opts), ask, "web01", "b", "b") as claims:
            assert claims.end("b") == []
        assert {at["host"] for at in run["geats.claims"]()["claims"].values()} == {"b"}
        assert master["a"]["geats.claimed"]() == {}
        assert "web01" in master["b"]["geats.claimed"]()


def test_a_claim_needs_a_host_that_knows_the_vm(master):
    assert lines(master.runner["geats.claim"]("web01", "c")) == ["c: is not there"]
    assert lines(master.runner["geats.claim"]("db09", "a")) == [
        "db09: is neither declared nor defined there"
    ]


def test_of_many_that_want_one_address_at_once_exactly_one_gets_it(opts):
    def asked(number):
        holder = Holder(vm=f"vm{number}", host=f"host{number % 2}")
        try:
            Claims(opts).claim(holder, ["address-10.0.0.5", f"name-vm{number}"])
        except Refused:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            assert sum(pool.map(asked, range(8))) == 1
            held = Claims(opts).of()
            assert len({holder.vm for holder in held.values()}) == 1
            [(vm, host)] = {(holder.vm, holder.host) for holder in held.values()}
            Claims(opts).release(Holder(vm=vm, host=host), [*held])


def test_a_vm_is_created_where_it_fits_and_told(opts, tmp_path):
    master = of(opts, tmp_path, a={"vms": {}, "drivers": {}}, b={"vms": {}})
    would = master.runner["geats.create"]("web01", VM, test=True)
    assert (would["host"], addresses(would), master.events) == ("b", KEYS, [])
    assert "web01" not in f"{master['b']['geats.list']()}"
    made = master.runner["geats.create"]("web01", VM)
    assert (made["host"], made["problems"]) == ("b", [])
    assert "running" in f"{master['b']['geats.list']()['web01']}"
    [(tag, data)] = master.events
    assert (tag, data["host"], data["spec"]) == ("geats/create", "b", VM)
    [again] = lines(master.runner["geats.create"]("web01", VM))
    assert again == "web01: is on b already"


def test_what_may_be_secret_is_in_no_event_and_no_list_of_exports(opts, tmp_path):
    master = of(opts, tmp_path, a={"vms": {}})
    secret = {**VM, "metadata": {"KEY": "s3cret"}, "environment": {"TOKEN": "s3cret"}}
    assert master.runner["geats.create"]("web01", secret)["problems"] == []
    [(_, data)] = master.events
    assert data["spec"] == {
        **VM,
        "metadata": {"KEY": "(hidden)"},
        "environment": {"TOKEN": "(hidden)"},
    }
    master["a"]["geats.export"]("web01")
    [export] = master["a"]["geats.exports"]()
    assert "s3cret" not in f"{export}"


def test_a_host_is_emptied_with_its_claims(opts, tmp_path):
    master = of(opts, tmp_path, a={"vms": {}}, b={"vms": {}})
    run = master.runner
    run["geats.create"]("web01", VM)
    source = next(iter(run["geats.find"]("web01")["hosts"]))
    target = "b" if source == "a" else "a"
    moves = run["geats.evacuate"](source, test=True)["moves"]
    assert [(move["vm"], move["target"]) for move in moves] == [("web01", target)]
    ran = []

    def migrate(name, to, of_, **_):
        ran.append((name, to, of_))
        return {"problems": [{"message": "the archive has 2 MiB"}]}

    run["geats.migrate"] = migrate
    failed = run["geats.evacuate"](source)
    assert (ran, failed["left"]) == (
        [("web01", target, source)],
        {"web01": ["the archive has 2 MiB"]},
    )
    assert failed["retcode"] == 1


def test_vms_of_a_lost_host_start_elsewhere_from_their_newest_export(opts, tmp_path):
    plain = {**VM, "metadata": {"KEY": "secret"}}
    master = of(opts, tmp_path, a={"vms": {"web01": plain, "db01": VM_2}}, b={"vms": {}})
    run = master.runner
    for vm in ("web01", "db01"):
        run["geats.claim"](vm, "a")
        master["a"]["geats.start"](vm)
    old, new = (master["a"]["geats.export"]("web01", verbose=True)["path"] for _ in range(2))
    folder = tmp_path / "b/state/exports"
    folder.mkdir(parents=True)
    (folder / "web01-2020-01-01-000000.geats.tar").write_bytes(Path(old).read_bytes())
    (folder / "web01-2030-01-01-000000.geats.tar").write_bytes(Path(new).read_bytes())
    assert "secret" not in f"{master['b']['geats.exports']()}"
    assert lines(run["geats.recover"]("a", fenced=True)) == [
        "a: answers, so it is not lost: `geats.evacuate` empties it"
    ]

    master.silent = {"a"}
    [said] = lines(run["geats.recover"]("a"))
    assert "say so only if a is off" in said
    would = run["geats.recover"]("a", fenced=True, test=True)
    assert would["recovered"]["web01"]["host"] == "b"
    assert "web01" not in master["b"]["geats.list"]()
    report = run["geats.recover"]("a", fenced=True)
    assert report["recovered"]["web01"]["archive"] == f"{folder}/web01-2030-01-01-000000.geats.tar"
    assert report["left"] == {"db01": "no host has an export of it"}
    assert "running" in f"{master['b']['geats.list']()['web01']}"
    assert {at["host"] for at in run["geats.claims"]("web01")["claims"].values()} == {"b"}
    again = run["geats.recover"]("a", fenced=True)
    assert [*again["left"]] == ["db01"]


def lost(opts, tmp_path):
    """Host ``a`` had web01, which was told to the others, and ``b`` can read its export."""
    master = of(opts, tmp_path, a={"vms": {"web01": VM_2}}, b={"vms": {}}, c={"vms": {}})
    master.runner["geats.claim"]("web01", "a")
    master["a"]["geats.start"]("web01")
    master.runner["geats.tell"]()
    made = Path(master["a"]["geats.export"]("web01", verbose=True)["path"])
    folder = tmp_path / "b/state/exports"
    folder.mkdir(parents=True)
    (folder / "web01-2030-01-01-000000.geats.tar").write_bytes(made.read_bytes())
    return master


def test_a_vm_that_a_silent_host_may_have_is_not_recovered(opts, tmp_path):
    master = lost(opts, tmp_path)
    run = master.runner
    master["a"]["geats.stop"]("web01")
    master["c"].pack["__pillar__"]["geats"]["vms"] = {"web01": VM_2}
    assert run["geats.claim"]("web01", "c")["problems"] == []  # it is on c since then
    master.silent = {"a", "c"}
    assert run["geats.recover"]("a", fenced=True)["left"] == {
        "web01": "c may have it, and was not heard"
    }
    Claims(opts).release(Holder(vm="web01", host="c"), [*Claims(opts).of()])
    report = run["geats.recover"]("a", fenced=True)  # nobody knows who has it
    assert report["left"] == {"web01": "c may have it, and was not heard"}
    assert lines(report) == [
        "c: did not answer",
        "web01: c may have it, and was not heard",
    ]
    assert "web01" not in master["b"]["geats.list"]()


def test_what_is_claimed_for_the_lost_host_is_recovered_whoever_is_silent(opts, tmp_path):
    master = lost(opts, tmp_path)
    master.silent = {"a", "c"}
    assert [*master.runner["geats.recover"]("a", fenced=True)["recovered"]] == ["web01"]


def test_a_host_that_answers_is_not_lost_whatever_it_says_and_whoever_was_asked(opts, tmp_path):
    master = lost(opts, tmp_path)
    said = ["a: answers, so it is not lost: `geats.evacuate` empties it"]
    assert lines(master.runner["geats.recover"]("a", fenced=True, tgt="b")) == said
    master["a"].pack["__pillar__"]["geats"]["pools"] = "wrong"
    assert lines(master.runner["geats.recover"]("a", fenced=True)) == said


def test_nothing_is_imported_whose_address_another_vm_has_by_now(opts, tmp_path):
    master = lost(opts, tmp_path)
    Claims(opts).release(Holder(vm="web01", host="a"), ["name-web01"])
    Claims(opts).claim(Holder(vm="WEB01", host="c"), ["name-web01"])
    master.silent = {"a"}
    [why] = master.runner["geats.recover"]("a", fenced=True)["left"].values()
    assert "name-web01 is held by c for WEB01" in why
    assert "web01" not in master["b"]["geats.list"]()


def test_the_reactor_of_the_documentation_tells_the_name_server(master):
    master.runner["geats.claim"]("web01", "a")
    [(_, data)] = master.events
    text = Path("docs/examples/dns/dns.sls").read_text()
    [(_, job)] = yaml.safe_load(jinja2.Template(text).render(data=data)).items()
    command, stdin = job["local.cmd.run"][1]["args"]
    assert command == {"cmd": "nsupdate -l"}
    assert stdin["stdin"] == "update add web01.example.com. 300 A 10.0.0.5\nsend\n"
