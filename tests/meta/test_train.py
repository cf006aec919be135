"""The outer loop: it learns, it resumes to the bit, it survives what is not finite."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.learners.network import network
from vsml.meta.estimators import backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import NonFiniteMetaGradientError, guarded, meta_train, sampler, start


@pytest.fixture(autouse=True)
def optax_promotes():
    """Adam of optax raises a float to the power of an integer, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


LEARNER = network((2, 2), hidden=4, message=3, ticks=1, backward_pass=True, feed_label=True)


def always_the_same_class(key):
    """Half of all lives see class 0 only, half class 1 only: one label is enough to know."""
    y = jnp.broadcast_to(jax.nn.one_hot(jax.random.randint(key, (), 0, 2), 2), (10, 2))
    return Episode(jax.random.normal(key, (10, 2)), y)


def trainer(optimizer, estimator=None, patience=3):
    estimator = estimator or backprop(lifetime_loss(LEARNER, cross_entropy))
    guard = guarded(optimizer, patience)
    theta = LEARNER.init_theta(jax.random.key(0))
    loop = partial(
        meta_train, estimator, guard, sampler(always_the_same_class, 8), key=jax.random.key(1), patience=patience
    )
    return loop, start(theta, guard)


def test_meta_training_learns_to_learn():
    loop, state = trainer(optax.adam(0.03))
    losses = [float(report.loss) for _, _, report in loop(state=state, steps=150)]
    assert losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert np.mean(losses[-10:]) < 0.25


def test_a_run_resumes_to_the_bit():
    loop, state = trainer(optax.adam(0.03))
    whole = [(step, s) for step, s, _ in loop(state=state, steps=8)]
    rest = [(step, s) for step, s, _ in loop(state=whole[4][1], steps=3)]
    assert [step for step, _ in rest] == [6, 7, 8]
    jax.tree.map(np.testing.assert_array_equal, rest[-1][1], whole[-1][1])


def sick(when):
    """The honest gradient, but not a number whenever `when` says so of the loss of this step."""
    honest = backprop(lifetime_loss(LEARNER, cross_entropy))

    def value_and_grad(theta, keys, episodes):
        loss, grad = honest(theta, keys, episodes)
        return loss, jax.tree.map(lambda g: jnp.where(when(episodes), jnp.nan, g), grad)

    return value_and_grad


def test_a_meta_gradient_that_is_not_finite_is_skipped():
    loop, state = trainer(optax.adam(0.03), sick(lambda episodes: episodes.x[0, 0, 0] > 0), patience=30)
    seen, before = set(), state
    for _, after, report in loop(state=state, steps=12):
        moved = any(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), before.theta, after.theta)))
        assert moved != bool(report.skipped)
        seen.add(bool(report.skipped))
        before = after
    assert seen == {True, False}
    assert int(before.step) == 12


def test_meta_gradients_that_stay_bad_end_the_run():
    loop, state = trainer(optax.adam(0.03), sick(lambda episodes: True), patience=3)
    with pytest.raises(NonFiniteMetaGradientError, match=r"3 meta-gradients in a row .* meta-step 2"):
        list(loop(state=state, steps=10))
