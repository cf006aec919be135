"""The outer loop: it learns, it resumes to the bit, it survives what is not finite."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.learners.meta_rnn import meta_rnn
from vsml.learners.network import network
from vsml.learners.wrappers import padded
from vsml.meta.estimators import backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, NonFiniteMetaGradientError, guarded, meta_train, start


@pytest.fixture(autouse=True)
def optax_promotes():
    """Adam of optax raises a float to the power of an integer, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


NETWORK = network((2, 2), hidden=4, message=3, ticks=1, backward_pass=True, feed_label=True)
LEARNER = meta_rnn(2, 2, hidden=3)  # compiled sooner, for all that is no learning
ADAM = optax.adam(0.03)


def always_the_same_class(key):
    """Half of all episodes see class 0 only, half class 1 only: one label is enough to know."""
    y = jnp.broadcast_to(jax.nn.one_hot(jax.random.randint(key, (), 0, 2), 2), (10, 2))
    return Episode(jax.random.normal(key, (10, 2)), y)


HONEST = {learner: backprop(lifetime_loss(learner, cross_entropy)) for learner in (LEARNER, NETWORK)}


def trainer(estimator=HONEST[LEARNER], learner=LEARNER, patience=3):
    guard = guarded(ADAM, patience)
    groups = [Group(estimator, jax.tree_util.Partial(always_the_same_class), 8)]
    loop = partial(meta_train, groups, guard, key=jax.random.key(1), patience=patience)
    return loop, start(jax.jit(learner.init_theta)(jax.random.key(0)), guard)


def test_meta_training_learns_to_learn():
    loop, state = trainer(HONEST[NETWORK], NETWORK)
    losses = [float(report.loss) for _, _, report in loop(state=state, steps=100)]
    assert losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert np.mean(losses[-10:]) < 0.25


def test_a_run_resumes_to_the_bit():
    loop, state = trainer()
    whole = [(step, s) for step, s, _ in loop(state=state, steps=8)]
    rest = [(step, s) for step, s, _ in loop(state=whole[4][1], steps=3)]
    assert [step for step, _ in rest] == [6, 7, 8]
    jax.tree.map(np.testing.assert_array_equal, rest[-1][1], whole[-1][1])


def sick(when):
    """The honest gradient, but not a number whenever `when` says so of the loss of this step."""

    def value_and_grad(theta, keys, draw):
        loss, grad = HONEST[LEARNER](theta, keys, draw)
        return loss, jax.tree.map(lambda g: jnp.where(when(draw(keys[0])), jnp.nan, g), grad)

    return value_and_grad


def test_a_meta_gradient_that_is_not_finite_is_skipped():
    loop, state = trainer(sick(lambda episode: episode.x[0, 0] > 0), patience=30)
    seen, before = set(), state
    for _, after, report in loop(state=state, steps=12):
        moved = any(
            np.any(np.asarray(a) != np.asarray(b))
            for a, b in zip(*map(jax.tree.leaves, (before.theta, after.theta)), strict=True)
        )
        assert moved != bool(report.skipped)
        seen.add(bool(report.skipped))
        before = after
    assert seen == {True, False}
    assert int(before.step) == 12


def test_meta_gradients_that_stay_bad_end_the_run():
    loop, state = trainer(sick(lambda episode: True), patience=3)
    with pytest.raises(NonFiniteMetaGradientError, match=r"3 meta-gradients in a row .* meta-step 2"):
        list(loop(state=state, steps=10))


def wider(key):
    """The same task with other sizes."""
    episode = always_the_same_class(key)
    return Episode(jnp.tile(episode.x, (1, 2)), episode.y)


def test_groups_of_other_sizes_add_up_to_the_mean_over_all_episodes():
    """Two groups, of 8 and of 4 episodes, against the two gradients weighted by hand."""
    narrow, wide = (padded(meta_rnn(4, 2, hidden=3), 4, 2, features, 2) for features in (2, 4))
    groups = [
        Group(backprop(lifetime_loss(learner, cross_entropy)), jax.tree_util.Partial(draw), population)
        for learner, draw, population in ((narrow, always_the_same_class, 8), (wide, wider, 4))
    ]
    guard = guarded(optax.sgd(0.5), 3)
    theta, key = jax.jit(narrow.init_theta)(jax.random.key(0)), jax.random.key(1)
    ((_, state, report),) = meta_train(groups, guard, start(theta, guard), key, steps=1, patience=3)
    step_key, parts = jax.random.fold_in(key, 0), []
    for number, group in enumerate(groups):
        keys = jax.random.split(jax.random.fold_in(step_key, number), group.population)
        parts.append(jax.jit(group.value_and_grad)(theta, keys, group.draw))
    loss, grad = jax.tree.map(lambda a, b: (8 * np.asarray(a) + 4 * np.asarray(b)) / 12, *parts)
    assert float(report.loss) == pytest.approx(float(loss), rel=1e-5)
    assert float(report.grad_norm) == pytest.approx(float(optax.tree.norm(grad)), rel=1e-5)
    moved = jax.tree.map(lambda before, after: (np.asarray(before) - np.asarray(after)) / 0.5, theta, state.theta)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), moved, grad)


def compilations(run):
    """How often JAX compiled anything while `run` ran."""
    seen = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        run()
    finally:
        jax.monitoring.clear_event_listeners()
    return sum("backend_compile" in event for event in seen)


def test_seeds_share_one_compiled_program():
    """Keys and data are arguments: another seed compiles nothing."""
    loop, state = trainer(backprop(lifetime_loss(LEARNER, cross_entropy)))
    other = jax.random.key(5)
    assert compilations(lambda: list(loop(state=state, steps=1))) > 0
    assert compilations(lambda: list(loop(state=state, steps=1, key=other))) == 0
