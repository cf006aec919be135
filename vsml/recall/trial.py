"""A learned rule goes through streams longer than any of its meta-training; every recent snippet is queried."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

from vsml.core import draws
from vsml.core.rollout import rollout
from vsml.core.types import Episode, RandomKey, Theta
from vsml.recall.fixed import maps, pseudo_inverse, recalled
from vsml.recall.graphs import Graph
from vsml.recall.rules import Rules, Synapses, initial_synapses, perceive, read_out, teach
from vsml.recall.snippets import snippet_learner, snippets, with_queries

NOT_YET = -1  # stands where fewer snippets were shown than the lag


class Difficulty(NamedTuple):
    """What makes a stream harder: bits of a query flipped at random, and cues alike (see `snippets`)."""

    noise: Float[Array, ""] | float
    correlation: Float[Array, ""] | float


EASY = Difficulty(0.0, 0.0)


def fully_queried_stream(
    key: RandomKey, size: int, length: int, lags: int, difficulty: Difficulty
) -> tuple[Episode, Array]:
    """A stream with queries for each of the last `lags` snippets, and which of these were shown."""
    stream_key, flip_key = jax.random.split(key)
    about = jnp.arange(length)[:, None] - jnp.arange(lags)[None, :]
    episode = with_queries(*snippets(stream_key, size, length, difficulty.correlation), jnp.maximum(about, 0))
    flipped = draws.bernoulli(flip_key, (length, lags, size), difficulty.noise)
    asked = episode.x[:, 2:] * jnp.where(flipped, -1.0, 1.0)
    return Episode(jnp.concatenate([episode.x[:, :2], asked], axis=1), episode.y), about >= 0


def run_rule(
    graph: Graph, rules: Rules, theta: Theta, key: RandomKey, length: int, lags: int, difficulty: Difficulty
) -> Int8[Array, "time lag"]:
    """Bits of each answer that are recalled right, of as many as the network recalls."""
    init_key, stream_key = jax.random.split(key)
    episode, shown = fully_queried_stream(stream_key, graph.recalled[2] - graph.recalled[1], length, lags, difficulty)
    logits = rollout(snippet_learner(graph, rules), theta, init_key, episode)
    right = (logits * episode.y > 0).sum(-1)
    return jnp.where(shown, right, NOT_YET).astype(jnp.int8)


def run_fixed_rules(
    key: RandomKey, size: int, length: int, lags: int, difficulty: Difficulty
) -> Int8[Array, "time rule lag"]:
    """The same of all fixed rules, on the stream of a learned rule of this key."""
    (snippet, answers), shown = fully_queried_stream(jax.random.split(key)[1], size, length, lags, difficulty)
    right = recalled(maps(snippet[:, 0], snippet[:, 1]), snippet[:, 2:], answers)
    return jnp.where(shown[:, None, :], right, NOT_YET).astype(jnp.int8)


def run_pseudo_inverse(
    key: RandomKey, size: int, length: int, lags: int, horizons: tuple[int, ...]
) -> Int8[Array, "time horizon lag"]:
    """The same of the pseudo-inverses of the last snippets, on an easy stream."""
    (snippet, answers), shown = fully_queried_stream(jax.random.split(key)[1], size, length, lags, EASY)
    inverse = [pseudo_inverse(snippet[:, 0], snippet[:, 1], horizon) for horizon in horizons]
    right = recalled(jnp.stack(inverse, axis=1), snippet[:, 2:], answers)
    return jnp.where(shown[:, None, :], right, NOT_YET).astype(jnp.int8)


class Change(NamedTuple):
    """What a lone synapse answers, and by how much one snippet changes that."""

    held: Float[Array, ""]
    change: Float[Array, "pre post"]


def synapse_changes(
    graph: Graph, rules: Rules, theta: Theta, pre: Float[Array, " pre"], post: Float[Array, " post"]
) -> tuple[Change, Change]:
    """The learned rule seen from one synapse: of a fresh one, and of one that was taught (1, 1) before.

    In a network whose other synapses are 0, cue and answer have `pre` and `post` at the two ends of the synapse and 0
    elsewhere. What a synapse answers is half the difference of its logits for the cues 1 and -1. For a direct graph.
    """
    size = graph.sizes[0]
    end = jnp.zeros(size).at[0].set(1.0)
    fresh = jax.tree.map(jnp.zeros_like, initial_synapses(graph, rules, jax.random.key(0)).values)
    every = tuple(jnp.ones(values.shape[:2]) for values in fresh)

    def taught(state: Synapses, x: Float[Array, ""], y: Float[Array, ""]) -> Synapses:
        bodies = perceive(graph, rules, theta, state, x * end)
        after = teach(graph, rules, theta, state, bodies, x * end, y * end)
        alone = [jnp.zeros_like(values).at[0, 0].set(values[0, 0]) for values in after.values]
        return Synapses(tuple(alone), every)

    def answered(state: Synapses) -> Float[Array, ""]:
        for_cue = [read_out(graph, theta, perceive(graph, rules, theta, state, sign * end))[0] for sign in (1.0, -1.0)]
        return (for_cue[0] - for_cue[1]) / 2

    def changes(state: Synapses) -> Change:
        before = answered(state)
        of_post = jax.vmap(lambda x, y: answered(taught(state, x, y)) - before, in_axes=(None, 0))
        return Change(before, jax.vmap(of_post, in_axes=(0, None))(pre, post))

    nothing = Synapses(fresh, every)
    return changes(nothing), changes(taught(nothing, jnp.ones(()), jnp.ones(())))
