"""Examples a second of a rule as users run it, beside SGDClassifier of scikit-learn and, if it is installed, river.

All go through the same stream: in chunks by `partial_fit` and `predict`, or, one example at a time, also as
dictionaries by `learn_one` and `predict_one`. They go through it once before, so that compilation is not counted.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import SGDClassifier

from benchmarks.measure import quartiles, seconds
from vsml import VSMLClassifier
from vsml.river import OnlineClassifier

OURS = "VSMLClassifier"


class Case(NamedTuple):
    features: int
    classes: int
    chunk: int
    examples: int = 512

    @property
    def label(self) -> str:
        return f"{self.features} features, {self.classes} classes, {self.chunk} at a time"


class Model(NamedTuple):
    """What goes through one chunk of a stream."""

    learn: Callable[[slice], Any]
    predict: Callable[[slice], Any]


CASES = tuple(
    Case(features, classes, chunk) for features, classes in ((30, 2), (64, 10), (784, 10)) for chunk in (1, 32)
)
QUICK = (Case(8, 2, 1, 32), Case(8, 2, 32, 32))


def race(case: Case, rounds: int) -> dict[str, Any]:
    """Examples a second (quartiles), learning and predicting, and how many times as many others do in a round."""
    models = _models(case)
    stream = [slice(start, start + case.chunk) for start in range(0, case.examples, case.chunk)]
    rates = {(name, what): [] for name in models for what in Model._fields}
    for number in range(rounds + 1):
        for (name, what), found in rates.items():
            took = seconds(_through, getattr(models[name], what), stream)
            found += [case.examples / took] if number else []  # the first compiles
    per_s = {name: {what: np.array(rates[name, what]) for what in Model._fields} for name in models}
    return {
        "case": case.label,
        "examples_per_s": {name: {what: quartiles(one) for what, one in own.items()} for name, own in per_s.items()},
        "times_as_many": {
            name: {what: quartiles(one / per_s[OURS][what]) for what, one in own.items()}
            for name, own in per_s.items()
            if name != OURS
        },
    }


def _through(do: Callable[[slice], Any], stream: list[slice]) -> None:
    for rows in stream:
        do(rows)


def _models(case: Case) -> dict[str, Model]:
    random = np.random.default_rng(0)
    y = np.arange(case.examples) % case.classes
    x = random.normal(size=(case.examples, case.features)) + 0.5 * random.normal(size=(case.classes, case.features))[y]
    estimators: dict[str, Any] = {
        OURS: VSMLClassifier(),
        f"{OURS}, no random features": VSMLClassifier(random_features=0),
        "scikit-learn SGDClassifier": SGDClassifier(loss="log_loss", random_state=0),
    }
    known = np.arange(case.classes)
    models = {
        name: Model(
            lambda rows, one=one: one.partial_fit(x[rows], y[rows], classes=known),
            lambda rows, one=one: one.predict(x[rows]),
        )
        for name, one in estimators.items()
    }
    if case.chunk > 1:
        return models
    streams: dict[str, Any] = {"vsml.river": OnlineClassifier(classes=known.tolist())}
    if find_spec("river"):
        from river import linear_model, multiclass, naive_bayes  # pyright: ignore[reportMissingImports]

        logistic = multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
        streams |= {"river LogisticRegression": logistic, "river GaussianNB": naive_bayes.GaussianNB()}
    examples = [dict(enumerate(row)) for row in x.tolist()]
    labels = y.tolist()
    return models | {
        name: Model(
            lambda rows, one=one: one.learn_one(examples[rows.start], labels[rows.start]),
            lambda rows, one=one: one.predict_one(examples[rows.start]),
        )
        for name, one in streams.items()
    }
