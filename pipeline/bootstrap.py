"""Confidence intervals of a mean over meta-seeds and lives. Pure numpy, and the same from the same numbers.

Seeds and lives are crossed: all seeds live the same lives, and a life easy for one is easy for all. So a draw resamples
the lives, whole columns, and a rule's luck in meta-training is a second part. Resampling three seeds would give far too
narrow an interval, so that part is Student's t on the means of the seeds. The draws of both are added, which counts
what is neither the seed's nor the life's twice: the interval is rather too wide than too narrow.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
DRAWS = 10_000


class Interval(NamedTuple):
    """A mean, and between which values it would lie in `LEVEL` of all repetitions; infinite for a single value."""

    mean: float
    low: float
    high: float


def interval(values: Float[np.ndarray, "seed life"], draws: int = DRAWS, key: int = 0) -> Interval:
    """The mean of `values` and its interval.

    One seed alone says nothing of other seeds: the interval then is about this rule in other lives. One life in each
    seed, and there is no resampling.

    Raises:
      ValueError: there are no values, or some are not finite.
    """
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"values of shape {values.shape} must be finite, [seed, life], at least one: leave others out."
        )
    seeds, lives = values.shape
    mean = float(values.mean(dtype=np.float64))
    if values.size == 1:
        return Interval(mean, -np.inf, np.inf)
    random, moved = np.random.default_rng([key, seeds, lives]), np.zeros(draws)
    if lives > 1:
        # A resample varies less than a sample, and few lives know their own spread badly: as the t of a normal mean.
        wider = np.sqrt(lives / random.chisquare(lives - 1, draws))
        moved += (_resamples(lives, draws, key) @ values.mean(axis=0, dtype=np.float64) - mean) * wider
    if seeds > 1:
        error = values.mean(axis=1, dtype=np.float64).std(ddof=1) / np.sqrt(seeds)
        moved += random.standard_t(seeds - 1, draws) * error
    low, high = np.quantile(moved, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, mean + float(low), mean + float(high))


@cache
def _resamples(lives: int, draws: int, key: int) -> Float[np.ndarray, "draw life"]:
    """How large a share each life has in each resample: the same for all effects over so many lives."""
    return np.random.default_rng(key).multinomial(lives, np.full(lives, 1 / lives), draws) / lives
