"""Confidence intervals of a mean over meta-seeds and episodes. Pure numpy, and the same from the same numbers.

Seeds and episodes are crossed: all seeds go through the same episodes, and one that is easy for one seed is easy for
all. So a draw resamples the episodes, whole columns. A rule's luck in meta-training is a second part. Resampling three
seeds would give far too narrow an interval, so that part is Student's t on the means of the seeds. The draws of both
are added, which counts what is neither the seed's nor the episode's twice: the interval is rather too wide.
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


def interval(values: Float[np.ndarray, "seed episode"], draws: int = DRAWS) -> Interval:
    """The mean of `values` and its interval.

    One seed alone says nothing of other seeds: the interval then is about this rule in other episodes. With one
    episode, nothing is resampled.

    Raises:
      ValueError: there are no values, or some are not finite.
    """
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        wrong = f"values of shape {values.shape} must be finite, [seed, episode], at least one"
        raise ValueError(f"{wrong}: leave others out.")
    seeds, episodes = values.shape
    mean = float(values.mean(dtype=np.float64))
    if values.size == 1:
        return Interval(mean, -np.inf, np.inf)
    random, moved = np.random.default_rng([0, seeds, episodes]), np.zeros(draws)
    if episodes > 1:
        # A resample varies less than a sample, and few episodes know their own spread badly: as the t of a normal mean.
        wider = np.sqrt(episodes / random.chisquare(episodes - 1, draws))
        moved += (_resamples(episodes, draws) @ values.mean(axis=0, dtype=np.float64) - mean) * wider
    if seeds > 1:
        error = values.mean(axis=1, dtype=np.float64).std(ddof=1) / np.sqrt(seeds)
        moved += random.standard_t(seeds - 1, draws) * error
    low, high = np.quantile(moved, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, mean + float(low), mean + float(high))


@cache
def _resamples(episodes: int, draws: int) -> Float[np.ndarray, "draw episode"]:
    """The share of each episode in each resample: the same for all effects over so many episodes."""
    shares = np.full(episodes, 1 / episodes)
    return np.random.default_rng(0).multinomial(episodes, shares, draws) / episodes
