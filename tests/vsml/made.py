"""What many tests make and compare: noise, and a theta off its start, where zeros and ones hide mistakes."""

import jax
import jax.numpy as jnp
import numpy as np

from vsml.core.rollout import unroll
from vsml.core.types import Episode
from vsml.feedback.local_plasticity import Rule

RULE = Rule(  # of feedback and local plasticity
    plastic=3,
    source="error",
    output="mixed",
    hidden_hear="signed",
    drive="feedback",
    derivative=False,
    rectified=True,
    feedback_hidden=(),
    decay=True,
    per="synapse",
    plasticity=0.01,
    hidden_gain=1.0,
    strength=0.4,
    birth="learned",
)


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def moved(theta, sd, seed=0):
    """`theta` plus normal noise."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda z: jnp.asarray(np.asarray(z) + sd * random.normal(size=z.shape), jnp.float32), theta)


def episode(features, classes, *lead, seed=0):
    """Noise with random labels; `lead` are its examples, and of a batch how many of them come at once."""
    labels = np.random.default_rng(seed).integers(classes, size=lead)
    return Episode(noise(*lead, features, seed=seed), jnp.asarray(np.eye(classes)[labels], jnp.float32))


def close(ours, theirs, rtol=1e-4, atol=1e-6):
    """Leaf by leaf."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), ours, theirs)


def plain_cell(theta, cells, fwd, bwd, np=np):
    """A tick by the equations, for `np` = numpy (float64) or jax.numpy (to differentiate).

    Returns hidden and memory, and what is said upwards and downwards.
    """
    hidden, memory = cells
    z = hidden @ theta["gates_hidden"] + theta["gates_bias"][None, None]
    z = z + (fwd @ theta["gates_fwd"])[:, None] + (bwd @ theta["gates_bwd"])[None]
    i, g, f, o = np.split(z, 4, axis=-1)
    memory = memory / (1 + np.exp(-f - 5)) + np.tanh(g) / (1 + np.exp(5 - i))
    hidden = np.tanh(memory) / (1 + np.exp(-o))
    said = []
    for direction, axis in (("fwd", 0), ("bwd", 1)):
        message = hidden @ theta[f"head_{direction}"] + theta[f"head_{direction}_bias"][None, None]
        if f"norm_{direction}_scale" in theta:
            message = message - message.mean(-1, keepdims=True)
            message = message / np.sqrt(np.square(message).mean(-1, keepdims=True) + 1e-5)
            message = message * theta[f"norm_{direction}_scale"][None, None]
            message = message + theta[f"norm_{direction}_offset"][None, None]
        said.append(message.mean(axis))
    return hidden, memory, *said


def off_start(learner, features, classes, time=20):
    """Theta and episode in float64 of numpy, predictions and the state at the end."""
    key, lifetime = jax.random.key(0), episode(features, classes, time)
    theta = moved(jax.jit(learner.init_theta)(key), 0.5)
    live = jax.jit(lambda theta: unroll(learner, theta, learner.init_state(theta, key), lifetime))
    state, predictions = live(theta)
    assert np.ptp(predictions) > 0.1  # the comparison is about something
    return jax.tree.map(np.float64, (theta, lifetime)), predictions, state
