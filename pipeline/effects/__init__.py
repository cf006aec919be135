"""What the tests of claims.yaml measure: effects per meta-seed and life, positive where the claim says so.

A test is an entry of claims.yaml, checked; its `effects` reads tables, runs no model, and says [seed, life] by label.
It says nothing if this profile has no such tasks or learners. Learners live the very same lives, so that an effect is a
difference within a life.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import PositiveFloat

from pipeline.sections.base import Section
from pipeline.tables import Profile, Tables

Effect = Float[np.ndarray, "seed life"]
Rival = Literal["sgd", "adam", "sgd_paper", "adam_paper"]
RIVALS = {
    "sgd": "SGD at its best rate",
    "adam": "Adam at its best rate",
    "sgd_paper": "SGD at the paper\u2019s rate",
    "adam_paper": "Adam at the paper\u2019s rate",
}


class Made(NamedTuple):
    """What a profile made: its tables, when a learner is young, and the set on which clones were improved."""

    tables: Tables
    profile: Profile
    early: int | None
    improved_on: str


class Expected(Section):
    """What an effect should be: more than nothing, nothing, or no less than nothing; `margin` is what would matter."""

    expect: Literal["superior", "equivalent", "not_worse"]
    margin: PositiveFloat
