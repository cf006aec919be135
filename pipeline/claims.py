"""The papers' claims (claims.yaml), and the verdict on each from a profile's tables. docs/claims.md defines the words.

A test in claims.yaml names a *measure* and gives its arguments. A measure is a function of what a profile made and of
keyword arguments, whose types say what a test may give. It reads tables, runs no model, and yields effects with their
labels, positive where the claim says so; none if the profile has no such task or learner. Learners go through the very
same episodes, so that an effect is a difference within an episode.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

import numpy as np
from jaxtyping import Float
from pydantic import BeforeValidator, Field, PositiveFloat, create_model, model_validator

from pipeline import paths
from pipeline.bootstrap import Interval, interval
from pipeline.params import checked
from pipeline.sections.base import Section

Effect = Float[np.ndarray, "seed episode"]
Effects = Iterator[tuple[str, Effect]]  # with their labels
Measure = Callable[..., Effects]

VERDICTS = ("not run", "not reproduced", "underpowered", "consistent", "reproduced")  # of several, the first holds
MARKS = {
    "reproduced": "\u2713",
    "consistent": "\u2248",
    "not reproduced": "\u2717",
    "underpowered": "?",
    "not run": "\u2013",
}
SEEDS = 3  # with fewer, luck in meta-training cannot be told from skill
SURE = {
    "abstract": "in its abstract or introduction",
    "quoted": "quoted from the paper",
    "code": "in the authors\u2019 code",
    "second_hand": "second-hand notes",
    "recalled": "recalled, not checked",
}
SURELY = ("abstract", "quoted", "code")


class Test(Section):
    """What effects should be: more than nothing, nothing, or no less than nothing; `margin` is what would matter.

    The tests of a measure have its arguments as well.
    """

    measure: str
    expect: Literal["superior", "equivalent", "not_worse"]
    margin: PositiveFloat


def _each(entry: Any) -> tuple[Any, ...]:
    """The tests that an entry stands for: one for each combination of values where it gives lists of them."""
    if not isinstance(entry, dict):
        return (entry,)  # which the check refuses
    choices = [value if isinstance(value, list) else [value] for value in entry.values()]
    return tuple(dict(zip(entry, chosen, strict=True)) for chosen in itertools.product(*choices))


AnyTest = TypeVar("AnyTest", bound=Test)
Entry = Annotated[tuple[AnyTest, ...], Field(min_length=1), BeforeValidator(_each)]


class Claim(Section, Generic[AnyTest]):
    """What a paper says, where, how surely we know it, and what tests it; `untested` says why nothing does."""

    says: str
    where: str
    version: str | None = None  # on arXiv, if it is known which one says so
    sure: Literal["abstract", "quoted", "code", "second_hand", "recalled"]
    reported: str | None = None  # values, and never more surely known than `sure`
    tables: Annotated[tuple[str, ...], Field(min_length=1)]
    figures: tuple[str, ...] = ()
    note: str | None = None
    untested: str | None = None
    tests: tuple[Entry[AnyTest], ...] = ()


class Paper(Section, Generic[AnyTest]):
    title: str
    authors: str
    arxiv: str
    claims: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")], Claim[AnyTest]]  # by their ids


class Claims(Section, Generic[AnyTest]):
    papers: Annotated[dict[str, Paper[AnyTest]], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> "Claims[AnyTest]":
        for paper, own in self.papers.items():
            for name, claim in own.claims.items():
                if not name.startswith(f"{paper}-"):  # so that no two papers have the same ids
                    raise ValueError(f"The id {name!r} must begin with its paper's name, {paper + '-'!r}: rename it.")
                if bool(claim.tests) == bool(claim.untested):
                    raise ValueError(
                        f"{name} must have either tests or `untested`, why it has none: add or remove one."
                    )
                if claim.reported is not None and claim.sure in SURELY:
                    raise ValueError(
                        f"{name} has surely known values (={claim.reported!r}), but all claims are compared in kind "
                        "only: add a test that compares values, or say that they are second_hand or recalled."
                    )
        return self


def read(measures: Mapping[str, Measure], path: str | Path = paths.CLAIMS) -> Claims:
    """Read and check the claims, and their tests against the measures that they name.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    tests = tuple(_test(name, measure) for name, measure in measures.items())
    test: Any = Annotated[Union[tests], Field(discriminator="measure")]  # noqa: UP007
    return checked(Claims[test], path)


def _test(name: str, measure: Measure) -> type[Test]:
    """The tests of a measure: what all have, and its keyword arguments by name and type."""
    arguments = [one for one in signature(measure).parameters.values() if one.kind is Parameter.KEYWORD_ONLY]
    types: dict[str, Any] = {
        one.name: (one.annotation, ... if one.default is Parameter.empty else one.default) for one in arguments
    }
    return create_model(name, __base__=Test, measure=(Literal[name], ...), **types)


