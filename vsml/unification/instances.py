"""What makes the general form each learning algorithm: one builder a method, and nothing of a method elsewhere.

    network       LSTM states         the project's own VSML, whose means are sums of heads that are divided by A or B
    meta_rnn      A = B = 1           one sub-RNN hears the whole example from below, error and label from above
    fast_weights  w_ab += beta k_a (v_b - vold_b), read out by q_a;  the slow net that programs it is an A = B = 1
    plastic       w_ab by Hebb's rule or by Oja's, from pre_a and post_b
    local_rule    w_ab += a small net of (pre_a, post_b, w_ab, error_b)
    nearest_mean  w_ab += y_b (x_a - w_ab) / (n_ab + 1), the mean of input a over the n_ab examples of class b so far
    sgd           w_ab -= rate error_b x_a, the gradient of a linear layer; a unit that always says one has the biases

Each is that learner of `vsml.learners` (`local_rule` that of `vsml.unification.references`) to its last detail, as far
as float32 goes; `vsml.unification.pairs` measures it. Reconstructed from the equations: the authors released no such
code. Where a method has numbers of its own for every connection that it does not share (the slow weights of the
plastic layer), they stand in the initial state: theta is what all connections share.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.cell import NORM_EPSILON, Cells
from vsml.core.layers import boundary, initial_cells
from vsml.core.scores import LOGIT_BOUND, bounded
from vsml.core.types import RandomKey, Theta
from vsml.learners.fast_memory import fast_memory
from vsml.learners.hebbian import hebbian
from vsml.learners.meta_rnn import meta_rnn as meta_rnn_learner
from vsml.learners.network import LOGIT_CHANNEL
from vsml.learners.network import network as network_learner
from vsml.learners.rivals import nearest_mean as nearest_mean_learner
from vsml.learners.rivals import relative
from vsml.unification.cells import as_cell, lstm
from vsml.unification.general import Instance, Messages, Outside, Seen, silent, tick
from vsml.unification.references import local_rule as local_rule_learner

Across = Callable[[Theta], Theta]  # theta of the method's own learner -> theta of its instance


class Weight(NamedTuple):
    """The state of a connection that holds a weight, and its product with what it heard from below."""

    w: Float[Array, "*grid"]
    said: Float[Array, "*grid"]


class Mean(NamedTuple):
    """The state of a connection that holds a mean, over how many, and how near what it last heard from below was."""

    w: Float[Array, "*grid"]
    count: Float[Array, "*grid"]
    said: Float[Array, "*grid"]


class PlasticWeight(NamedTuple):
    fast: Float[Array, "*grid"]
    slow: Float[Array, "*grid"]
    plasticity: Float[Array, "*grid"]
    said: Float[Array, "*grid"]


def network(features: int, classes: int, *, hidden: int = 16, message: int = 8, ticks: int = 2) -> Instance:
    """`vsml.learners.network` of one layer; theta as there."""

    def init_state(theta: Theta, key: RandomKey) -> tuple[Cells, Outside]:
        (own,) = jax.random.split(key, 1)
        return initial_cells(own, (features, classes), features, hidden), ()

    def say(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, boundary(seen.x, message=message), boundary(seen.error, message=message)

    def predict(theta: Theta, outside: Outside, heard: Messages) -> Float[Array, " classes"]:
        return bounded(heard.up[:, LOGIT_CHANNEL])

    init_theta = network_learner((features, classes), hidden=hidden, message=message).init_theta
    functions = lstm(hidden, message, features, classes)
    return Instance((features, classes), classes, init_theta, init_state, *functions, (say,) * ticks, predict)


def meta_rnn(inputs: int, outputs: int, *, hidden: int = 128, ticks: int = 2) -> Instance:
    """One sub-RNN, the cell of VSML itself; the example arrives in the channels of its one message from below."""
    message = _message(inputs, outputs, hidden)

    def init_state(theta: Theta, key: RandomKey) -> tuple[Cells, Outside]:
        return Cells(jnp.zeros((1, 1, hidden)), jnp.zeros((1, 1, hidden))), ()

    def say(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        error_and_label = jnp.concatenate([seen.error, seen.label])
        fwd, bwd = (jnp.pad(z, (0, message - len(z)))[None, :] for z in (seen.x, error_and_label))
        return outside, fwd, bwd

    def predict(theta: Theta, outside: Outside, heard: Messages) -> Float[Array, " outputs"]:
        return bounded(heard.up[0, :outputs])

    def init_theta(key: RandomKey) -> Theta:
        own = meta_rnn_learner(inputs, outputs, hidden=hidden)
        return meta_rnn_theta(inputs, outputs, hidden)(own.init_theta(key))

    functions = lstm(hidden, message, 1, 1)
    return Instance((1, 1), outputs, init_theta, init_state, *functions, (say,) * ticks, predict)


def meta_rnn_theta(inputs: int, outputs: int, hidden: int) -> Across:
    """Its LSTM and its read-out as gates and head of a cell."""
    message = _message(inputs, outputs, hidden)
    return lambda theta: as_cell(theta["lstm"], inputs, message, theta["readout"])


def fast_weights(
    inputs: int, outputs: int, *, hidden: int = 32, rows: int = 16, columns: int = 256, delta: bool = True
) -> Instance:
    """The memory of `vsml.learners.fast_memory`: keys and queries from below, what is to be stored from above.

    Its slow net is a second grid, that of a meta RNN, which the world asks for keys, values and queries. Without
    `delta`, what is stored under a key is added to and not replaced.
    """
    half = math.isqrt(columns)
    slow = meta_rnn(inputs, outputs, hidden=hidden)

    def init_state(theta: Theta, key: RandomKey) -> tuple[Weight, Outside]:
        nothing = jnp.zeros((columns, rows))
        return Weight(nothing, nothing), (slow.initial_state(theta["lstm"], key)[0], jnp.zeros(hidden))

    def programme(theta: Theta, shown: Float[Array, " hidden"]):
        written = _affine(theta["write"], shown)
        first, second, value = jnp.split(jnp.tanh(written[:-1]), [half, 2 * half])
        return jnp.outer(first, second).ravel(), value, jax.nn.sigmoid(written[-1])

    def recall(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        _, fwd, bwd = slow.ask[0](theta["lstm"], (), seen, heard)
        cells, answer = tick(slow, theta["lstm"], outside[0], fwd, bwd)
        shown = answer.up[0, :hidden]
        return (cells, shown), programme(theta, shown)[0][:, None], jnp.zeros((rows, 3))

    def write(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        key, value, beta = programme(theta, outside[1])
        surprise = value - heard.up[:, 0] if delta else value
        return outside, key[:, None], boundary(surprise, jnp.full(rows, beta), message=3)

    def read(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        first, second = jnp.split(jnp.tanh(_affine(theta["read"], outside[1])), 2)
        too_much = 1 - jax.lax.rsqrt(jnp.maximum(1.0, heard.down.sum()))  # beyond a Frobenius norm of 1
        nothing = jnp.zeros(rows)
        bwd = boundary(nothing, nothing, jnp.full(rows, too_much), message=3)
        return outside, jnp.outer(first, second).ravel()[:, None], bwd

    def f_rnn(theta: Theta, s: Weight, fwd: Float[Array, " n"], bwd: Float[Array, " m"]) -> Weight:
        (pre,), (surprise, beta, forget) = fwd, bwd
        w = (1 - forget) * s.w + beta * pre * surprise
        return Weight(w, w * pre)

    def predict(theta: Theta, outside: Outside, heard: Messages) -> Float[Array, " outputs"]:
        found = heard.up[:, 0] - heard.up.mean()
        found = found * jax.lax.rsqrt(jnp.square(found).mean() + NORM_EPSILON)
        return bounded(_affine(theta["out"], outside[1] + _affine(theta["found"], found)))

    def init_theta(key: RandomKey) -> Theta:
        own = fast_memory(inputs, outputs, hidden=hidden, rows=rows, columns=columns)
        return fast_weights_theta(inputs, outputs, hidden)(own.init_theta(key))

    says = (recall, write, read)
    return Instance((columns, rows), outputs, init_theta, init_state, f_rnn, _product, _square, says, predict)


def fast_weights_theta(inputs: int, outputs: int, hidden: int) -> Across:
    """The LSTM as a cell that says all that it hides; the heads as they are."""
    everything = {"kernel": jnp.eye(hidden), "bias": jnp.zeros(hidden)}
    message = _message(inputs, outputs, hidden)
    return lambda theta: {**theta, "lstm": as_cell(theta["lstm"], inputs, message, everything)}


def plastic(inputs: int, outputs: int, *, oja: bool) -> Instance:
    """`vsml.learners.hebbian`; theta as there, of which all connections share the rate.

    Two ticks for its two passes, in which nobody speaks from above, and one for learning.
    """

    def init_state(theta: Theta, key: RandomKey) -> tuple[PlasticWeight, Outside]:
        slow = jnp.concatenate([theta["slow"], theta["bias"][None, :]])
        plasticity = jnp.pad(theta["plasticity"], ((0, 1), (0, 0)))
        return PlasticWeight(jnp.zeros_like(slow), slow, plasticity, jnp.zeros_like(slow)), ()

    def hears(seen: Seen) -> Float[Array, "heard 1"]:
        return jnp.concatenate([seen.x, seen.error, seen.label, jnp.ones(1)])[:, None]

    def first(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        unlabelled = Seen(seen.x, jnp.zeros_like(seen.error), jnp.zeros_like(seen.label))
        return outside, hears(unlabelled), jnp.zeros((outputs, 2))

    def second(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, hears(seen), jnp.zeros((outputs, 2))

    def learn(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, hears(seen), boundary(jax.nn.softmax(heard.up[:, 0]), jnp.ones(outputs), message=2)

    def f_rnn(theta: Theta, s: PlasticWeight, fwd: Float[Array, " n"], bwd: Float[Array, " m"]) -> PlasticWeight:
        (pre,), (post, learning) = fwd, bwd
        change = post * (pre - post * s.fast) if oja else pre * post - s.fast
        fast = s.fast + learning * jax.nn.sigmoid(theta["rate"]) * change
        return s._replace(fast=fast, said=pre * (s.slow + s.plasticity * fast))

    init_theta = hebbian(inputs, outputs, oja=oja).init_theta
    grid = (inputs + 2 * outputs + 1, outputs)
    return Instance(grid, outputs, init_theta, init_state, f_rnn, _product, silent, (first,), _logits, (second, learn))


def local_rule(features: int, classes: int, *, units: int = 8) -> Instance:
    """A learned rule for one weight, a net of `units` hidden units; theta as that of `references.local_rule`."""

    def init_state(theta: Theta, key: RandomKey) -> tuple[Weight, Outside]:
        w = _weights(key, features, classes)
        return Weight(w, jnp.zeros_like(w)), ()

    def ask(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, seen.x[:, None], jnp.zeros((classes, 3))

    def tell(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        post = seen.error + seen.label  # that is, the probabilities
        return outside, seen.x[:, None], boundary(post, seen.error, jnp.ones(classes), message=3)

    def f_rnn(theta: Theta, s: Weight, fwd: Float[Array, " n"], bwd: Float[Array, " m"]) -> Weight:
        (pre,), (post, error, learning) = fwd, bwd
        units = jnp.tanh(jnp.stack([pre, post, s.w, error]) @ theta["w_in"] + theta["b_in"])
        w = s.w + learning * (units @ theta["w_out"] + theta["b_out"])
        return Weight(w, w * pre)

    init_theta = local_rule_learner(features, classes, units=units).init_theta
    return Instance(
        (features, classes), classes, init_theta, init_state, f_rnn, _product, silent, (ask,), _logits, (tell,)
    )


def nearest_mean(features: int, classes: int, *, rate: float | None = None) -> Instance:
    """The running mean of each class, and how near the example is to it. Theta is ().

    With a `rate` the mean forgets: it moves by that share of the way, whatever the number of examples.
    """

    def init_state(theta: Theta, key: RandomKey) -> tuple[Mean, Outside]:
        nothing = jnp.zeros((features, classes))
        return Mean(nothing, nothing, nothing), ()

    def ask(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, seen.x[:, None], jnp.zeros((classes, 1))

    def tell(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, seen.x[:, None], seen.label[:, None]

    def f_rnn(theta: Theta, s: Mean, fwd: Float[Array, " n"], bwd: Float[Array, " m"]) -> Mean:
        (x,), (label,) = fwd, bwd
        w = s.w + label * (1 / (s.count + 1) if rate is None else rate) * (x - s.w)
        return Mean(w, s.count + label, -0.5 * jnp.square(x - w))

    def f_fwd(theta: Theta, s: Mean) -> Float[Array, " n"]:
        return jnp.stack([s.said, s.count])

    def predict(theta: Theta, outside: Outside, heard: Messages) -> Float[Array, " classes"]:
        return relative(heard.up[:, 0], heard.up[:, 1] > 0)

    init_theta = nearest_mean_learner(features, classes).init_theta
    grid = (features, classes)
    return Instance(grid, classes, init_theta, init_state, f_rnn, f_fwd, silent, (ask,), predict, (tell,))


def sgd(features: int, classes: int, *, rate: float) -> Instance:
    """Online gradient descent on a linear layer. Theta is the rate."""

    def init_state(theta: Theta, key: RandomKey) -> tuple[Weight, Outside]:
        (own,) = jax.random.split(key, 1)
        w = jnp.pad(_weights(own, features, classes), ((0, 1), (0, 0)))
        return Weight(w, jnp.zeros_like(w)), ()

    def hears(seen: Seen) -> Float[Array, "heard 1"]:
        return jnp.append(seen.x, jnp.ones(1))[:, None]

    def ask(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        return outside, hears(seen), jnp.zeros((classes, 1))

    def tell(theta: Theta, outside: Outside, seen: Seen, heard: Messages):
        slope = 1 - jnp.square(jnp.tanh(heard.up / LOGIT_BOUND))  # of the bound on the logits
        return outside, hears(seen), seen.error[:, None] * slope

    def f_rnn(theta: Theta, s: Weight, fwd: Float[Array, " n"], bwd: Float[Array, " m"]) -> Weight:
        (x,), (error,) = fwd, bwd
        w = s.w - theta["rate"] * error * x
        return Weight(w, w * x)

    def init_theta(key: RandomKey) -> Theta:
        return {"rate": jnp.asarray(rate)}

    grid = (features + 1, classes)
    return Instance(grid, classes, init_theta, init_state, f_rnn, _product, silent, (ask,), _logits, (tell,))


def _message(inputs: int, outputs: int, hidden: int) -> int:
    """Channels enough for an example, for an error and a label, and for all that is hidden."""
    return max(inputs, 2 * outputs, hidden)


def _weights(key: RandomKey, features: int, classes: int) -> Float[Array, "features classes"]:
    return draws.truncated_normal(key, (features, classes), -2.0, 2.0) / features**0.5


def _affine(theta: Mapping[str, Array], z: Float[Array, " z"]) -> Float[Array, " out"]:
    return z @ theta["kernel"] + theta["bias"]


def _product(theta: Theta, s: Weight | PlasticWeight) -> Float[Array, " n"]:
    return s.said[None]


def _square(theta: Theta, s: Weight) -> Float[Array, " m"]:
    return jnp.square(s.w)[None]


def _logits(theta: Theta, outside: Outside, heard: Messages) -> Float[Array, " classes"]:
    return bounded(heard.up[:, 0])
