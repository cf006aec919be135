"""The bench compares two forms of one function, and it runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.cases import Case
from benchmarks.measure import programs
from vsml.core.rollout import unroll
from vsml.core.scores import cross_entropy

CASES = [
    Case("dense", (6, 3), 4),
    Case("in groups", (6, 3), 4, at_once=1),
    Case("no norm", (6, 3), 4, layer_norm=False),
    Case("deep", (6, 4, 3), 2),
    Case("convolution", (32, 3), 2, image=(4, 4, 2), convolutions=((3, 3, 2),)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plain_form_is_the_same_function(key, case):
    theta_key, noise_key, life_key = jax.random.split(key, 3)
    theta = case.ours().init_theta(theta_key)
    theta = jax.tree.map(lambda z: z + 0.5 * jax.random.normal(noise_key, z.shape), theta)
    arguments = (theta, jax.random.split(life_key, case.episodes), case.draw(10))
    ours, plain = (programs(learner, case, jax.devices()) for learner in (case.ours(), case.plain()))
    np.testing.assert_allclose(ours["forward"](*arguments)[0], plain["forward"](*arguments)[0], rtol=1e-5)
    (loss, gradient), (plain_loss, expected) = (forms["gradient"](*arguments) for forms in (ours, plain))
    np.testing.assert_allclose(loss, plain_loss, rtol=1e-5)
    scale = max(float(jnp.abs(z).max()) for z in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * scale), gradient, expected)


def test_the_gradient_is_right_at_a_size_that_is_run(key):
    """Against the plain form in float64: jaxlib 0.10.2 compiles some programs wrongly, at some sizes only."""
    case = Case("", (784, 10), 1)
    theta_key, noise_key, life_key, draw_key = jax.random.split(key, 4)
    theta = case.ours().init_theta(theta_key)
    theta = jax.tree.map(lambda z: z + 0.3 * jax.random.normal(noise_key, z.shape), theta)
    inputs = (theta, case.ours().init_state(theta, life_key), case.draw(10)(draw_key))

    def gradient(learner, *inputs):
        def loss(theta, state, episode):
            return cross_entropy(unroll(learner, theta, state, episode, 5)[1], episode.y).mean()

        return jax.jit(jax.grad(lambda *lifetimes: jax.vmap(loss, (None, 0, 0))(*lifetimes).mean()))(*inputs)

    def alone(tree):
        return jax.tree.map(lambda z: z[None], tree)

    ours = gradient(case.ours(), theta, *alone(inputs[1:]))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda z: jnp.asarray(np.asarray(z), jnp.float64), inputs)
        expected = gradient(case.plain(), wide[0], *alone(wide[1:]))
    scale = max(float(np.abs(z).max()) for z in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=5e-4 * scale), ours, expected)


def test_ticks_are_counted_at_every_place():
    assert Case("", (64, 10), 1).ticks_per_example() == 2 * 640
    conv = Case("", (32, 3), 1, image=(4, 4, 2), convolutions=((3, 3, 2),))  # to 2 x 2 x 3
    assert conv.ticks_per_example() == 2 * (2 * 2 * 9 * 2 * 3 + 12 * 3)
