"""What is true of every learner, whatever it learns by."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.vsml import made
from tests.vsml.made import close
from vsml.core.rollout import rollout, unroll
from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.feedback.descent import Descent, descent
from vsml.feedback.local_plasticity import local_plasticity
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
BY_TARGET = made.RULE._replace(  # with less strength, large activities get into the rule, which has no bound
    plastic=2, source="target", output="target", plasticity=0.05, strength=1.0
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
SAME_INITIAL_STATE = (  # nothing about their birth is random
    "rival",
    "meta rnn",
    "hebb",
    "oja",
    "fast memory",
    "feedback by",
    "learned descent",
)
# Those that are meta-learned, less those whose steps are among the steps of another one here.
META_LEARNED = [
    name
    for name in LEARNERS
    if not name.startswith(("sgd", "adam", "rival"))
    and name not in ("network, backward pass", "network with random features")
]
NOT_COMPILED = ("sgd", "rival, nearest neighbour", "network, two layers", "feedback by target")
each_learner = pytest.mark.parametrize("name", LEARNERS)
SAME, LABELS, LAST_LABELS, EXAMPLES, KEY, LARGE = range(6)  # the lifetimes that are lived side by side


def make_episode(name, time=TIME):
    return made.episode(FEATURES, CLASSES, time, *BATCH.get(name, ()))


@functools.cache
def lifetimes(name):
    """Of each kind one, side by side: theta, their states at birth and episodes, and the program for all of them."""
    x, y = (np.stack([part] * 6) for part in make_episode(name))
    for lifetime, first in ((LABELS, 0), (LAST_LABELS, TIME - 2)):
        y[lifetime, first:] = np.roll(y[lifetime, first:], 1, axis=-1)
    x[EXAMPLES, 2:] += 1.0
    x[LARGE] *= 1e4
    live = jax.jit(jax.vmap(functools.partial(unroll, LEARNERS[name]), in_axes=(None, 0, 0)))

    @jax.jit
    def born(theta_key, keys):
        theta = LEARNERS[name].init_theta(theta_key)
        return theta, jax.vmap(LEARNERS[name].init_state, in_axes=(None, 0))(theta, keys)

    keys = jax.random.split(jax.random.key(0))[(np.arange(6) == KEY).astype(int)]
    return *born(jax.random.key(5), keys), Episode(jnp.asarray(x), jnp.asarray(y)), live


@functools.cache
def lived(name):
    """The last states and the predictions."""
    theta, initial_states, episodes, live = lifetimes(name)
    return jax.tree.map(np.asarray, live(theta, initial_states, episodes))


def differ(a, b):
    """By more than rounding: other lifetimes side by side may be rounded otherwise."""
    return np.abs(a - b).max() > 1e-6 * np.abs(a).max()


@each_learner
def test_a_prediction_never_depends_on_its_label_or_later_ones(name):
    _, predictions = lived(name)
    assert predictions.shape[1:] == make_episode(name).y.shape and predictions.dtype == np.float32
    before = predictions[SAME]
    for lifetime, t in ((LABELS, 0), (LAST_LABELS, TIME - 2)):
        assert not differ(predictions[lifetime][: t + 1], before[: t + 1])
        assert differ(predictions[lifetime][t + 1], before[t + 1]), "it learns from the label, at once"


@each_learner
def test_a_prediction_depends_on_its_example_not_on_later_ones_and_on_the_key_where_birth_is_random(name):
    _, predictions = lived(name)
    assert not differ(predictions[EXAMPLES][:2], predictions[SAME][:2])
    assert differ(predictions[EXAMPLES][2], predictions[SAME][2])
    same = any(kind in name for kind in SAME_INITIAL_STATE)
    assert differ(predictions[KEY], predictions[SAME]) != same


@pytest.mark.parametrize("name", ["sgd", "rival, nearest neighbour", *META_LEARNED])
def test_side_by_side_and_at_one_go_is_step_by_step(name):
    """Without vmap, and cut after every step; of some kinds without jit as well, which compiles each operation."""
    (theta, initial_states, *_), (last, expected) = lifetimes(name), lived(name)
    step = LEARNERS[name].step if name in NOT_COMPILED else jax.jit(LEARNERS[name].step)
    state, predictions = jax.tree.map(lambda z: z[SAME], initial_states), []
    for x, y in zip(*make_episode(name), strict=True):
        state, prediction = step(theta, state, x, y)
        predictions.append(prediction)
    close(np.stack(predictions), expected[SAME])
    close(state, jax.tree.map(lambda z: z[SAME], last))


@each_learner
def test_finite_after_200_steps(name):
    theta, states, episodes, live = lifetimes(name)
    for _ in range(200 // TIME):
        states, predictions = live(theta, states, episodes)
    # Oja's rule with errors has no bound, in the paper as here.
    kept = slice(LARGE) if name in UNBOUNDED else slice(None)
    assert all(np.isfinite(leaf[kept]).all() for leaf in jax.tree.leaves((states, predictions)))


@pytest.mark.parametrize("name", [name for name in META_LEARNED if name != "neural rules, hidden"])
def test_the_gradient_through_100_steps_is_finite(name, key):
    episode = make_episode(name, time=100)

    @jax.jit
    @jax.grad
    def gradient_of_loss(theta_and_x):
        theta, x = theta_and_x
        return cross_entropy(rollout(LEARNERS[name], theta, key, episode._replace(x=x)), episode.y).mean()

    grads = jax.tree.leaves(gradient_of_loss((lifetimes(name)[0], episode.x)))
    assert all(np.isfinite(leaf).all() for leaf in grads)
    if not name.startswith("network") and name not in FROZEN_FIRST:
        assert all(np.any(leaf) for leaf in grads)  # nobody hears the messages down from a lone layer