def judge(claims: Claims, measures: Mapping[str, Measure], made: Any) -> list[dict[str, Any]]:
    """The verdict on each claim, in the order of the file, as claims.json holds it and the page and the README show it.

    Each is a plain dictionary: the claim as it stands in claims.yaml, its verdict, and its effects with their intervals
    and verdicts. `made` is given to the measures.
    """
    return [
        {"id": name, "paper": paper.model_dump(mode="json", exclude={"claims"})} | _judged(claim, measures, made)
        for paper in claims.papers.values()
        for name, claim in paper.claims.items()
    ]


def _judged(claim: Claim, measures: Mapping[str, Measure], made: Any) -> dict[str, Any]:
    tests = list(itertools.chain.from_iterable(claim.tests))
    found = [[_effect(test, *one) for one in measures[test.measure](made, **_arguments(test))] for test in tests]
    idle, effects = found.count([]), list(itertools.chain.from_iterable(found))
    return claim.model_dump(mode="json", exclude={"tests"}) | {
        "sure": SURE[claim.sure],
        "compared": "in kind",
        "verdict": _of_all([effect["verdict"] for effect in effects], idle),
        "because": claim.untested or (_words(idle, len(tests)) if idle else None),
        "effects": effects,
    }


def _arguments(test: Test) -> dict[str, Any]:
    return {name: value for name, value in test if name not in Test.model_fields}


def verdict(expect: str, margin: float, found: Interval) -> str:
    """What an interval says of what is expected, whatever the number of seeds; docs/claims.md has it in words."""
    claimed, counts = {
        "superior": ((0.0, math.inf), (margin, math.inf)),
        "equivalent": ((-margin, margin), (-margin, margin)),
        "not_worse": ((-margin, math.inf), (-margin, math.inf)),
    }[expect]
    if found.high < counts[0] or found.low > counts[1]:
        return "not reproduced"
    if claimed[0] < found.low and found.high < claimed[1] and found.mean >= counts[0]:
        return "reproduced"
    return "consistent" if claimed[0] < found.mean < claimed[1] else "underpowered"


def limited(verdict: str, seeds: int) -> str:
    """The verdict that so few meta-seeds allow."""
    if seeds >= SEEDS:
        return verdict
    return {"reproduced": "consistent", "not reproduced": "underpowered"}.get(verdict, verdict)


def counts(judged: list[dict[str, Any]]) -> dict[str, int]:
    """How many claims have each verdict, the best first."""
    return {one: sum(claim["verdict"] == one for claim in judged) for one in reversed(VERDICTS)}


def of_figure(judged: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The claims that a figure shows."""
    return [claim for claim in judged if name in claim["figures"]]


def _of_all(verdicts: list[str], idle: int) -> str:
    """A claim holds if all of its effects do; what was not tested keeps it from being reproduced."""
    if not verdicts:
        return "not run"
    worst = min(verdicts, key=VERDICTS.index)
    return "consistent" if idle and worst == "reproduced" else worst


def _words(idle: int, tests: int) -> str:
    which = "None of its tests ran" if idle == tests else f"{idle} of its {tests} tests did not run"
    return f"{which}: this profile has no such task or learner."


def _effect(test: Test, label: str, values: Any) -> dict[str, Any]:
    found = interval(values)
    seeds, episodes = values.shape
    return {
        "label": label,
        "expect": test.expect,
        "margin": test.margin,
        "effect": found.mean,
        "low": _finite(found.low),
        "high": _finite(found.high),
        "seeds": seeds,
        "lives": episodes,
        "verdict": limited(verdict(test.expect, test.margin, found), seeds),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity


def words_of_interval(effect: dict[str, Any]) -> str:
    """The mean and its interval; small numbers in powers of ten."""
    low, high = (_number(effect[end]) if effect[end] is not None else "?" for end in ("low", "high"))
    return f"{_number(effect['effect'])} [{low}, {high}]"


def words_of_expected(effect: dict[str, Any]) -> str:
    kinds = {"superior": "more than 0; {} matters", "equivalent": "within \u00b1 {}", "not_worse": "more than \u2212{}"}
    return kinds[effect["expect"]].format(f"{effect['margin']:g}")


def _number(value: float) -> str:
    words = f"{value:.1e}" if 0 < abs(value) < 0.0005 else f"{value:.3f}"
    return words.replace("-", "\u2212")


def block(judged: list[dict[str, Any]]) -> str:
    """The README's table: claim, where it is from, how surely we know it, verdict."""
    lines = ["| Claim | from | known | verdict |", "| :-- | :-- | :-- | :-- |"]
    for claim in judged:
        version = "" if claim["version"] is None else f" {claim['version']}"
        where = f"{claim['paper']['arxiv']}{version}, {claim['where']}"
        words = f"{MARKS[claim['verdict']]}\u00a0{claim['verdict'].replace(' ', chr(0xA0))}"
        lines.append(f"| {claim['says']} | {where} | {claim['sure']} | {words} |")
    return "\n".join([*lines, "", summary(judged)])


def summary(judged: list[dict[str, Any]]) -> str:
    """How many claims have which verdict, in a sentence."""
    number = ", ".join(f"{count} {one}" for one, count in counts(judged).items() if count)
    return f"Of {len(judged)} claims: {number}. All are compared in kind only: no value of the papers is surely known."
