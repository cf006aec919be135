"""The meta-learned baselines against plain loops over their equations, in float64; their sizes; and that they learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.vsml import made
from vsml.core.rollout import rollout, unroll
from vsml.core.scores import cross_entropy
from vsml.core.types import Episode
from vsml.learners.fast_memory import fast_memory
from vsml.learners.hebbian import hebbian
from vsml.learners.meta_rnn import meta_rnn
from vsml.learners.wrappers import conv_features, conv_front
from vsml.meta.losses import lifetime_loss

RULES = pytest.mark.parametrize("oja", [False, True], ids=["hebb", "oja"])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


def bounded(z):
    return 100 * np.tanh(z / 100)


def plain_lstm(lstm, heard, hidden, memory):
    z = np.concatenate([heard, hidden]) @ np.concatenate([lstm["w_heard"], lstm["w_hidden"]]) + lstm["bias"]
    i, g, f, o = np.split(z, 4)
    memory = sigmoid(f + 1) * memory + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(memory), memory


def dense(layer, z):
    return z @ layer["kernel"] + layer["bias"]


@pytest.mark.parametrize("ticks", [1, 2])
def test_meta_rnn_is_the_plain_loop(ticks):
    (theta, episode), ours, state = made.off_start(meta_rnn(5, 3, hidden=4, ticks=ticks), 5, 3)
    hidden = memory = np.zeros(4)
    error = label = np.zeros(3)
    for x, y, prediction in zip(*episode, ours, strict=True):
        for _ in range(ticks):
            hidden, memory = plain_lstm(theta["lstm"], np.concatenate([x, error, label]), hidden, memory)
        logits = bounded(dense(theta["readout"], hidden))
        np.testing.assert_allclose(prediction, logits, atol=1e-5)
        error, label = softmax(logits) - y, y
    for found, expected in ((state.lstm.hidden, hidden), (state.lstm.memory, memory), (state.error, error)):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(state.label, label)


def test_fast_memory_is_the_plain_loop():
    (theta, episode), ours, state = made.off_start(fast_memory(5, 3, hidden=6, rows=4, columns=9), 5, 3)
    hidden = cell = np.zeros(6)
    memory, norms = np.zeros((4, 9)), []
    error = label = np.zeros(3)
    for x, y, prediction in zip(*episode, ours, strict=True):
        hidden, cell = plain_lstm(theta["lstm"], np.concatenate([x, error, label]), hidden, cell)
        written = dense(theta["write"], hidden)
        k1, k2, value = np.tanh(written[:3]), np.tanh(written[3:6]), np.tanh(written[6:-1])
        key = np.array([a * b for a in k1 for b in k2])
        memory = memory + sigmoid(written[-1]) * np.outer(value - memory @ key, key)
        norms.append(np.linalg.norm(memory))
        memory = memory / max(norms[-1], 1)
        asked = np.tanh(dense(theta["read"], hidden))
        found = memory @ np.array([a * b for a in asked[:3] for b in asked[3:]])
        found = (found - found.mean()) / np.sqrt(found.var() + 1e-5)
        logits = bounded(dense(theta["out"], hidden + dense(theta["found"], found)))
        np.testing.assert_allclose(prediction, logits, atol=1e-5)
        error, label = softmax(logits) - y, y
    assert min(norms) < 1 < max(norms), "the norm is clipped in some steps and not in others"
    np.testing.assert_allclose(state.memory, memory, atol=1e-5)


@RULES
def test_hebbian_is_the_plain_loop(oja):
    slow = hebbian(5, 3, oja=oja)
    learner = slow._replace(init_theta=lambda key: {**slow.init_theta(key), "rate": jnp.asarray(-0.5)})
    (theta, episode), ours, state = made.off_start(learner, 5, 3)
    fast, eta = np.zeros((5 + 2 * 3, 3)), sigmoid(theta["rate"])

    def out(u):
        answer = theta["bias"].copy()
        for i, j in np.ndindex(fast.shape):
            answer[j] += u[i] * (theta["slow"][i, j] + theta["plasticity"][i, j] * fast[i, j])
        return answer

    for x, y, prediction in zip(*episode, ours, strict=True):
        logits = bounded(out(np.concatenate([x, 0 * y, 0 * y])))
        np.testing.assert_allclose(prediction, logits, atol=1e-5)
        u = np.concatenate([x, softmax(logits) - y, y])
        v = softmax(out(u))
        for i, j in np.ndindex(fast.shape):
            fast[i, j] += eta * (v[j] * (u[i] - v[j] * fast[i, j]) if oja else u[i] * v[j] - fast[i, j])
    np.testing.assert_allclose(state, fast, atol=1e-5)
    assert np.abs(fast).max() > 0.1


@RULES
def test_starting_values_of_fast_weights(key, oja):
    theta = jax.jit(hebbian(5, 3, oja=oja).init_theta)(key)
    np.testing.assert_allclose(jax.nn.sigmoid(theta["rate"]), 1 / (1 + np.exp(4.5)), rtol=1e-5)
    np.testing.assert_array_equal(theta["plasticity"], np.full((5 + 3 + 3, 3), 0.01, np.float32))
    assert not hebbian(5, 3, oja=oja).init_state(theta, key).any()


@RULES
def test_fast_weights_stay_bounded_over_2000_examples(key, oja):
    """Hebb's never exceed the largest input; Oja's, that plus what a step adds at most."""
    learner, episode = hebbian(5, 3, oja=oja), made.episode(5, 3, 500)

    @jax.jit
    def live(fast, size, rate):
        theta = {**learner.init_theta(key), "rate": rate}
        return unroll(learner, theta, fast, episode._replace(x=size * jnp.sin(episode.x)))

    for size, rate in ((1.0, -4.5), (1.0, 10.0), (1e6, -4.5), (1e6, 10.0)):
        fast = jnp.zeros((5 + 3 + 3, 3))
        for _ in range(4):
            fast, predictions = live(fast, size, rate)
            assert np.isfinite(predictions).all()
            assert np.abs(fast).max() <= (2000 * sigmoid(rate) if oja else 1) * size


def test_an_episode_of_zeros_has_a_finite_gradient(key):
    """Nothing heard, nothing written: the memory stays at zero, where its norm has no gradient."""
    learner = fast_memory(5, 3, hidden=6, rows=4, columns=9)
    episode = Episode(jnp.zeros((3, 5)), jnp.zeros((3, 3)))
    gradient = jax.grad(lambda theta: rollout(learner, theta, key, episode)[:, 0].sum())
    grads = jax.jit(lambda key: gradient(learner.init_theta(key)))(key)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_parameters_of_the_papers(key):
    def count(learner):
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(learner.init_theta, key)))

    heard = 784 + 62 + 62
    assert count(meta_rnn(784, 62)) == 4 * 128 * (heard + 128) + 4 * 128 + (128 * 62 + 62) == 538_942
    write, read = 32 * (16 + 16 + 16 + 1) + (16 + 16 + 16 + 1), 32 * (16 + 16) + (16 + 16)  # k1, k2, value, beta
    found, out = 16 * 32 + 32, 32 * 62 + 62
    assert count(fast_memory(784, 62)) == 4 * 32 * (heard + 32) + 4 * 32 + write + read + found + out == 125_711
    state = jax.eval_shape(fast_memory(784, 62).init_state, jax.eval_shape(fast_memory(784, 62).init_theta, key), key)
    assert state.memory.shape == (16, 256)
    with pytest.raises(ValueError, match=r"columns \(=200\) must be a square"):
        fast_memory(5, 3, columns=200)
    for oja in (False, True):
        assert count(hebbian(784, 62, oja=oja)) == 2 * heard * 62 + 62 + 1 == 112_655
    image, ways = (28, 28, 1), 5  # those of Omniglot
    front = (9 * 64 + 64) + 2 * (9 * 64 * 64 + 64)
    lstm = 4 * 128 * (1024 + 5 + 5 + 128) + 4 * 128
    assert count(conv_front(meta_rnn(1024, ways), image, 64)) == front + lstm + 128 * 5 + 5 == 74_496 + 595_456 + 645
    front = (9 * 8 + 8) + 2 * (9 * 8 * 8 + 8)
    plastic = 2 * (128 + 5 + 5) * 5 + 5 + 1
    assert count(conv_front(hebbian(128, ways, oja=True), image, 8)) == front + plastic == 1_248 + 1_386


IMAGE, CHANNELS = (4, 4, 1), 4
POINTS = np.random.default_rng(5).choice([-1.0, 1.0], (2, 16)).astype(np.float32)


def quick(learner):
    """Hebbian weights that change fast from the start, so that behind a front the outer loop has less to find."""

    def init_theta(key):
        theta = learner.init_theta(key)
        return {**theta, "rate": jnp.zeros(()), "plasticity": jnp.ones_like(theta["plasticity"])}

    return learner._replace(init_theta=init_theta)


LEARNERS = {  # and their learning rates
    "meta rnn": (meta_rnn(16, 2, hidden=16), 0.03),
    "hebb": (hebbian(16, 2, oja=False), 0.3),
    "oja": (hebbian(16, 2, oja=True), 0.3),
    "fast memory": (fast_memory(16, 2, hidden=16, rows=4, columns=16), 0.03),
    "oja behind convolutions": (
        conv_front(quick(hebbian(conv_features(IMAGE, CHANNELS), 2, oja=True)), IMAGE, CHANNELS),
        0.01,
    ),
}


def which_is_which(key):
    """Two points in random order; which of them is class 0 is drawn once an episode."""
    point_key, class_key = jax.random.split(key)
    point = jax.random.randint(point_key, (12,), 0, 2)
    label = (point + jax.random.randint(class_key, (1,), 0, 2)) % 2
    return Episode(jnp.asarray(POINTS)[point], jax.nn.one_hot(label, 2))


@pytest.mark.parametrize("name", LEARNERS)
def test_meta_training_learns_to_learn(name, key):
    """Of a task that only a learner can do."""
    learner, rate = LEARNERS[name]
    loss, optimizer = lifetime_loss(learner, cross_entropy), optax.adam(rate)

    def mean_loss(theta, key):
        keys = jax.random.split(key, 16)
        return jax.vmap(loss, in_axes=(None, 0, 0))(theta, keys, jax.vmap(which_is_which)(keys)).mean()

    def meta_step(carry, key):
        theta, memory = carry
        loss, grads = jax.value_and_grad(mean_loss)(theta, key)
        updates, memory = optimizer.update(grads, memory)
        return (optax.apply_updates(theta, updates), memory), loss

    @jax.jit
    def meta_train(key):
        theta = learner.init_theta(key)
        return jax.lax.scan(meta_step, (theta, optimizer.init(theta)), jax.random.split(key, 150))[1]

    losses = np.asarray(meta_train(key))
    assert losses[0] > 0.65, "untrained, it does not know which is which"
    assert losses[-10:].mean() < 0.2, f"the best is {np.log(2) / 12:.3f}: the first is a guess, then it knows"
