"""Numbers that are shown: what each is about, and means with their spread. Pure numpy, and known to every study.

A result is an entry {"value", "sd", "n"} under a `Key`. Axis letters: seed (of meta-training), episode (of a test),
time (examples of it).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped


class Key(NamedTuple):
    """What a number is about. In results.json it is called `subject/learner/metric`, then `@at` and `@horizon`.

    The subject is a task or a set of examples, or a word for a whole comparison (recall, feedback, cloning, ...). The
    learner may be an experiment or a pair of algorithms. `at` says when: after so many examples, at that age, or for
    the last so many snippets; `horizon` is how many snippets a rule was trained to remember, where `at` is an age.
    """

    subject: str
    learner: str
    metric: str
    at: int | None = None
    horizon: int | None = None

    def __str__(self) -> str:
        numbers = (str(number) for number in (self.at, self.horizon) if number is not None)
        return "@".join((f"{self.subject}/{self.learner}/{self.metric}", *numbers))

    @classmethod
    def parse(cls, name: str) -> "Key":
        """The key that results.json calls `name`; a ValueError if no key is called so."""
        if not (match := re.fullmatch(r"([^/@]+)/([^/@]+)/([^/@]+)(?:@(\d+))?(?:@(\d+))?", name)):
            raise ValueError(f"{name!r} must be SUBJECT/LEARNER/METRIC and at most two numbers, as SET/sgd/gain@10.")
        subject, learner, metric, *numbers = match.groups()
        at, horizon = (None if number is None else int(number) for number in numbers)
        return cls(subject, learner, metric, at, horizon)


Entry = dict[str, Any]
Results = dict[Key, Entry]


def named(found: Results) -> dict[str, Entry]:
    """Results as results.json has them."""
    return {str(key): entry for key, entry in found.items()}


def parsed(found: Mapping[str, Entry]) -> Results:
    """Results from what results.json has."""
    return {Key.parse(name): entry for name, entry in found.items()}


def cumulative(correct: Bool[np.ndarray, "*episodes time"]) -> Float[np.ndarray, "*episodes time"]:
    """The share of right predictions among the first 1, 2, ... examples of each episode."""
    return np.cumsum(correct, axis=-1) / np.arange(1, correct.shape[-1] + 1)


def sd(values: Shaped[np.ndarray, "..."], axis: int | None = None) -> Any:
    """The standard deviation of a sample; nan if that is a single value, which has none."""
    many = (values.size if axis is None else values.shape[axis]) > 1
    return values.std(axis=axis, ddof=1) if many else np.full_like(values.mean(axis=axis), np.nan)


def moments(length: int, horizons: Iterable[int]) -> list[int]:
    """The examples after which the accuracy of an episode is reported: its end, and what is before it of `horizons`."""
    return sorted({*(horizon for horizon in horizons if horizon < length), length})


def smooth(values: Float[np.ndarray, " step"], window: int) -> Float[np.ndarray, " step"]:
    """A centred running mean over the finite values; nan where a window has none, shorter windows at the ends."""
    finite = np.isfinite(values)
    kernel = np.ones(min(window, len(values)))
    count = np.convolve(finite, kernel, "same")
    total = np.convolve(np.where(finite, values, 0.0), kernel, "same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0.5)


def summary(values: Shaped[np.ndarray, "seed episode"]) -> Entry:
    """Mean, standard deviation and number of the values; with several seeds, the deviation of their means, too."""
    seeds = {"sd_seeds": float(sd(values.mean(axis=1)))} if len(values) > 1 else {}
    spread = float(sd(values)) if values.size > 1 else None  # JSON has no nan
    return {"value": float(values.mean()), "sd": spread, "n": values.size} | seeds


def single(value: float, n: int) -> Entry:
    """A number that stands for n episodes and has no spread: a worst case, a ratio of sums, or what was counted."""
    return {"value": value, "sd": None, "n": n}
