"""The objective: to remember the last snippets of a stream.

A snippet is a cue x and an answer y of numbers -1 and 1. After each one, the network is asked for the answers to the
cues of the last ones, on copies of its synapses: a query teaches nothing. The buffer of past snippets serves to ask
and to score; the network never sees it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vsml.core import draws
from vsml.core.types import Episode, Learner, RandomKey, Theta
from vsml.recall.graphs import Graph
from vsml.recall.rules import Rules, Synapses, neural_rules, perceive, read_out, teach


def snippet_learner(graph: Graph, rules: Rules) -> Learner:
    """A learner that is shown a snippet, then queries: x are the rows cue, answer, cues of the queries; y the answers.

    x is [2 + queries, n] and y [queries, n] of an example; so is the prediction, in logits.
    """
    learner = neural_rules(graph, rules)

    def step(theta: Theta, state: Synapses, x: Float[Array, "rows n"], y: Float[Array, "queries n"]):
        del y  # for the score alone
        cue, answer = x[0], x[1]
        state = teach(graph, rules, theta, state, perceive(graph, rules, theta, state, cue), cue, answer)
        asked = jax.vmap(lambda cue: read_out(graph, theta, perceive(graph, rules, theta, state, cue)))(x[2:])
        return state, asked

    return learner._replace(step=step)


def bits(logits: Float[Array, "*time queries n"], y: Float[Array, "*time queries n"]) -> Float[Array, "*time"]:
    """Logistic loss of each bit that is queried, in bits; 1 is to know nothing."""
    return jax.nn.softplus(-y * logits).mean((-2, -1)) / jnp.log(2.0)


def snippets(
    key: RandomKey, size: int, length: int, correlation: Float[Array, ""] | float = 0.0
) -> tuple[Float[Array, "time n"], Float[Array, "time n"]]:
    """Random cues and answers. The bits of cues agree with those of the episode's random pattern by `correlation`."""
    cue_key, answer_key, pattern_key = jax.random.split(key, 3)
    alike = draws.bernoulli(cue_key, (length, size), (1 + correlation) / 2)
    pattern = _signs(draws.bernoulli(pattern_key, (1, size)))
    return _signs(alike) * pattern, _signs(draws.bernoulli(answer_key, (length, size)))


def _signs(chosen: Bool[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(chosen, 1.0, -1.0)


def stream_with_queries(key: RandomKey, size: int, length: int, horizon: Float[Array, ""], asked: int) -> Episode:
    """A stream of random snippets, each followed by so many queries about the last `horizon` ones.

    The lags are spread evenly: each query has its own part of the range, and is drawn within it.
    """
    stream_key, lag_key = jax.random.split(key)
    cue, answer = snippets(stream_key, size, length)
    known = jnp.minimum(jnp.arange(1.0, length + 1), horizon)
    part, within = jnp.arange(asked).astype(jnp.float32), draws.uniform(lag_key, (length, asked))
    share = (part[None, :] + within) / asked
    # in float32 a share can round to 1, and the lag would be one too long
    lag = jnp.minimum(share * known[:, None], known[:, None] - 1).astype(jnp.int32)
    return with_queries(cue, answer, jnp.arange(length)[:, None] - lag)


def with_queries(
    cue: Float[Array, "time n"], answer: Float[Array, "time n"], about: Int[Array, "time asked"]
) -> Episode:
    """The stream with queries about the snippets of these numbers."""
    return Episode(jnp.concatenate([cue[:, None], answer[:, None], cue[about]], axis=1), answer[about])
