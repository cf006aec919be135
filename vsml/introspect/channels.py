"""Which channels of the cells store what was learned: resets of them after an episode, and what they follow in a step.

    h      channels of a cell, in its hidden and in its memory: 2 h in all
    reset  a set of channels, in all cells of all layers at once

A channel is reset to its initial value, which forgets all that it gained, or to its mean over the cells, which keeps
its level but not what differs between connections. If accuracy falls, the channel stored something that predictions
need, and nothing else had it too. That a reset does no harm does not show that a channel is idle: it may be
rewritten at the next input, or others may hold the same.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vsml.core.cell import Cells
from vsml.core.rollout import unroll
from vsml.core.scores import correct, prediction_error
from vsml.core.types import Episode, Learner, RandomKey, Theta
from vsml.introspect.querying import predict_only
from vsml.learners.network import NetworkState

WAYS = ("initial", "mean")
FOLLOWED = ("input", "error", "product")


class Channels(NamedTuple):
    intact: Float[Array, ""]  # accuracy on the queries at the end of the episode
    reset: Float[Array, "way reset"]  # the same, after a reset
    follows: Float[Array, "what kind h"]  # kind: hidden, memory


def resets(hidden: int) -> dict[str, Bool[np.ndarray, "kind h"]]:
    """Which channels each reset covers: every one alone, then groups.

    `memory_starts_random` is the half of the memory that is random in the initial state; all else is zero there.
    """
    one = np.eye(2 * hidden, dtype=bool).reshape(2 * hidden, 2, hidden)
    alone = {f"{kind}_{c}": one[i * hidden + c] for i, kind in enumerate(("hidden", "memory")) for c in range(hidden)}
    is_memory = np.array([[False], [True]]) & np.ones((2, hidden), bool)
    first = np.arange(hidden)[None, :] < hidden // 2
    groups = {
        "hidden": ~is_memory,
        "memory": is_memory,
        "memory_starts_random": is_memory & first,
        "memory_starts_zero": is_memory & ~first,
    }
    return alone | groups


def channels(
    learner: Learner, theta: Theta, key: RandomKey, episode: Episode, queries: Episode, hidden: int
) -> Channels:
    """Live `episode`; then ask for the queries, with every reset in turn, and step on each of them from the same state.

    `follows` is the mean absolute correlation, over queries, of the change of a channel in such a step with the input
    x_a below its cell, the error e_b above it, and the product of both, the gradient of a linear model's weight; over
    all cells whose input varies. Independent noise would give about 0.8 / sqrt(queries).

    Raises:
      ValueError: not one dense layer of VSML's cells, where an input is below and an error above every cell.
    """
    initial_state = learner.init_state(theta, key)
    if (
        not isinstance(initial_state, NetworkState)
        or len(initial_state.layers) != 1
        or initial_state.layers[0].memory.ndim != 3
    ):
        raise ValueError("The learner must be VSML with one dense layer: for others channels are not defined.")
    end, _ = unroll(learner, theta, initial_state, episode)
    classes = queries.y.shape[-1]

    def accuracy(state: NetworkState) -> Float[Array, ""]:
        return correct(predict_only(learner, theta, state, queries.x, classes), queries.y).mean(dtype=jnp.float32)

    mean = jax.tree.map(lambda z: jnp.broadcast_to(z.mean((0, 1), keepdims=True), z.shape), end.layers)
    masks = jnp.asarray(np.stack(list(resets(hidden).values())))
    lost = [
        jax.lax.map(lambda mask, to=to: accuracy(end._replace(layers=_replaced(mask, end.layers, to))), masks)
        for to in (initial_state.layers, mean)
    ]
    return Channels(accuracy(end), jnp.stack(lost), _follows(learner, theta, end, queries))


def _replaced(mask: Bool[Array, "kind h"], layers: tuple[Cells, ...], by: tuple[Cells, ...]) -> tuple[Cells, ...]:
    def one(own: Cells, other: Cells) -> Cells:
        pairs = zip(mask, own, other, strict=True)
        return Cells(*(jnp.where(chosen[None, None, :], b, a) for chosen, a, b in pairs))

    return tuple(one(own, other) for own, other in zip(layers, by, strict=True))


def _follows(learner: Learner, theta: Theta, state: NetworkState, queries: Episode) -> Float[Array, "what kind h"]:
    def moments(example: tuple[Array, Array]):
        x, y = example
        after, logits = learner.step(theta, state, x, y)
        change = jnp.stack(after.layers[0]) - jnp.stack(state.layers[0])  # kind a b h
        error = prediction_error(logits, y)
        ones = jnp.ones((len(x), len(y)))
        what = jnp.stack([x[:, None] * ones, error[None, :] * ones, x[:, None] * error[None, :]])  # what a b
        both = what[:, None, :, :, None] * change[None]
        return what, jnp.square(what), change, jnp.square(change), both

    # One query after the other, as sums: all changes at once would be as large as so many states.
    start = jax.tree.map(lambda z: jnp.zeros(z.shape, z.dtype), jax.eval_shape(moments, (queries.x[0], queries.y[0])))
    add = lambda total, example: (jax.tree.map(jnp.add, total, moments(example)), None)  # noqa: E731
    sums, _ = jax.lax.scan(add, start, tuple(queries))
    w, ww, c, cc, wc = jax.tree.map(lambda z: z / len(queries.x), sums)
    covariance = wc - w[:, None, :, :, None] * c[None]
    spread_w, spread_c = ww - jnp.square(w), cc - jnp.square(c)
    varies = spread_w > 1e-5 * ww  # what is less is rounding: a border pixel that no query lights
    both_vary = varies[:, None, :, :, None] & (spread_c > 1e-5 * cc)[None]
    spread = spread_w[:, None, :, :, None] * spread_c[None]
    r = jnp.where(both_vary, jnp.abs(covariance) / jnp.sqrt(jnp.where(both_vary, spread, 1.0)), 0.0)
    return r.sum((2, 3)) / jnp.maximum(varies.sum((1, 2), dtype=r.dtype), 1.0)[:, None, None]
