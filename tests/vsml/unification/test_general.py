"""The general form against loops over single connections, and W~ against the four cases of the theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.unification.general import Instance, Messages, learner, silent, tick
from vsml.unification.matrix import big_matrix, minimal, sharing

A, B = 3, 2


def instance(ask=(), tell=(), grid=(A, B)):
    """s <- theta s + fwd_a - 2 bwd_b, which says s upwards and its square downwards."""
    return Instance(
        grid,
        B,
        lambda key: jnp.asarray(0.5),
        lambda theta, key: (jnp.arange(6.0).reshape(A, B), ()),
        lambda theta, s, fwd, bwd: theta * s + fwd[0] - 2 * bwd[0],
        lambda theta, s: s[None],
        lambda theta, s: jnp.square(s)[None],
        ask,
        lambda theta, outside, heard: heard.up[:, 0],
        tell,
    )


def test_a_tick_is_the_loop_over_connections():
    before, fwd, bwd = np.arange(6.0).reshape(A, B), np.array([1.0, -1.0, 4.0]), np.array([0.5, 3.0])
    cells, heard = tick(instance(), jnp.asarray(0.5), *map(jnp.asarray, (before, fwd[:, None], bwd[:, None])))
    up, down = np.zeros(B), np.zeros(A)
    for a, b in np.ndindex(A, B):
        s = 0.5 * before[a, b] + fwd[a] - 2 * bwd[b]
        assert cells[a, b] == s
        up[b] += s
        down[a] += s**2
    np.testing.assert_allclose(heard.up[:, 0], up, rtol=1e-6)
    np.testing.assert_allclose(heard.down[:, 0], down, rtol=1e-6)


def test_the_world_knows_the_last_error_before_the_prediction_and_this_one_after_it():
    known = []

    def say(theta, outside, seen, heard):
        known.append((seen.error, seen.label, heard.up[:, 0]))
        return outside, seen.x[:, None], jnp.zeros((B, 1))

    ours, x = learner(instance((say,), (say,))), jnp.ones(A)
    theta = ours.init_theta(jax.random.key(0))
    state = ours.init_state(theta, jax.random.key(0))
    labels = jnp.eye(B)
    state, first = ours.step(theta, state, x, labels[0])
    state, _ = ours.step(theta, state, x, labels[1])
    errors = [jax.nn.softmax(first) - labels[0], state.error]
    for moment, (error, label) in enumerate(
        [(jnp.zeros(B), jnp.zeros(B)), (errors[0], labels[0]), (errors[0], labels[0]), (errors[1], labels[1])]
    ):
        np.testing.assert_array_equal(known[moment][0], error)
        np.testing.assert_array_equal(known[moment][1], label)
    np.testing.assert_array_equal(known[0][2], [6.0, 9.0])  # what newborns say
    np.testing.assert_array_equal(known[1][2], first)


def test_a_world_that_speaks_for_other_units_is_refused_and_silence_has_no_channels():
    for below, above in ((A + 1, B), (A, B - 1)):
        with pytest.raises(ValueError, match=rf"speaks for {below} units below and {above} above, but the grid is"):
            tick(instance(), jnp.asarray(0.5), jnp.zeros((A, B)), jnp.zeros((below, 1)), jnp.zeros((above, 1)))
    heard = tick(instance()._replace(f_bwd=silent), jnp.asarray(0.5), *map(jnp.ones, ((A, B), (A, 1), (B, 1))))[1]
    assert isinstance(heard, Messages) and heard.down.shape == (A, 0)


def _theta(units, channels):
    return jax.tree.map(np.asarray, minimal(units, channels).init_theta(jax.random.key(1)))


def test_the_big_matrix_has_the_four_cases():
    theta = _theta(A, B)
    within, between = theta["within"], theta["between"]
    whole = np.asarray(big_matrix(within, between, A)).reshape(A, A, B, A, A, B)
    for c, d, i, a, b, j in np.ndindex(whole.shape):
        expected = {
            (True, False): between[i, j],
            (False, True): within[i, j],
            (True, True): between[i, j] + within[i, j],
            (False, False): 0,
        }[d == a, d == b and c == a]
        assert whole[c, d, i, a, b, j] == expected


def test_messages_are_the_product_with_the_big_matrix():
    """Of one step without input, in float64 and index by index, as the theory has it."""
    theta, s = _theta(A, B), np.random.default_rng(0).normal(size=(A, A, B))
    expected = np.zeros_like(s)
    for a, b, j in np.ndindex(s.shape):
        own = sum(s[a, b, i] * theta["within"][i, j] for i in range(B))
        others = sum(s[c, a, i] * theta["between"][i, j] for c in range(A) for i in range(B))
        expected[a, b, j] = np.tanh(own + others)
    whole = np.asarray(big_matrix(theta["within"], theta["between"], A))
    np.testing.assert_allclose(np.tanh(s.ravel() @ whole), expected.ravel(), rtol=1e-6)
    ours = learner(minimal(A, B))
    state = ours.init_state(theta, jax.random.key(0))
    heard = Messages(jnp.asarray(s.sum(0) @ theta["between"], jnp.float32), state.heard.down)
    state = state._replace(cells=jnp.asarray(s, jnp.float32), heard=heard)
    after, _ = ours.step(jax.tree.map(jnp.asarray, theta), state, jnp.zeros(A), jnp.zeros(A))
    np.testing.assert_allclose(after.cells, expected, atol=1e-6)


@pytest.mark.parametrize(("units", "channels"), [(2, 3), (5, 4)])
def test_sharing_is_counted(units, channels):
    entries, nonzero = (units**2 * channels) ** 2, (units**3 + units**2 - units) * channels**2
    assert sharing(units, channels, jax.random.key(0)) == (entries, nonzero, 3 * channels**2, 2 * channels**2)


def test_matrices_of_other_sizes_are_refused():
    for within, between in (((2, 2), (3, 3)), ((2, 3), (2, 3))):
        with pytest.raises(ValueError, match="must be square and of one size"):
            big_matrix(np.ones(within, np.float32), np.ones(between, np.float32), 2)
