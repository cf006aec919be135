"""The proof by construction: each method beside the instance of VSML that is to be it, through whole lifetimes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Shaped

from vsml.core import draws
from vsml.core.types import Episode, Learner, RandomKey, State, Theta
from vsml.learners.fast_memory import fast_memory
from vsml.learners.gradient import gradient
from vsml.learners.hebbian import hebbian
from vsml.learners.meta_rnn import meta_rnn
from vsml.learners.network import network
from vsml.learners.rivals import nearest_mean
from vsml.unification import instances
from vsml.unification.general import Instance, learner
from vsml.unification.matrix import minimal
from vsml.unification.references import big_rnn, local_rule

FEATURES, CLASSES, HIDDEN = 8, 5, 16
ROWS, COLUMNS = 4, 9
RATE = 0.1
UNITS, CHANNELS = 5, 4
NOISE = 0.3  # on starting values of theta: some are zero, and would prove nothing
SPREAD = 0.5  # of the examples about the centre of their class, which is 1 from the origin in each feature

Read = Callable[[State], Float[Array, "..."]]


class Pair(NamedTuple):
    """A method, its instance, and a control: an instance of a near relative, which must not pass for it."""

    method: Learner
    instance: Instance
    control: Instance
    across: Callable[[Theta], Theta]  # theta of the method -> of the instance
    learned: tuple[Read, Read]  # what has been learned, in the state of the method and in that of the instance
    features: int = FEATURES
    noise: float = NOISE


class Comparison(NamedTuple):
    """The largest absolute values over a lifetime and all numbers compared."""

    prediction_deviation: Float[Array, ""]
    state_deviation: Float[Array, ""]
    prediction_size: Float[Array, ""]
    state_size: Float[Array, ""]
    learning: Float[Array, ""]  # by how much the prediction differs from that of a learner that never learns
    control_deviation: Float[Array, ""]  # of the predictions of the control


def pairs() -> dict[str, Pair]:
    """All of them, small."""
    sizes = (FEATURES, CLASSES)
    small: dict[str, Any] = {"hidden": HIDDEN, "rows": ROWS, "columns": COLUMNS}
    theory = minimal(UNITS, CHANNELS)
    hebb, oja = (instances.plastic(*sizes, oja=oja) for oja in (False, True))
    sgd, rule = instances.sgd(*sizes, rate=RATE), instances.local_rule(*sizes)
    return {
        "network": Pair(
            network(sizes),
            instances.network(*sizes),
            instances.network(*sizes, ticks=1),
            _same,
            (lambda s: _joined(*s.layers[0]), lambda s: _joined(*s.cells)),
        ),
        "meta_rnn": Pair(
            meta_rnn(*sizes, hidden=HIDDEN),
            instances.meta_rnn(*sizes, hidden=HIDDEN),
            instances.meta_rnn(*sizes, hidden=HIDDEN, ticks=1),
            instances.meta_rnn_theta(*sizes, HIDDEN),
            (lambda s: _joined(*s.lstm), lambda s: _joined(*s.cells)),
        ),
        "fast_weights": Pair(
            fast_memory(*sizes, **small),
            instances.fast_weights(*sizes, **small),
            instances.fast_weights(*sizes, **small, delta=False),
            instances.fast_weights_theta(*sizes, HIDDEN),
            (lambda s: _joined(s.memory, *s.lstm), lambda s: _joined(s.cells.w.T, *s.outside[0])),
        ),
        "hebb": Pair(hebbian(*sizes, oja=False), hebb, oja, _same, (_joined, lambda s: _joined(s.cells.fast[:-1]))),
        "oja": Pair(hebbian(*sizes, oja=True), oja, hebb, _same, (_joined, lambda s: _joined(s.cells.fast[:-1]))),
        "local_rule": Pair(
            local_rule(*sizes),
            rule,
            _mishearing(rule, lambda bwd: bwd[jnp.array([1, 0, 2])]),  # the error for the activity
            _same,
            (_joined, lambda s: _joined(s.cells.w)),
            noise=0.0,  # random at the start already
        ),
        "nearest_mean": Pair(
            nearest_mean(*sizes),
            instances.nearest_mean(*sizes),
            instances.nearest_mean(*sizes, rate=RATE),
            _same,
            (lambda s: _joined(s.mean.T), lambda s: _joined(s.cells.w)),
        ),
        "sgd": Pair(
            gradient(sizes, optax.sgd(RATE)),
            sgd,
            _mishearing(sgd, lambda bwd: 0.9 * bwd),
            lambda theta: {"rate": jnp.asarray(RATE)},
            (lambda s: _joined(*s[0][0]), lambda s: _joined(s.cells.w)),
        ),
        "matrix": Pair(
            big_rnn(UNITS, CHANNELS, theory.init_theta, learner(theory).init_state),
            theory,
            theory._replace(ask=theory.ask * 2),
            _same,
            (_joined, lambda s: _joined(s.cells)),
            features=UNITS,
            noise=0.0,
        ),
    }


def compare(pair: Pair, key: RandomKey, length: int) -> Comparison:
    """One episode of the method, its instance and its control: initialised by the same key, on the same examples."""
    theta_key, noise_key, init_key, episode_key = jax.random.split(key, 4)
    theta = _off_start(pair.method.init_theta(theta_key), noise_key, pair.noise)
    episode = clusters(episode_key, length, pair.features, pair.instance.classes)
    ours, theirs = learner(pair.instance), pair.across(theta)
    of_method, states = _episode(pair.method, theta, init_key, episode, pair.learned[0])
    of_instance, our_states = _episode(ours, theirs, init_key, episode, pair.learned[1])
    of_control, _ = _episode(learner(pair.control), theirs, init_key, episode, pair.learned[1])
    initial_state = pair.method.init_state(theta, init_key)
    unlearned = jax.vmap(lambda x, y: pair.method.step(theta, initial_state, x, y)[1])(*episode)
    return Comparison(
        _largest(of_instance - of_method),
        _largest(our_states - states),
        _largest(of_method),
        _largest(states),
        _largest(of_method - unlearned),
        _largest(of_control - of_method),
    )


def clusters(key: RandomKey, length: int, features: int, classes: int) -> Episode:
    """An episode on classes that are clusters around random centres."""
    centre_key, label_key, noise_key = jax.random.split(key, 3)
    label = jax.random.randint(label_key, (length,), 0, classes)
    centres = draws.normal(centre_key, (classes, features))
    x = centres[label] + SPREAD * draws.normal(noise_key, (length, features))
    return Episode(x, jax.nn.one_hot(label, classes, dtype=x.dtype))


def _episode(learner: Learner, theta: Theta, key: RandomKey, episode: Episode, learned: Read):
    """All predictions, and what had been learned before each and at the end."""

    def step(state: State, example: tuple[Array, ...]):
        x, y = example
        after, prediction = learner.step(theta, state, x, y)
        return after, (prediction, learned(state))

    last, (predictions, states) = jax.lax.scan(step, learner.init_state(theta, key), tuple(episode))
    return predictions, jnp.concatenate([states, learned(last)[None]])


def _mishearing(instance: Instance, change: Callable[[Array], Array]) -> Instance:
    """The instance, whose sub-RNNs hear something else from above."""
    return instance._replace(f_rnn=lambda theta, s, fwd, bwd: instance.f_rnn(theta, s, fwd, change(bwd)))


def _off_start(theta: Theta, key: RandomKey, noise: float) -> Theta:
    leaves, shape = jax.tree.flatten(theta)
    keys = jax.random.split(key, max(len(leaves), 1))
    moved = [z + noise * draws.normal(k, z.shape) for z, k in zip(leaves, keys, strict=False)]
    return jax.tree.unflatten(shape, moved)


def _same(theta: Theta) -> Theta:
    return theta


def _joined(*parts: Float[Array, "..."]) -> Float[Array, " number"]:
    return jnp.concatenate([part.ravel() for part in parts])


def _largest(z: Shaped[Array, "..."]) -> Float[Array, ""]:
    return jnp.abs(z).max()
