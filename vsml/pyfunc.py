"""A learned rule as a model of MLflow, which needs this package and nothing pickled:

>>> import mlflow
>>> import numpy as np
>>> model = mlflow.pyfunc.load_model("models:/mnist@released")  # doctest: +SKIP
>>> model.predict({"x": x, "y": np.array([2, 0, 1, -1])})  # doctest: +SKIP
"""

from typing import Any

import numpy as np

from vsml.online import Online

UNKNOWN = -1  # the label of an example that is only predicted


class Model:
    """Each call is an episode of its own: examples are predicted in their order, and each label is learned after that.

    Inputs are `x` [n features] and `y` [n], the number of each one's class, or -1 where that is not known; the answer
    is the probability of each class [n classes]. Parameters: `classes` (0: as `y` says), `random_features`, `seed`.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def predict(self, model_input: dict[str, np.ndarray], params: dict[str, Any] | None = None) -> np.ndarray:
        x, y, given = np.asarray(model_input["x"]), np.asarray(model_input["y"]), dict(params or {})
        if x.ndim != 2 or y.shape != x.shape[:1] or y.dtype.kind not in "iu" or (y < UNKNOWN).any():
            raise ValueError(
                f"x (shape {x.shape}) must be [n features], and y (shape {y.shape}, {y.dtype}) [n]: "
                f"the number of each one's class, from 0 on, or {UNKNOWN} where it is not known."
            )
        classes = given.pop("classes", 0) or max(2, int(y.max(initial=UNKNOWN)) + 1)
        online = Online(self._path, x.shape[1], classes, **given)
        found = np.empty((len(x), classes))
        for n in range(len(x)):
            found[n] = online.probabilities(x[n : n + 1])[0]
            if y[n] != UNKNOWN:
                online.learn(x[n : n + 1], y[n : n + 1])
        return found


def _load_pyfunc(path: str) -> Model:  # the name that MLflow calls
    return Model(path)
