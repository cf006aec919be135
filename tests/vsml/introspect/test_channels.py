"""Resets of channels, on cells whose channels have known uses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.core.cell import Cells
from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Episode, Learner
from vsml.introspect.channels import FOLLOWED, WAYS, channels, resets
from vsml.learners.network import NetworkState, network

H = 4


def _known() -> Learner:
    """One dense layer whose memory channel 1 is a weight trained by SGD, channel 2 the last input, channel 3 the last
    error, and whose hidden channel 0 is a copy of the weight that nothing reads."""

    def init_state(theta, key):
        zeros = jnp.zeros((6, 4, H))
        memory = zeros.at[..., 0].set(jax.random.normal(key, (6, 4)))
        return NetworkState((Cells(zeros, memory),), (), jnp.zeros(4), jnp.zeros(4))

    def step(theta, state, x, y):
        (hidden, memory), *_ = state.layers
        logits = bounded(x @ memory[..., 1])
        error = prediction_error(logits, y)
        weight = memory[..., 1] - 0.3 * x[:, None] * error[None, :]
        memory = memory.at[..., 1].set(weight).at[..., 2].set(x[:, None] * jnp.ones((1, 4)))
        memory = memory.at[..., 3].set(error[None, :] * jnp.ones((6, 1)))
        return state._replace(layers=(Cells(hidden.at[..., 0].set(weight), memory),)), logits

    return Learner(lambda key: (), init_state, step)


@pytest.fixture(scope="module")
def unrolled(problem):
    y = jax.nn.one_hot(problem.y, 4)
    return Episode(problem.x[:40], y[:40]), Episode(problem.x[40:], y[40:])


@pytest.fixture(scope="module")
def found(unrolled):
    return jax.jit(lambda: channels(_known(), (), jax.random.key(0), unrolled[0], unrolled[1], H))()


def test_only_the_channel_that_stores_is_missed(found):
    lost = {name: found.intact - found.reset[:, i] for i, name in enumerate(resets(H))}
    assert found.intact > 0.8
    stores = {"memory_1", "memory", "memory_starts_random"}
    for name, values in lost.items():
        if name in stores:
            assert values[WAYS.index("initial")] > 0.3, name
        else:
            np.testing.assert_array_equal(values, 0, err_msg=name)
    assert lost["memory_1"][WAYS.index("mean")] > 0.3, "one weight for all cells tells no classes apart"


def test_channels_follow_what_they_are_made_of(found):
    follows = {what: np.asarray(found.follows[i]) for i, what in enumerate(FOLLOWED)}
    assert follows["product"][1, 1] == pytest.approx(1, abs=1e-3)
    assert follows["product"][0, 0] == pytest.approx(1, abs=1e-3)
    assert follows["input"][1, 2] == pytest.approx(1, abs=1e-3)
    assert follows["error"][1, 3] == pytest.approx(1, abs=1e-3)
    assert follows["input"][1, 3] < 0.9 and follows["error"][1, 2] < 0.9
    np.testing.assert_array_equal([values[1, 0] for values in follows.values()], 0)  # never changes


def test_resets_cover_each_channel_once_and_then_groups_of_which_one_starts_random():
    masks = resets(H)
    single = np.stack(list(masks.values())[: 2 * H])
    np.testing.assert_array_equal(single.sum(0), 1)
    np.testing.assert_array_equal(single.sum((1, 2)), 1)
    assert list(masks)[2 * H :] == ["hidden", "memory", "memory_starts_random", "memory_starts_zero"]
    assert masks["hidden_3"][0, 3] and masks["memory_0"][1, 0]
    np.testing.assert_array_equal(masks["hidden"], [[True] * 4, [False] * 4])
    np.testing.assert_array_equal(masks["memory_starts_random"], [[False] * 4, [True, True, False, False]])
    np.testing.assert_array_equal(masks["memory_starts_zero"] | masks["memory_starts_random"], masks["memory"])
    memory = network((6, 4), hidden=H).init_state((), jax.random.key(0)).layers[0].memory
    np.testing.assert_array_equal(jnp.any(memory != 0, axis=(0, 1)), masks["memory_starts_random"][1])


def test_other_learners_have_no_channels(unrolled, sgd):
    for learner in (sgd, network((6, 3, 4), hidden=H)):
        with pytest.raises(ValueError, match="one dense layer"):
            theta = jax.jit(learner.init_theta)(jax.random.key(0))
            channels(learner, theta, jax.random.key(0), unrolled[0], unrolled[1], H)
