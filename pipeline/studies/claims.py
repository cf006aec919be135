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

from pipeline.run import paths
from pipeline.run.params import Section, checked
from pipeline.show.intervals import Interval, interval

Effect = Float[np.ndarray, "seed episode"]
Effects = Iterator[tuple[str, Effect]]  # with their labels
Measure = Callable[..., Effects]

MARKS = {  # of several verdicts the first holds
    "not run": "\u2013",
    "not reproduced": "\u2717",
    "contrary": "\u2260",
    "underpowered": "?",
    "consistent": "\u2248",
    "reproduced": "\u2713",
}
VERDICTS = tuple(MARKS)
SEEDS = 3  # with fewer, luck in meta-training cannot be distinguished from skill
SURE = {
    "abstract": "in its abstract or introduction",
    "quoted": "quoted from the paper",
    "code": "in the authors\u2019 code",
    "second_hand": "second-hand notes",
    "recalled": "recalled, not checked",
    "ours": "ours, in no paper",
}
SURELY = ("abstract", "quoted", "code")


class Test(Section):
    """What effects should be; `margin` is what would matter. The tests of a measure have its arguments as well.

    An argument is a tuple of values: an entry of claims.yaml that lists several stands for a test of each.
    """

    measure: str
    expect: Literal["superior", "equivalent", "not_worse"]
    margin: PositiveFloat

    def arguments(self) -> Iterator[dict[str, Any]]:
        """Those of each test that the entry stands for: every combination of the listed values."""
        values = {name: several for name, several in self if name not in Test.model_fields}
        return (dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))


AnyTest = TypeVar("AnyTest", bound=Test)


class Claim(Section, Generic[AnyTest]):
    """What a paper says, where, how surely we know it, and what tests it; `untested` says why nothing does."""

    says: str
    where: str
    version: str | None = None  # on arXiv, if it is known which one says so
    sure: Literal["abstract", "quoted", "code", "second_hand", "recalled", "ours"]
    reported: str | None = None  # values, and never more surely known than `sure`
    tables: Annotated[tuple[str, ...], Field(min_length=1)]
    figures: tuple[str, ...] = ()
    note: str | None = None
    untested: str | None = None
    tests: tuple[AnyTest, ...] = ()


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
                    wrong = f"{name} must have either tests or `untested`, why it has none"
                    raise ValueError(f"{wrong}: add or remove one.")
                if claim.reported is not None and claim.sure in SURELY:
                    wrong = f"surely known values (={claim.reported!r}), but all claims are compared in kind only"
                    remedy = "add a test that compares values, or say that they are second_hand or recalled"
                    raise ValueError(f"{name} has {wrong}: {remedy}.")
        return self


def read(measures: Mapping[str, Measure], path: str | Path = paths.CLAIMS) -> Claims:
    """Read and check the claims, and their tests against the measures that they name.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    tests = []
    for name, measure in measures.items():
        fields: dict[str, Any] = {"measure": (Literal[name], ...)}
        for one in signature(measure).parameters.values():
            if one.kind is Parameter.KEYWORD_ONLY:
                # A single value stands for a list of one; an empty list is no value and is refused.
                listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) and value else (value,))
                several = Annotated[tuple[one.annotation, ...], listed]
                fields[one.name] = (several, ... if one.default is Parameter.empty else (one.default,))
        tests.append(create_model(name, __base__=Test, **fields))
    test: Any = Annotated[Union[tuple(tests)], Field(discriminator="measure")]  # noqa: UP007
    return checked(Claims[test], path)


def judge(claims: Claims, measures: Mapping[str, Measure], made: Any) -> list[dict[str, Any]]:
    """The verdict on each claim, in the order of the file, as claims.json holds it and the page and the README show it.

    Each is a plain dictionary: the claim as it stands in claims.yaml, its verdict, and its effects with their intervals
    and verdicts. `made` is given to the measures.
    """
    judged = []
    for paper in claims.papers.values():
        of_paper = paper.model_dump(mode="json", exclude={"claims"})
        for name, claim in paper.claims.items():
            tests = [
                [_effect(test, label, values) for label, values in measures[test.measure](made, **arguments)]
                for test in claim.tests
                for arguments in test.arguments()
            ]
            effects, idle = list(itertools.chain(*tests)), tests.count([])
            # A claim holds if all of its effects do; what was not tested keeps it from being reproduced.
            worst = min((effect["verdict"] for effect in effects), key=VERDICTS.index, default="not run")
            which = "None of its tests ran" if idle == len(tests) else f"{idle} of its {len(tests)} tests did not run"
            because = f"{which}: this profile has no such task, learner or rate." if idle else None
            facts = {
                "sure": SURE[claim.sure],
                "compared": "in kind",
                "verdict": "consistent" if idle and worst == "reproduced" else worst,
                "because": claim.untested or because,
                "effects": effects,
            }
            stated = claim.model_dump(mode="json", exclude={"tests"})
            judged.append({"id": name, "paper": of_paper} | stated | facts)
    return judged


def _effect(test: Test, label: str, values: Effect) -> dict[str, Any]:
    found, (seeds, episodes) = interval(values), values.shape
    # Of a single value the interval is infinite, and JSON has no infinity.
    low, high = (end if math.isfinite(end) else None for end in (found.low, found.high))
    stated = {"label": label, "expect": test.expect, "margin": test.margin}
    measured = {"effect": found.mean, "low": low, "high": high, "seeds": seeds, "episodes": episodes}
    return stated | measured | {"verdict": verdict(test.expect, test.margin, found, seeds)}


def verdict(expect: str, margin: float, found: Interval, seeds: int) -> str:
    """What an interval over so many meta-seeds says of what is expected; docs/claims.md has it in words."""
    claimed, matters = {
        "superior": ((0.0, math.inf), (margin, math.inf)),
        "equivalent": ((-margin, margin), (-margin, margin)),
        "not_worse": ((-margin, math.inf), (-margin, math.inf)),
    }[expect]
    if found.high < matters[0] or found.low > matters[1]:
        return "not reproduced" if seeds >= SEEDS else "contrary"
    if claimed[0] < found.low and found.high < claimed[1] and found.mean >= matters[0]:
        return "reproduced" if seeds >= SEEDS else "consistent"
    return "consistent" if claimed[0] < found.mean < claimed[1] else "underpowered"


def counts(judged: list[dict[str, Any]]) -> dict[str, int]:
    """How many claims have each verdict, the best first."""
    return {one: sum(claim["verdict"] == one for claim in judged) for one in reversed(VERDICTS)}
