"""A learned rule as an estimator of scikit-learn: `vsml.VSMLClassifier`."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from vsml.online import Online


class VSMLClassifier(ClassifierMixin, BaseEstimator):
    """Learn to classify with a learned rule: example by example, once through the data, with no learning rate to tune.

    >>> from vsml import VSMLClassifier
    >>> from sklearn.datasets import load_wine
    >>> x, y = load_wine(return_X_y=True)
    >>> VSMLClassifier().fit(x[::2], y[::2]).score(x[1::2], y[1::2]) > 0.9
    True

    It takes any number of features and classes. `partial_fit` learns a stream, in any chunks, with the same result.

    Args:
      rule: the rule that learns: a name of `vsml.names()`, the path of a file of `vsml.save`, or a `vsml.Rule`.
      random_features: how many fixed random functions the rule is shown beside the features of each example. A rule by
        itself tells classes apart linearly, and these help it beyond that; 0 for none.
      standardise: bring each feature to mean 0 and variance 1, as rules need it. `fit` takes the mean and the variance
        over X. `partial_fit` takes those of all examples so far, each one's own included; labels do not matter.
        False if features come so.
      shuffle: whether `fit` goes through the examples in random order. If not, it takes them as they stand; what comes
        last then counts most, so that a set sorted by class is learned badly.
      random_state: of the order, the initial state and the random features; a number makes results repeatable.

    Attributes:
      classes_: [classes], the labels, sorted.
      n_features_in_: features of an example; feature_names_in_: [features], if X had names.
      online_: the rule in the middle of its episode (`vsml.online.Online`).

    Source: Kirsch and Schmidhuber, arXiv 2012.14905; random features are ours.
    """

    classes_: np.ndarray
    n_features_in_: int
    online_: Online

    def __init__(
        self, rule: Any = "mnist", *, random_features=256, standardise=True, shuffle=True, random_state: Any = 0
    ) -> None:
        self.rule = rule
        self.random_features = random_features
        self.standardise = standardise
        self.shuffle = shuffle
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "VSMLClassifier":
        """Forget all, and learn the examples X [n features] with labels y [n], each once."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        random = check_random_state(self.random_state)
        online = self._online(random, len(classes))
        order = random.permutation(len(X)) if self.shuffle else np.arange(len(X))
        online.learn(X[order], numbers[order], known=True)
        self.classes_, self.online_ = classes, online  # at the end: a fit that fails leaves what there was
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> "VSMLClassifier":
        """Learn more examples X [n features] with labels y [n], in their order. The first call needs all `classes`.

        Raises:
          ValueError: shapes do not fit, or a label is none of the classes.
        """
        first = not hasattr(self, "online_")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        check_classification_targets(y)
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit: all labels that may come.")
        known = self.classes_ if classes is None else np.asarray(unique_labels(classes))
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"classes (={known}) must be those of the first call, {self.classes_}: leave them out.")
        places = {label: place for place, label in enumerate(known.tolist())}
        numbers = np.array([places.get(label, -1) for label in y.tolist()])
        if (numbers < 0).any():
            raise ValueError(f"y has the labels {np.unique(y[numbers < 0])}, which are none of the classes {known}.")
        if first:
            self.online_ = self._online(check_random_state(self.random_state), len(known))
            self.classes_ = known
        self.online_.learn(X, numbers)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities [n classes] of the classes, in the order of `classes_`, for examples X [n features].

        Raises:
          NotFittedError: nothing was learned yet.
        """
        check_is_fitted(self, "online_")
        return self.online_.probabilities(np.asarray(validate_data(self, X, dtype=np.float64, reset=False)))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label [n] of each example of X [n features]."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def _online(self, random: np.random.RandomState, classes: int) -> Online:
        own = {"random_features": self.random_features, "standardise": self.standardise, "seed": random.randint(2**31)}
        return Online(self.rule, self.n_features_in_, classes, **own)
