"""Learned local rules for neurons and synapses, the same two functions everywhere: a reconstruction.

    message   m_ij = (M_s s_ij) * (M_b b_i)           a_j = sum_i m_ij / sqrt(number of i)
    neuron    (c, g) = F_B(b_j; a_j, u_j, given_j, e_j)         b_j <- (1 - g) b_j + g tanh(c)
    synapse   (c, g) = F_S(s_ij; b_i, b_j, e_i, e_j)            s_ij <- clip(g s_ij + c, -2, 2)

    b, s   bodies and synapses, small vectors      e   embedding of a neuron's type      *   element-wise
    u      what a neuron is given from outside, with a flag of whether it is given something

The state is the synapses; bodies start at 0 for each cue. To read is to give the cue for as many micro-steps as the
network is deep, and to change no synapse. To write is to do so, and then to give the answer too, to the recalled
neurons, as an input like any other: no error signal exists. The synapses change in that second part alone, after
each of its micro-steps, when bodies may still know what was recalled before.

"Finding online neural update rules by learning to remember" (Gregor 2020, arXiv 2003.03124) says that both neurons and
synapses have vector states, that two functions update them online and locally, and that types of neurons differ by
embeddings. We know no more than its abstract: equations, sizes and networks are ours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.types import Learner, RandomKey, Theta
from vsml.recall.functions import candidate_and_gate, init
from vsml.recall.graphs import Graph

BOUND = 2.0  # of a synapse's numbers
INITIAL_SD = 0.1  # of a synapse: without it, all neurons of a type would stay alike
BODY_GATE, SYNAPSE_GATE = 0.0, 3.0  # at the start of meta-training; a synapse keeps sigmoid(3) = 0.95
HEARD_OUTSIDE = 2  # the given number and its flag

Bodies = tuple[Float[Array, "_ n_b"], ...]  # a group each


class Synapses(NamedTuple):
    """The state of an episode, a block for each pair of groups that are joined."""

    values: tuple[Float[Array, "_ _ n_s"], ...]
    present: tuple[Float[Array, "_ _"], ...]  # 1 where there is a synapse


class Rules(NamedTuple):
    """Sizes and kind of the two functions, and what of them is switched off."""

    body: int = 4  # numbers of a body, and channels of a message
    synapse: int = 4
    embedding: int = 2
    width: int = 16
    kind: str = "gated"
    types: bool = True  # False: all neurons have the same embedding
    plastic: bool = True  # False: no synapse ever changes

    def init_theta(self, graph: Graph, key: RandomKey) -> Theta:
        """The two functions, messages, embeddings and read-out: as many numbers for each network of so many types."""
        keys = jax.random.split(key, 6)
        b, s, e = self.body, self.synapse, self.embedding
        types = len(graph.sizes) if self.types else 1
        return {
            "body": init(self.kind, keys[0], b, b + HEARD_OUTSIDE + e, self.width, BODY_GATE),
            "synapse": init(self.kind, keys[1], s, 2 * (b + e), self.width, SYNAPSE_GATE),
            "message_synapse": s**-0.5 * draws.normal(keys[2], (s, b)),
            "message_body": b**-0.5 * draws.normal(keys[3], (b, b)),
            "embedding": draws.normal(keys[4], (types, e)),
            "read_out": jax.random.normal(keys[5], (b,)),
        }


def neural_rules(graph: Graph, rules: Rules) -> Learner:
    """The learner: x is a cue, y its answer, both of numbers about 1 in size; predictions are logits of y > 0."""

    def step(theta: Theta, state: Synapses, x: Float[Array, " cues"], y: Float[Array, " answers"]):
        bodies = perceive(graph, rules, theta, state, x)
        return teach(graph, rules, theta, state, bodies, x, y), read_out(graph, theta, bodies)

    return Learner(
        lambda key: rules.init_theta(graph, key), lambda theta, key: initial_synapses(graph, rules, key), step
    )


def initial_synapses(graph: Graph, rules: Rules, key: RandomKey) -> Synapses:
    """Small random synapses; which of them there are is drawn too, where not all are."""
    values, present = [], []
    for number, (source, target) in enumerate(graph.blocks):
        value_key, present_key = jax.random.split(jax.random.fold_in(key, number))
        shape = graph.sizes[source], graph.sizes[target]
        there = draws.bernoulli(present_key, shape, graph.density).astype(jnp.float32)
        there = there * (1 - jnp.eye(*shape)) if source == target else there
        values.append(there[..., None] * INITIAL_SD * draws.normal(value_key, (*shape, rules.synapse)))
        present.append(there)
    return Synapses(tuple(values), tuple(present))


def perceive(graph: Graph, rules: Rules, theta: Theta, state: Synapses, x: Float[Array, " cues"]) -> Bodies:
    """The bodies after a cue has gone through the network. Synapses stay as they are."""
    given, weights = _given(graph, x, None), _message_weights(theta, state)
    bodies = tuple(jnp.zeros((size, rules.body)) for size in graph.sizes)
    for _ in range(graph.sweeps):
        bodies = _sweep(graph, rules, theta, weights, bodies, given)
    return bodies


def teach(
    graph: Graph,
    rules: Rules,
    theta: Theta,
    state: Synapses,
    bodies: Bodies,
    x: Float[Array, " cues"],
    y: Float[Array, " answers"],
) -> Synapses:
    """The synapses after the answer was given beside its cue to `bodies`, which have perceived that."""
    if not rules.plastic:
        return state
    given = _given(graph, x, y)
    for _ in range(graph.answer_sweeps):
        bodies = _sweep(graph, rules, theta, _message_weights(theta, state), bodies, given)
        state = _synapses(graph, rules, theta, state, bodies)
    return state


def read_out(graph: Graph, theta: Theta, bodies: Bodies) -> Float[Array, " answers"]:
    group, first, last = graph.recalled
    return 2 * bodies[group][first:last] @ theta["read_out"]


def _given(graph: Graph, x: Float[Array, " cues"], y: Float[Array, " answers"] | None) -> tuple[Array, ...]:
    """[neurons, (number, flag)] of each group."""
    given = [jnp.zeros((size, HEARD_OUTSIDE)) for size in graph.sizes]
    for (group, first, last), values in ((graph.cued, x), (graph.recalled, y)):
        if values is not None:
            given[group] = given[group].at[first:last].set(jnp.stack([values, jnp.ones_like(values)], axis=-1))
    return tuple(given)


def _message_weights(theta: Theta, state: Synapses) -> list[Float[Array, "a b n_b"]]:
    """M_s s of each block. The root of how many a neuron hears is taken in `_sweep`."""
    return [values @ theta["message_synapse"] for values in state.values]


def _sweep(graph: Graph, rules: Rules, theta: Theta, weights, bodies: Bodies, given) -> Bodies:
    """Each group in turn, so that a group hears what those before it have just said, and of the others what was."""
    function, after = theta["body"], list(bodies)
    for group, body in enumerate(bodies):
        heard = [_heard(weights[number], after[source], theta) for number, source in graph.incoming(group)]
        fan_in = sum(graph.sizes[source] for _, source in graph.incoming(group)) or 1
        total = sum(heard) if heard else jnp.zeros_like(body)
        inputs = [total * fan_in**-0.5, given[group], _embedding(theta, rules, group, len(body))]
        drive = jnp.concatenate(inputs, axis=-1) @ function["heard"] + function["bias"][None, :]
        candidate, gate = candidate_and_gate(rules.kind, function, body, drive)
        after[group] = body + gate * (jnp.tanh(candidate) - body)
    return tuple(after)


def _heard(weights: Float[Array, "a b n_b"], body: Float[Array, "a n_b"], theta: Theta) -> Float[Array, "b n_b"]:
    return (weights * (body @ theta["message_body"])[:, None, :]).sum(0)


def _synapses(graph: Graph, rules: Rules, theta: Theta, state: Synapses, bodies: Bodies) -> Synapses:
    function = theta["synapse"]
    before, behind = jnp.split(function["heard"], 2)
    after = []
    for (source, target), values, there in zip(graph.blocks, *state, strict=True):
        below, above = (
            jnp.concatenate([bodies[g], _embedding(theta, rules, g, len(bodies[g]))], -1) for g in (source, target)
        )
        drive = (below @ before + function["bias"][None, :])[:, None, :] + (above @ behind)[None, :, :]
        candidate, gate = candidate_and_gate(rules.kind, function, values, drive)
        after.append(there[..., None] * jnp.clip(gate * values + candidate, -BOUND, BOUND))
    return Synapses(tuple(after), state.present)


def _embedding(theta: Theta, rules: Rules, group: int, neurons: int) -> Float[Array, "neurons n_e"]:
    return jnp.broadcast_to(theta["embedding"][group if rules.types else 0], (neurons, rules.embedding))
