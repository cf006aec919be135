"""The papers' claims (claims.yaml), and the verdict on each from a profile's tables. docs/claims.md defines the words.

`judge` gives a list of plain dictionaries, which claims.json holds and the page and the README show: each claim as it
stands in claims.yaml, with its verdict, and its effects with their intervals and verdicts.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline import paths
from pipeline.bootstrap import Interval, interval
from pipeline.effects import Made
from pipeline.effects.association import Association, GradientCosine, SecondSighting
from pipeline.effects.instances import Cloned, Deviation
from pipeline.effects.learning import Accuracy, ChangedTask, OverFitting
from pipeline.effects.siblings import Recalled, Taught
from pipeline.params import checked, plain
from pipeline.sections.base import Section

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
Name = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]


Test = Annotated[
    Accuracy
    | OverFitting
    | ChangedTask
    | SecondSighting
    | Association
    | GradientCosine
    | Deviation
    | Cloned
    | Taught
    | Recalled,
    Field(discriminator="quantity"),
]


class Paper(Section):
    title: str
    authors: str
    arxiv: str


class Claim(Section):
    """What a paper says, where, how surely we know it, and what tests it; `untested` says why nothing does."""

    id: Name
    paper: str
    says: str
    where: str
    version: str | None  # on arXiv, if it is known which one says so
    sure: Literal["abstract", "quoted", "code", "second_hand", "recalled"]
    reported: str | None  # values, and never more surely known than `sure`
    tables: Annotated[tuple[str, ...], Field(min_length=1)]
    figures: tuple[str, ...]
    note: str | None
    untested: str | None
    tests: tuple[Test, ...]

    @model_validator(mode="after")
    def _tested_or_not(self) -> "Claim":
        if bool(self.tests) == bool(self.untested):
            raise ValueError(f"{self.id} must have tests, or say why it is untested, and not both: add or remove one.")
        if self.reported is not None and self.sure in SURELY:
            raise ValueError(
                f"{self.id} has surely known values (={self.reported!r}), but all claims are compared in kind only: "
                "add a test that compares values, or say that they are second_hand or recalled."
            )
        return self


class Claims(Section):
    papers: dict[Name, Paper]
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_agree(self) -> "Claims":
        ids = [claim.id for claim in self.claims]
        for claim in self.claims:
            if ids.count(claim.id) > 1:
                raise ValueError(f"The id {claim.id!r} is that of several claims: each needs its own.")
            if claim.paper not in self.papers:
                raise ValueError(
                    f"{claim.id}: {claim.paper!r} is none of the papers {sorted(self.papers)}: add it there."
                )
        return self


def read(path: str | Path = paths.CLAIMS) -> Claims:
    """Read and check the claims.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    return checked(Claims, path)


def judge(claims: Claims, made: Made) -> list[dict[str, Any]]:
    """The verdict on each claim, in the order of the file."""
    return [_judged(claim, claims.papers[claim.paper], made) for claim in claims.claims]


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


def _judged(claim: Claim, paper: Paper, made: Made) -> dict[str, Any]:
    effects, idle = [], 0
    for test in claim.tests:
        found = [_effect(test, label, values) for label, values in test.effects(made)]
        effects += found
        idle += not found
    own = plain(claim)
    del own["tests"]
    return own | {
        "paper": plain(paper),
        "sure": SURE[claim.sure],
        "compared": "in kind",
        "verdict": _of_all([effect["verdict"] for effect in effects], idle),
        "because": claim.untested or (_words(idle, len(claim.tests)) if idle else None),
        "effects": effects,
    }


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
    seeds, lives = values.shape
    return {
        "label": label,
        "expect": test.expect,
        "margin": test.margin,
        "effect": found.mean,
        "low": _finite(found.low),
        "high": _finite(found.high),
        "seeds": seeds,
        "lives": lives,
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
