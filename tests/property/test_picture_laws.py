"""Laws of pictures of plans: every step is there once, arrows lead on, and no name is a tag."""

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from geats_core import HostPlan
from geats_core.planning.actions import Action, Shutdown, Start, Stop
from geats_core.planning.steps import Step
from geats_core.plans.layout import layout
from geats_core.plans.plan_files import SavedPlan
from geats_core.plans.web_page import web_page

HOSTILE = st.text(st.sampled_from("<>&\"'/ab=;\n]-!"), max_size=12) | st.sampled_from(
    ["</title><script>alert(1)</script>", "<!--", "]]>", "&lt;b&gt;", "' onload='a"]
)
ACTIONS: tuple[Action, ...] = (Start(), Stop(), Shutdown(60))


@st.composite
def steps(draw: st.DrawFn) -> tuple[Step, ...]:
    """Steps that wait for earlier ones only, as those of a plan."""
    names = draw(st.lists(HOSTILE, min_size=1, max_size=4))
    found: list[Step] = []
    for position in range(draw(st.integers(0, 12))):
        earlier = st.sets(st.integers(0, position - 1), max_size=3) if position else st.just(set())
        waits = sorted(draw(earlier))
        cut = draw(st.integers(0, len(waits)))
        step = Step(
            vm=draw(st.sampled_from(names)),
            action=draw(st.sampled_from(ACTIONS)),
            reason=draw(HOSTILE),
            needs=tuple(waits[:cut]),
            after=tuple(waits[cut:]),
        )
        found.append(step)
    return tuple(found)


class Read(HTMLParser):
    """What a browser sees: tags that are opened and closed, and words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.names: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.names += [value or "" for name, value in attrs if name in ("id", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def page(given_steps: tuple[Step, ...]) -> Read:
    plan = SavedPlan(plan=HostPlan(steps=given_steps), observations={})
    return Read(web_page(plan, "Plan"))


@given(steps())
def test_no_two_steps_are_at_one_place_and_arrows_lead_to_the_right(
    given_steps: tuple[Step, ...],
) -> None:
    found = layout(given_steps)
    assert len(found.spots) == len(set(found.spots)) == len(given_steps)
    assert [found.lanes[spot.lane] for spot in found.spots] == [step.vm for step in given_steps]
    told = sorted((each.start, each.end, each.needed) for each in found.arrows)
    assert told == sorted(
        (each, at, each in step.needs)
        for at, step in enumerate(given_steps)
        for each in step.waits_for
    )
    for each in found.arrows:
        assert found.spots[each.start].column < found.spots[each.end].column


@given(steps())
def test_every_step_is_on_the_page_once_and_in_the_picture_once(
    given_steps: tuple[Step, ...],
) -> None:
    found = Counter(page(given_steps).names)
    for number in range(1, len(given_steps) + 1):
        assert (found[f"step-{number}"], found[f"#step-{number}"]) == (1, 1)
    assert found.total() == 2 * len(given_steps) + bool(given_steps)  # and the head of arrows


@given(steps())
def test_names_and_reasons_are_words_and_never_tags(given_steps: tuple[Step, ...]) -> None:
    names = {name: f"vm{at}" for at, name in enumerate({step.vm for step in given_steps}) if name}
    plain = tuple(replace(s, vm=names.get(s.vm, ""), reason="plain") for s in given_steps)
    hostile = page(given_steps)
    assert hostile.tags == page(plain).tags
    for step in given_steps:
        assert f"because {step.reason}" in hostile.words
