"""Learning algorithms that are learned.

    names, load, save   learned rules: those that ship, and files
    VSMLClassifier      a rule as an estimator of scikit-learn; `vsml.river` has one for river
    meta_train          a rule of one's own

Each is imported when it is asked for, so that `import vsml` takes no time and no package that is not used.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from vsml.classifier import VSMLClassifier
    from vsml.meta_training import meta_train
    from vsml.zoo import Rule, names, save

__all__ = ["Rule", "VSMLClassifier", "load", "meta_train", "names", "save"]


def load(name: "str | os.PathLike[str]", horizon: int | None = None) -> "Rule":
    """A learned rule: of one of the `names` that ship with the package, or of a file NAME.npz, such as `save` writes.

    It has a name, theta, settings, provenance, a card, and `learner(features, classes)`, which makes the learner of
    that size; see `vsml.zoo.Rule`.

    Rules of VSML fit every number of features and classes. Examples are standardised, labels one-hot, and each example
    is predicted (logits) before its label is shown:

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import vsml
    >>> from sklearn.datasets import load_breast_cancer
    >>> from vsml.core.rollout import rollout, unroll
    >>> from vsml.core.types import Episode
    >>> x, y = (jnp.asarray(z, float) for z in load_breast_cancer(return_X_y=True))
    >>> x = (x - x.mean(0)) / x.std(0)
    >>> rule = vsml.load("digits")
    >>> learner = rule.learner(features=30, classes=2)
    >>> logits = rollout(learner, rule.theta, jax.random.key(0), Episode(x, jax.nn.one_hot(y, 2)))
    >>> bool((logits.argmax(1) == y).mean() > 0.85)
    True

    So do those that learned to remember (names `recall_…`, a reconstruction), which are one for each `horizon` of its
    meta-training; the longest unless it is given. Features are then the bits -1 and 1 of a cue, and classes those of
    its answer:

    >>> rule = vsml.load("recall_direct", horizon=4)
    >>> learner = rule.learner(features=8, classes=8)
    >>> cue, answer = jax.random.rademacher(jax.random.key(0), (2, 4, 8), float)
    >>> initial_state = learner.init_state(rule.theta, jax.random.key(1))
    >>> state, _ = unroll(learner, rule.theta, initial_state, Episode(cue, answer))
    >>> recalled = jax.vmap(lambda x: learner.step(rule.theta, state, x, 0 * x)[1])(cue)  # logits, from the state alone
    >>> right = ((recalled > 0) == (answer > 0)).mean()

    Networks that learn by feedback (names `flp_…`) have the one size of their theta. An example of this one has 16
    points: which of 5 functions it is and x, for y; it is predicted before it teaches:

    >>> from vsml.feedback.tasks import Course, sines
    >>> rule = vsml.load("flp_sines")
    >>> support = sines(Course(parts=5, support=10, queries=1, in_order=True), points=16)(jax.random.key(0))
    >>> predictions = rollout(rule.learner(features=6, classes=1), rule.theta, jax.random.key(1), support)
    >>> predictions.shape
    (55, 16, 1)

    Raises:
      ValueError: there is none of that name, the file is no rule, or it was not meta-trained for that horizon.
    """
    from vsml import zoo  # not before it is asked for: no stage depends on the zoo

    return zoo.load(name, horizon)


def __getattr__(name: str) -> Any:
    rooms = dict.fromkeys(("Rule", "names", "save"), "zoo")
    rooms |= {"VSMLClassifier": "classifier", "meta_train": "meta_training"}
    if name == "__version__":
        return importlib.metadata.version("vsml")
    if name not in rooms:
        raise AttributeError(f"module 'vsml' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"vsml.{rooms[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sklearn":
            raise
        raise ModuleNotFoundError(f"{name} needs scikit-learn: pip install 'vsml[sklearn]'.", name="sklearn") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
