"""The fast-weight memory against a plain loop over its equations, in float64; and what its memory does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.rollout import rollout
from vsml.core.types import Episode
from vsml.learners.fast_memory import fast_memory


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def plain_episode(theta, episode, rows, half):
    lstm = theta["lstm"]
    hidden = cell = np.zeros(len(lstm["w_hidden"]))
    memory = np.zeros((rows, half**2))
    error = label = np.zeros(episode.y.shape[1])
    predictions, norms = [], []

    def head(name, z):
        return z @ theta[name]["kernel"] + theta[name]["bias"]

    for x, y in zip(*episode, strict=True):
        heard = np.concatenate([x, error, label, hidden])
        i, g, f, o = np.split(heard @ np.concatenate([lstm["w_heard"], lstm["w_hidden"]]) + lstm["bias"], 4)
        cell = sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)

        written = head("write", hidden)
        k1, k2, value = np.tanh(written[:half]), np.tanh(written[half : 2 * half]), np.tanh(written[2 * half : -1])
        key = np.array([a * b for a in k1 for b in k2])
        memory = memory + sigmoid(written[-1]) * np.outer(value - memory @ key, key)
        norms.append(np.linalg.norm(memory))
        if norms[-1] > 1:
            memory = memory / norms[-1]

        asked = np.tanh(head("read", hidden))
        found = memory @ np.array([a * b for a in asked[:half] for b in asked[half:]])
        found = (found - found.mean()) / np.sqrt(found.var() + 1e-5)
        logits = 100 * np.tanh(head("out", hidden + head("found", found)) / 100)
        predictions.append(logits)
        error, label = np.exp(logits) / np.exp(logits).sum() - y, y
    return np.array(predictions), memory, np.array(norms)


def test_fast_memory_is_the_plain_loop(off_start):
    (theta, episode), ours, state = off_start(fast_memory(5, 3, hidden=6, rows=4, columns=9), 5, 3)
    theirs, memory, norms = plain_episode(theta, episode, 4, 3)
    assert norms.min() < 1 < norms.max(), "the norm is clipped in some steps and not in others"
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(state.memory, memory, atol=1e-5)


def test_an_episode_of_zeros_has_a_finite_gradient(key):
    """Nothing heard, nothing written: the memory stays at zero, where its norm has no gradient."""
    learner = fast_memory(5, 3, hidden=6, rows=4, columns=9)
    episode = Episode(jnp.zeros((3, 5)), jnp.zeros((3, 3)))
    theta = jax.jit(learner.init_theta)(key)
    grads = jax.jit(jax.grad(lambda theta: rollout(learner, theta, key, episode)[:, 0].sum()))(theta)
    assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(grads))


def test_columns_that_are_no_square_are_refused():
    with pytest.raises(ValueError, match=r"columns \(=200\) must be a square"):
        fast_memory(5, 3, columns=200)


def test_parameters_of_the_paper(count):
    heard = 784 + 62 + 62
    lstm = 4 * 32 * (heard + 32) + 4 * 32
    write = 32 * (16 + 16 + 16 + 1) + (16 + 16 + 16 + 1)  # k1, k2, value, beta
    read = 32 * (16 + 16) + (16 + 16)
    found = 16 * 32 + 32
    out = 32 * 62 + 62
    assert (lstm, write, read, found, out) == (120_448, 1_617, 1_056, 544, 2_046)
    assert count(fast_memory(784, 62)) == lstm + write + read + found + out == 125_711


def test_the_memory_of_the_paper_is_16_by_256(key):
    learner = fast_memory(784, 62)
    state = jax.eval_shape(learner.init_state, jax.eval_shape(learner.init_theta, key), key)
    assert state.memory.shape == (16, 256)
