"""What is true of every learner, whatever it learns by."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.core.rollout import rollout, unroll
from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.feedback.descent import Descent, descent
from vsml.feedback.local_plasticity import Rule, local_plasticity
from vsml.feedback.network import System, Trunk
from vsml.learners.fast_memory import fast_memory
from vsml.learners.gradient import gradient
from vsml.learners.hebbian import hebbian
from vsml.learners.meta_rnn import meta_rnn
from vsml.learners.network import network
from vsml.learners.rivals import naive_bayes, nearest_mean, nearest_neighbour, ridge
from vsml.learners.wrappers import conv_features, conv_front, padded
from vsml.random_features import with_random_features
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import Rules, neural_rules

FEATURES, CLASSES, TIME = 5, 3, 4
IMAGE = (5, 1, 1)  # the same features as an image, for those who convolve
BY_TARGET = Rule(
    plastic=2,
    source="target",
    output="target",
    hidden_hear="signed",
    drive="feedback",
    derivative=False,
    rectified=True,
    feedback_hidden=(),
    decay=True,
    per="synapse",
    plasticity=0.05,
    hidden_gain=1.0,
    strength=1.0,  # less lets large activities into the rule, which has no bound
    birth="learned",
)
BY_ERROR = BY_TARGET._replace(source="error", output="mixed", plasticity=0.001, strength=0.9)
LEARNERS = {
    "sgd": gradient((FEATURES, CLASSES), optax.sgd(0.1)),
    "adam, hidden layer": gradient((FEATURES, 4, CLASSES), optax.adam(0.01)),
    "sgd, convolutions": gradient(
        (FEATURES, CLASSES), optax.sgd(0.1), image=IMAGE, convolutions=((3, 3, 2), (2, 3, 1))
    ),
    "rival, nearest mean": nearest_mean(FEATURES, CLASSES),
    "rival, nearest neighbour": nearest_neighbour(FEATURES, CLASSES, 2 * TIME),
    "rival, ridge": ridge(FEATURES, CLASSES, 0.1),
    "rival, naive Bayes": naive_bayes(FEATURES, CLASSES, 0.01),
    "network": network((FEATURES, CLASSES)),
    "network, backward pass": network(
        (FEATURES, CLASSES), ticks=1, backward_pass=True, feed_label=True, layer_norm=True
    ),
    "network, two layers": network((FEATURES, 4, CLASSES)),
    "network, two layers, backward pass, per layer": network(
        (FEATURES, 4, CLASSES), ticks=1, backward_pass=True, feed_label=True, layer_norm=True, per_layer=True
    ),
    "network, batch of 3": network((FEATURES, CLASSES), batch=3),
    "meta rnn": meta_rnn(FEATURES, CLASSES, hidden=4),
    "hebb": hebbian(FEATURES, CLASSES, oja=False),
    "oja": hebbian(FEATURES, CLASSES, oja=True),
    "fast memory": fast_memory(FEATURES, CLASSES, hidden=4, rows=3, columns=9),
    "padded meta rnn": padded(meta_rnn(7, 5, hidden=4), 7, 5, FEATURES, CLASSES),
    "oja behind convolutions": conv_front(hebbian(conv_features(IMAGE, 4), CLASSES, oja=True), IMAGE, 4),
    "fast memory behind convolutions, padded": padded(
        conv_front(fast_memory(conv_features((7, 1, 1), 2), 5, hidden=4, rows=3, columns=4), (7, 1, 1), 2),
        7,
        5,
        FEATURES,
        CLASSES,
    ),
    "network with random features": with_random_features(lambda *sizes: network(sizes), 6)(FEATURES, CLASSES),
    "neural rules, direct": neural_rules(GRAPHS["direct"](FEATURES, CLASSES, 0, 1.0), Rules()),
    "neural rules, hidden": neural_rules(GRAPHS["hidden"](FEATURES, CLASSES, 4, 1.0), Rules(kind="gru")),
    "feedback by target": local_plasticity((FEATURES, 4, CLASSES), BY_TARGET, classifies=True),
    "feedback by error, mini-batch": local_plasticity((FEATURES, 4, CLASSES), BY_ERROR, classifies=False),
    "feedback, random at birth, behind a trunk": System(
        local_plasticity((6, 4, CLASSES), BY_TARGET._replace(birth="random"), classifies=True),
        Trunk(IMAGE, ((2, 3, 2),)),
    ).whole(),
    "learned descent": descent((FEATURES, 4, CLASSES), Descent(2, "second", 0.1, "synapse", 10.0), cross_entropy),
}
BATCH = {"network, batch of 3": (3,), "feedback by error, mini-batch": (2,)}
UNBOUNDED = {"feedback by error, mini-batch"}  # errors of any size go into the rule as they are
FROZEN_FIRST = {"feedback, random at birth, behind a trunk"}  # first weights of plastic layers are not used
SAME_INITIAL_STATE = {
    name
    for name in LEARNERS
    if any(
        kind in name for kind in ("rival", "meta rnn", "hebb", "oja", "fast memory", "feedback by", "learned descent")
    )
}  # nothing about their birth is random

pytestmark = pytest.mark.parametrize("name", LEARNERS)


def make_episode(name, seed=0, time=TIME):
    random, shape = np.random.default_rng(seed), (time, *BATCH.get(name, ()))
    x = random.normal(size=(*shape, FEATURES)).astype(np.float32)
    return Episode(jnp.asarray(x), jnp.asarray(np.eye(CLASSES, dtype=np.float32)[random.integers(CLASSES, size=shape)]))


@functools.cache
def theta(name):
    return jax.jit(LEARNERS[name].init_theta)(jax.random.key(5))


@functools.cache
def compiled(name):
    """Initial state and episode, compiled once for all laws."""
    return jax.jit(LEARNERS[name].init_state), jax.jit(functools.partial(unroll, LEARNERS[name]))


def live(name, key, episode):
    start, unrolled = compiled(name)
    return unrolled(theta(name), start(theta(name), key), episode)[1]


def close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)


def test_a_prediction_never_depends_on_its_label_or_later_ones(name, key):
    episode = make_episode(name)
    before = np.asarray(live(name, key, episode))
    for t in (0, TIME - 2):
        other = episode._replace(y=episode.y.at[t:].set(jnp.roll(episode.y[t:], 1, axis=-1)))
        after = np.asarray(live(name, key, other))
        np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
        assert not np.array_equal(before[t + 1], after[t + 1]), "it learns from the label, at once"


def test_a_prediction_depends_on_its_example_and_not_on_later_ones(name, key):
    episode = make_episode(name)
    before = np.asarray(live(name, key, episode))
    after = np.asarray(live(name, key, episode._replace(x=episode.x.at[2:].add(1.0))))
    np.testing.assert_array_equal(before[:2], after[:2])
    assert not np.array_equal(before[2], after[2])


def test_an_episode_may_be_cut_and_resumed(name, key):
    start, unrolled = compiled(name)
    episode = make_episode(name, time=2 * TIME)
    end, whole = unrolled(theta(name), start(theta(name), key), episode)
    middle, first = unrolled(theta(name), start(theta(name), key), jax.tree.map(lambda z: z[:TIME], episode))
    resumed, second = unrolled(theta(name), middle, jax.tree.map(lambda z: z[TIME:], episode))
    close(np.concatenate([first, second]), whole)
    close(resumed, end)


def test_same_key_same_episode(name, key):
    episode = make_episode(name)
    lifetime = live(name, key, episode)
    np.testing.assert_array_equal(lifetime, live(name, key, episode))
    assert np.array_equal(lifetime, live(name, jax.random.key(1), episode)) == (name in SAME_INITIAL_STATE)


def test_vmap_equals_a_loop(name, key):
    keys = jax.random.split(key, 2)
    episodes = [make_episode(name, seed) for seed in range(2)]
    together = jax.jit(jax.vmap(functools.partial(rollout, LEARNERS[name]), in_axes=(None, 0, 0)))
    found = together(theta(name), keys, jax.tree.map(lambda *z: np.stack(z), *episodes))
    close(found, np.stack([live(name, k, e) for k, e in zip(keys, episodes, strict=True)]))


def test_jit_equals_no_jit(name, key):
    learner, episode = LEARNERS[name], make_episode(name)
    state, predictions = compiled(name)[0](theta(name), key), []
    for x, y in zip(episode.x[:2], episode.y[:2], strict=True):
        state, prediction = learner.step(theta(name), state, x, y)
        predictions.append(prediction)
    close(np.stack(predictions), live(name, key, episode)[:2])


def test_the_state_keeps_its_shapes_and_dtypes(name, key):
    learner, episode = LEARNERS[name], make_episode(name)
    initial_state = jax.eval_shape(learner.init_state, theta(name), key)
    state, prediction = jax.eval_shape(learner.step, theta(name), initial_state, episode.x[0], episode.y[0])

    def kinds(tree):
        return jax.tree.map(lambda z: (z.shape, z.dtype), tree)

    assert kinds(state) == kinds(initial_state)
    assert prediction.shape == episode.y[0].shape and prediction.dtype == episode.y.dtype


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_finite_after_200_steps(name, key, size):
    if name in UNBOUNDED and size > 1:
        pytest.skip("Oja's rule with errors has no bound, in the paper as here")
    start, unrolled = compiled(name)
    state, episode = start(theta(name), key), make_episode(name)
    episode = episode._replace(x=size * episode.x)
    for _ in range(200 // TIME):
        state, predictions = unrolled(theta(name), state, episode)
    assert all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves((state, predictions)))


def test_the_gradient_through_100_steps_is_finite(name, key):
    episode = make_episode(name, time=100)

    @jax.jit
    @jax.grad
    def gradient_of_loss(theta_and_x):
        theta, x = theta_and_x
        return cross_entropy(rollout(LEARNERS[name], theta, key, episode._replace(x=x)), episode.y).mean()

    grads = jax.tree.leaves(gradient_of_loss((theta(name), episode.x)))
    assert all(bool(np.isfinite(leaf).all()) for leaf in grads)
    if (
        not name.startswith("network") and name not in FROZEN_FIRST
    ):  # where nobody hears the messages down from a lone layer
        assert all(leaf.any() for leaf in grads)
