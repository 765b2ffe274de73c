"""The laws of adoption: nobody in the guest notices, it is resumable, and the rest is pending."""

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import Goal, HostFacts, Observation, Plan, PoolFacts, Power, Target, follow, plan
from geats_core.adopting.container_adoption import FoundVM, RootSeen, plan_adopt, read_found
from geats_core.foreign.lxc_lines import OnHost
from geats_core.planning.actions import Adopt, AdoptVolume, SetLimits
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Restart
from geats_core.planning.spec_changes import changes
from geats_core.vm.lxc_config import LxcFacts, read_lxc_config, render_lxc_config
from geats_core.vm.spec import ROOT, Dns, VMSpec
from tests.property.strategies import foreign_nics, specs

many = settings(max_examples=200, deadline=None)
TREE, FILE = "/lxc/web/rootfs", "/lxc/web/config"
FACTS = HostFacts(pools={name: PoolFacts() for name in ("fast", "slow")})
HERE = RootSeen(owner=0, volume=TREE, others={})
LINES = (
    "lxc.hook.start = /bin/true",
    "lxc.environment = A=1",
    "lxc.mount.entry = proc proc proc nodev 0 0",
    "lxc.net.0.mtu = 1400",
    "lxc.start.auto = 1",
    "lxc.cgroup2.pids.max = max",
    "lxc.include = /usr/share/lxc/config/nesting.conf",
)
foreigners = st.builds(
    Observation,
    foreign=st.just(True),
    power=st.sampled_from([Power.STOPPED, Power.RUNNING, Power.FROZEN]),
    locked=st.booleans(),
    foreign_nics=st.lists(foreign_nics, max_size=2).map(tuple),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, VMSpec]:
    """A config as some tool may have written it, and what the VM is to be: often just that."""
    spec = draw(specs)
    plain = replace(spec, volumes=(spec.root,), binds=(), shared_volumes=(), dns=Dns(), metadata=())
    want = draw(st.just(replace(plain, privileged=False, transient=False)) | specs)
    paths = {volume.name: TREE for volume in spec.all_volumes}
    rendered = render_lxc_config(spec, LxcFacts(volume_paths=paths)).split("\n")
    own = [line for line in rendered if not line.startswith(("#", "lxc.mount.entry"))]
    return "\n".join([*own, *draw(st.lists(st.sampled_from(LINES), max_size=3))]), want


def adopted(text: str, want: VMSpec, have: Observation) -> Plan | None:
    match read_found("web", FILE, text):
        case Success(found):
            return plan_adopt(found, want, HERE, have, FACTS, {}).value_or(None)
        case Failure():
            return None


@many
@given(cases(), foreigners)
def test_an_adoption_converges_and_nothing_of_it_costs_a_restart(
    case: tuple[str, VMSpec], have: Observation
) -> None:
    """The power stays, no step costs more than limits that change while the VM runs."""
    made, want = adopted(*case, have), case[1]
    event("refused" if made is None else "adopted")
    if made is None:
        return
    assert {type(step.action) for step in made.steps} <= {AdoptVolume, Adopt, SetLimits}
    assert made.impact <= Impact.LIVE
    then = follow(made, have).unwrap()
    assert (then.recorded, then.defined, then.foreign) == (want, want, False)
    assert (then.power, then.locked) == (have.power, have.locked)
    assert [volume.name for volume in then.volumes] == [ROOT]


@many
@given(cases(), foreigners)
def test_what_is_pending_is_all_that_a_restart_is_for(
    case: tuple[str, VMSpec], have: Observation
) -> None:
    """Without a restart nothing is to do; and what keeps the VM from its description is told."""
    made, want = adopted(*case, have), case[1]
    if made is None or have.power is not Power.RUNNING:
        return
    then = follow(made, have).unwrap()
    goal = Goal(name="web", target=Target.RUNNING, spec=want)
    others = {volume.name for volume in want.volumes} - {ROOT}
    left = plan(replace(goal, restart=Restart.NEVER), then, FACTS).unwrap()
    assert others or left.steps == ()
    assert left.pending == made.pending
    now = plan(goal, then, FACTS).unwrap()
    event("pending" if made.pending else "as described")
    assert bool(made.pending) == (now.impact >= Impact.RESTART)


@many
@given(cases(), foreigners)
def test_an_adoption_that_is_cut_is_not_of_geats_and_goes_on(
    case: tuple[str, VMSpec], have: Observation
) -> None:
    made = adopted(*case, have)
    if made is None:
        return
    end = follow(made, have).unwrap()
    for cut in range(len(made.steps)):
        between = follow(replace(made, steps=made.steps[:cut]), have).unwrap()
        if between.foreign:
            rest = adopted(*case, between)
            assert rest is not None
            assert rest.steps[-1].action == made.steps[-1].action
            assert follow(rest, between).unwrap() == end


@many
@given(cases())
def test_the_lines_that_stay_are_read_back_as_added_by_hand(case: tuple[str, VMSpec]) -> None:
    text, want = case
    match read_found("web", FILE, text):
        case Success(found):
            keep = found.kept(want)
            paths = {volume.name: TREE for volume in want.all_volumes}
            written = render_lxc_config(want, LxcFacts(volume_paths=paths), keep)
            read = read_lxc_config(written, "web")
            assert (read.spec, read.by_hand) == (want, keep)
        case Failure():
            event("refused")


@many
@given(st.lists(st.sampled_from(["\n", "lxc.", "=", " ", *LINES]) | st.text(max_size=9)), specs)
def test_any_text_is_read_or_refused(parts: list[str], want: VMSpec) -> None:
    text = "".join(parts) + f"\nlxc.rootfs.path = {TREE}\n"
    match read_found("web", FILE, text, OnHost(standard=text[: len(text) // 2])):
        case Success(FoundVM() as found):
            assert not any(map(str.isspace, found.kept(want)))
            made = plan_adopt(found, want, HERE, Observation(foreign=True), FACTS, {})
            assert isinstance(made, Success | Failure)
            assert changes(None, want)
        case Failure(problems):
            assert problems
