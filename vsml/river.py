"""A learned rule as an online classifier in the manner of river: examples are dictionaries, and come one by one.

    from vsml.river import RiverClassifier            # where river is installed: it fits into its pipelines
    from vsml.river import OnlineClassifier           # the same methods, without river

Features and labels may appear at any time. What appears later than the first example is new to the rule: it gets room
for twice as many as there were, so that programs are compiled again but a few times.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from vsml.online import Online

FEWEST = 2  # classes that there is room for


class OnlineClassifier:
    """A learned rule that classifies examples {name of a feature: number} online.

    A feature that is left out, None or nan is missing and taken as the mean; True and False are 1 and 0. Features are
    brought to mean 0 and variance 1 by those of the examples so far.

    Args:
      rule, random_features: see `vsml.VSMLClassifier`.
      classes: labels that may come, if they are known; it saves compiling for each that does.
      seed: of the initial state and the random features.
    """

    _multiclass = True

    def __init__(
        self, rule: Any = "mnist", *, random_features=256, classes: Iterable[Hashable] | None = None, seed: int = 0
    ) -> None:
        self.rule = rule
        self.random_features = random_features
        self.classes = classes
        self.seed = seed
        self._online: Online | None = None
        self._places: dict[Hashable, int] = {}  # of features
        known = dict.fromkeys(() if classes is None else classes)  # each once
        self._labels: dict[Hashable, int] = {label: number for number, label in enumerate(known)}

    def learn_one(self, x: Mapping[Any, Any], y: Hashable) -> None:
        """Learn that the example has this label.

        Raises:
          ValueError: a feature is no finite number.
        """
        numbers = _numbers(x)
        # In an order that does not depend on that in x: where a feature stands decides its initial state.
        new = sorted(numbers.keys() - self._places.keys(), key=lambda name: (str(type(name)), str(name)))
        self._places |= {name: len(self._places) + number for number, name in enumerate(new)}
        self._labels.setdefault(y, len(self._labels))
        features, classes = max(len(self._places), 1), max(len(self._labels), FEWEST)
        if self._online is None:
            own: dict[str, Any] = {"random_features": self.random_features, "seed": self.seed}
            self._online = Online(self.rule, features, classes, **own)
        elif features > self._online.features or classes > self._online.classes:
            self._online.grow(_room(self._online.features, features), _room(self._online.classes, classes))
        self._online.learn(self._row(numbers, self._online), np.array([self._labels[y]]))

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Hashable, float]:
        """The probability of each label that is known. Before the first example all of `classes` are as probable."""
        numbers = _numbers(x)
        if self._online is None:
            return {label: 1 / len(self._labels) for label in self._labels}
        probabilities = self._online.probabilities(self._row(numbers, self._online))[0, : len(self._labels)]
        return dict(zip(self._labels, (probabilities / probabilities.sum()).tolist(), strict=True))

    def predict_one(self, x: Mapping[Any, Any]) -> Hashable | None:
        """The most probable label; None while no label is known."""
        probabilities = self.predict_proba_one(x)
        return max(probabilities, key=probabilities.__getitem__, default=None)

    def _row(self, numbers: Mapping[Hashable, float], online: Online) -> np.ndarray:
        row = np.full((1, online.features), np.nan)
        for name, number in numbers.items():
            if name in self._places:
                row[0, self._places[name]] = number
        return row


def _numbers(x: Mapping[Any, Any]) -> dict[Hashable, float]:
    for name, value in x.items():
        if not isinstance(value, (float, int, np.number, np.bool_, type(None))) or (value and math.isinf(value)):
            raise ValueError(f"The feature {name!r} is {value!r}, it must be a finite number: encode or remove it.")
    return {name: math.nan if value is None else float(value) for name, value in x.items()}


def _room(had: int, needed: int) -> int:
    return had if needed <= had else max(2 * had, needed)


def __getattr__(name: str) -> Any:
    """`RiverClassifier` is made when it is asked for, because only then must river be there."""
    if name != "RiverClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from river import base

    body = {"__module__": __name__, "__doc__": OnlineClassifier.__doc__}
    globals()[name] = type(name, (OnlineClassifier, base.Classifier), body)
    return globals()[name]
