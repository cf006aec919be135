"""What a user would try first: online learners with nothing to meta-learn and, but for a strength, nothing to set.

    nearest_mean        the class whose mean is nearest                         memory: constant, c (d + 1)
    ridge               linear regression on one-hot labels, penalised          memory: constant, (d + 1) (d + 1 + c)
    naive_bayes         Gaussian classes with a variance of each feature        memory: constant, c (2 d + 1)
    nearest_neighbour   the class of the nearest example                        memory: grows, n (d + c) + 1

d, c, n: features, classes, examples of an episode; memory in numbers. All are exact: after any examples they hold what
fitting these at once would give (tests compare scikit-learn's NearestCentroid, Ridge, GaussianNB, KNeighborsClassifier
of one neighbour). Theta is (), all episodes begin alike. Answers are the classes of the largest logit, and of equals
the first. Before any example all logits are equal. Where logits are from distances or densities they are differences
to the best class, which has 0, and a class not seen yet has the lowest there is, -100; of `ridge` see there.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vsml.core.scores import bounded
from vsml.core.types import Learner, RandomKey

Strength = float | Float[Array, ""]  # of regularisation; may be traced, so that a grid is one `vmap`


class Means(NamedTuple):
    count: Float[Array, " classes"]
    mean: Float[Array, "classes features"]  # of each class


class Variances(NamedTuple):
    count: Float[Array, " classes"]
    mean: Float[Array, "classes features"]
    squares: Float[Array, "classes features"]  # the sum of squared deviations from the mean


class Regression(NamedTuple):
    weights: Float[Array, "heard classes"]
    root: Float[Array, "heard heard"]  # R, where R R^T is the inverse of the penalised sum of x x^T


class Examples(NamedTuple):
    x: Float[Array, "time features"]
    y: Float[Array, "time classes"]
    seen: Int[Array, ""]


def nearest_mean(features: int, classes: int) -> Learner:
    """Answer the class whose mean is nearest; logits are -|x - mean|^2 / 2.

    That is Bayes' rule for classes that are equally frequent and Gaussian with the unit matrix as covariance.
    """

    def init_state(theta: tuple[()], key: RandomKey) -> Means:
        del theta, key
        return Means(jnp.zeros(classes), jnp.zeros((classes, features)))

    def step(theta: tuple[()], state: Means, x: Float[Array, " features"], y: Float[Array, " classes"]):
        logits = relative(-0.5 * jnp.square(x[None] - state.mean).sum(1), state.count > 0)
        return Means(state.count + y, _moved(state.count, state.mean, x, y)), logits

    return Learner(lambda key: (), init_state, step)


def naive_bayes(features: int, classes: int, strength: Strength) -> Learner:
    """Bayes' rule for Gaussian classes whose features are independent; the frequency of a class is its prior.

    To each variance is added `strength` times the largest variance of any feature over all examples so far (the
    `var_smoothing` of scikit-learn), or `strength` itself while all examples are equal. Welford's recursion keeps the
    variances, without differences of large sums.
    """

    def init_state(theta: tuple[()], key: RandomKey) -> Variances:
        del theta, key
        nothing = jnp.zeros((classes, features))
        return Variances(jnp.zeros(classes), nothing, nothing)

    def step(theta: tuple[()], state: Variances, x: Float[Array, " features"], y: Float[Array, " classes"]):
        count, mean, squares = state
        some, total = jnp.maximum(count, 1.0), jnp.maximum(count.sum(), 1.0)
        center = count @ mean / total
        of_all = (squares.sum(0) + count @ jnp.square(mean - center[None])) / total
        largest = of_all.max()
        variance = squares / some[:, None] + strength * jnp.where(largest > 0, largest, 1.0)
        fit = (jnp.log(variance) + jnp.square(x[None] - mean) / variance).sum(1)
        logits = relative(jnp.log(some) - 0.5 * fit, count > 0)

        after = _moved(count, mean, x, y)
        squares = squares + y[:, None] * (x[None] - mean) * (x[None] - after)
        return Variances(count + y, after, squares), logits

    return Learner(lambda key: (), init_state, step)


def ridge(features: int, classes: int, strength: Strength) -> Learner:
    """Linear regression on one-hot labels with an L2 penalty of `strength` on all weights, by recursive least squares.

    One more input is always one. Logits are the predicted labels, which rank the classes but are no probabilities: 0
    for all before any example, and for a class not seen yet. The recursion is in Potter's form, of a square root of
    the inverse (G. J. Bierman, "Factorization Methods for Discrete Sequential Estimation", 1977, ch. II): the plain
    one loses its positive definiteness in float32.
    """
    heard = features + 1

    def init_state(theta: tuple[()], key: RandomKey) -> Regression:
        del theta, key
        return Regression(jnp.zeros((heard, classes)), jnp.eye(heard) / jnp.sqrt(strength))

    def step(theta: tuple[()], state: Regression, x: Float[Array, " features"], y: Float[Array, " classes"]):
        weights, root = state
        x = jnp.append(x, jnp.ones(1, x.dtype))
        predicted = x @ weights
        f = x @ root
        share = 1 / (1 + f @ f)
        gain = root @ f
        weights = weights + share * jnp.outer(gain, y - predicted)
        root = root - share / (1 + jnp.sqrt(share)) * jnp.outer(gain, f)
        return Regression(weights, root), bounded(predicted)

    return Learner(lambda key: (), init_state, step)


def nearest_neighbour(features: int, classes: int, length: int) -> Learner:
    """Answer the class of the nearest of the last `length` examples: of all, if no episode is longer.

    The logit of a class is -|x - its nearest example|^2 / 2. Its memory grows with the examples, as no other
    learner's here does, so it is a mark to aim at and no rival of equal means.
    """

    def init_state(theta: tuple[()], key: RandomKey) -> Examples:
        del theta, key
        return Examples(jnp.zeros((length, features)), jnp.zeros((length, classes)), jnp.zeros((), jnp.int32))

    def step(theta: tuple[()], state: Examples, x: Float[Array, " features"], y: Float[Array, " classes"]):
        closeness = -0.5 * jnp.square(x[None] - state.x).sum(1)
        own = jnp.where(state.y > 0, closeness[:, None], -jnp.inf).max(0)
        logits = relative(own, state.y.any(0))
        place = state.seen % length
        return Examples(state.x.at[place].set(x), state.y.at[place].set(y), state.seen + 1), logits

    return Learner(lambda key: (), init_state, step)


def _moved(
    count: Float[Array, " classes"],
    mean: Float[Array, "classes features"],
    x: Float[Array, " features"],
    y: Float[Array, " classes"],
) -> Float[Array, "classes features"]:
    """The means of the classes after one more example."""
    return mean + (y / (count + 1))[:, None] * (x[None] - mean)


def relative(scores: Float[Array, " classes"], seen: Bool[Array, " classes"]) -> Float[Array, " classes"]:
    """Logits from scores. Large ones would all be cut at the bound; their differences to the best one are not."""
    best = jnp.where(seen, scores, -jnp.inf).max()
    return bounded(jnp.where(seen, scores - best, -jnp.inf))
