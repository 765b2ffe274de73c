"""What the files of the runner have in common: how minions are asked, and answers are made."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from geats_core.reading.checked import Code, Problem, problem_to_plain
from geats_host.errors import HostError, Refused
from geats_host.for_salt.fleet import Ask, Report

Functions = Mapping[str, Any]  # of Salt, by name


def asking(functions: Functions, tgt_type: str) -> Ask:
    """How to have minions run a function."""

    def ask(tgt: str, function: str, *args: object, **kwargs: object) -> Mapping[str, Any]:
        found: Mapping[str, Any] = functions["salt.execute"](
            tgt, function, arg=args, kwarg=kwargs, tgt_type=tgt_type, full_return=True
        )
        return found

    return ask


@contextmanager
def answer(context: dict[str, Any]) -> Iterator[Report]:
    """A report to fill; what is refused or fails is in its ``problems``, which are a failure."""
    report: Report = {"problems": []}
    try:
        yield report
    except Refused as refused:
        report |= {"problems": list(map(problem_to_plain, refused.found))}
    except HostError as error:
        report |= {"problems": failures([f"{error}"])}
    if report["problems"]:
        context["retcode"] = report["retcode"] = 1


def failures(*texts: Iterable[str]) -> list[dict[str, str]]:
    """What the hosts could not do, as problems."""
    return [problem_to_plain(Problem("", text, Code.HOST)) for each in texts for text in each]


def words(rules: Mapping[str, object]) -> dict[str, object]:
    """What a caller gave, without what Salt adds."""
    return {key: value for key, value in rules.items() if not key.startswith("__")}
