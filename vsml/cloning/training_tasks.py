"""What a clone is meta-trained on: is each tick of a connection what backpropagation wants there?

A training task is a learner whose prediction is its own error, relative to what it should have sent or changed; the
loss of an episode is a score of these errors. So cloning is a meta loss like any other (arXiv 2012.14905, section 3.2:
random data, or a shadow network on a supervised problem).

    terms    said: products and bias; kept: weight and bias on the way up, which must not change them;
             learned: their changes on the way down; below: the error that is passed on
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.cloning.clone import Form, Said, initial_weights
from vsml.cloning.exact import Layer, climb, descend
from vsml.core import draws
from vsml.core.cell import Cells
from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Episode, Learner, RandomKey, Theta
from vsml.tasks.episodes import Draw

TERMS = ("products", "bias", "kept weight", "kept bias", "learned weight", "learned bias", "below")
# Below these sizes of weights and errors a miss counts by its size, above them by its ratio.
SMALL_WEIGHT, SMALL_ERROR = 0.05, 0.02
# Relative misses of a smaller square do not matter. At 1e-7 meta-training sometimes gave up what is hard, to learn from
# an error, and gained more by the last digits of what is easy, to change nothing on the way up.
RESOLUTION = 1e-5


def random_connections(form: Form, rate: float, connections: int) -> Learner:
    """Connections that know nothing of each other; x and y of an example are what each hears from below and above.

    Weights are normal with sd 0.05 or 0.4, biases with sd 0.3.
    """

    def init_state(theta: Theta, key: RandomKey) -> Cells:
        del theta
        w_key, sd_key, b_key = jax.random.split(key, 3)
        sd = jnp.where(jax.random.bernoulli(sd_key, shape=(connections,)), 0.05, 0.4)
        w, b = sd * jax.random.normal(w_key, (connections,)), 0.3 * jax.random.normal(b_key, (connections,))
        return jax.vmap(form.hold)(Layer(w[:, None, None], b[:, None]))

    def step(theta: Theta, state: Cells, x: Float[Array, " connections"], error: Float[Array, " connections"]):
        up = form.tick_each(theta, state, x, None)
        down = form.tick_each(theta, up.cells, x, error)
        missed = jax.vmap(partial(_misses_of_one, form, rate))(state, up, down, x[:, None], error[:, None])
        return down.cells, missed

    return Learner(form.init_theta, init_state, step)


def _misses_of_one(
    form: Form, rate: float, cells: Cells, up: Said, down: Said, x: Float[Array, "1"], error: Float[Array, "1"]
) -> Float[Array, " term"]:
    before, kept, learned = (form.held(state) for state in (cells, up.cells, down.cells))
    heard, _ = climb([before], x)
    (hop,) = descend([kept], heard, error, rate)
    of_weight = jnp.hypot(before.w[0], SMALL_WEIGHT)
    of_error = jnp.hypot(error, SMALL_ERROR)
    missed = (
        (up.products - jnp.tanh(x) * before.w[0]) / of_weight,
        up.bias - before.b,
        (kept.w - before.w)[0] / (rate * SMALL_ERROR),
        (kept.b - before.b) / (rate * SMALL_ERROR),
        (learned.w - kept.w - hop.change.w)[0] / (rate * of_error),
        (learned.b - kept.b - hop.change.b) / (rate * of_error),
        (down.below - hop.below) / (of_error * of_weight),
    )
    return jnp.concatenate(missed)


def shadow_network(form: Form, rate: float, sizes: tuple[int, ...], pace: float) -> Learner:
    """Whole layers beside a network that learns the examples by exact gradient descent of rate `pace`.

    At each example the cells take over its weights and biases. Misses are those of a layer, as `compare` gives them.
    """

    def init_state(theta: Theta, key: RandomKey) -> tuple[list[Cells], list[Layer]]:
        del theta
        network = initial_weights(sizes, key)
        return [form.hold(layer) for layer in network], network

    def step(theta: Theta, state, x: Float[Array, " features"], y: Float[Array, " classes"]):
        state, network = state
        after, missed = compare(form, theta, rate, state, network, x, y)
        heard, said = climb(network, x)
        hops = descend(network, heard, prediction_error(bounded(said), y), pace)
        changes = [hop.change for hop in hops]
        return (after, jax.tree.map(jnp.add, network, changes)), missed

    return Learner(form.init_theta, init_state, step)


def compare(
    form: Form,
    theta: Theta,
    rate: float,
    state: list[Cells],
    network: list[Layer],
    x: Float[Array, " features"],
    y: Float[Array, " classes"],
) -> tuple[list[Cells], Float[Array, "layer term 2"]]:
    """Each layer of cells against that of `network`, whose weights it takes over first.

    Return the cells after both sweeps, and the squared norms of what was missed and of what was wanted; of what is
    kept, the change that is wanted on the way down counts as the latter.
    """
    heard, said = climb(network, x)
    hops = descend(network, heard, prediction_error(bounded(said), y), rate)
    after, missed = [], []
    for cells, layer, hop in zip(state, network, hops, strict=True):
        up = form.tick(theta, form.hold(layer, cells), hop.x, None)
        kept = form.held(up.cells)
        down = form.tick(theta, up.cells, hop.x, hop.error)
        learned = form.held(down.cells)
        after.append(down.cells)
        terms = (
            (up.products, jnp.tanh(hop.x) @ layer.w),
            (up.bias, layer.b),
            # found less wanted is a change that should be none; its scale is that of learning
            (kept.w - layer.w + hop.change.w, hop.change.w),
            (kept.b - layer.b + hop.change.b, hop.change.b),
            (learned.w - kept.w, hop.change.w),
            (learned.b - kept.b, hop.change.b),
            (down.below, hop.below),
        )
        squares = [[jnp.square(z).sum() for z in (found - wanted, wanted)] for found, wanted in terms]
        missed.append(jnp.array(squares))
    return after, jnp.stack(missed)


def coarse(missed: Float[Array, "time connections term"], error: Array) -> Float[Array, ""]:
    """Mean squares up to about 1, their logarithm beyond. Products of what is heard and held come first."""
    del error
    of_term = dict(zip(TERMS, jnp.log1p(jnp.square(missed).mean((0, 1))), strict=True))
    weight = {"products": 3.0, "learned weight": 6.0, "below": 6.0}
    return jnp.stack([weight.get(term, 0.3) * value for term, value in of_term.items()]).sum()


def fine(missed: Float[Array, "time connections term"], error: Array) -> Float[Array, ""]:
    """Orders of magnitude: to halve a small miss is worth as much as to halve a large one."""
    del error
    return jnp.log(jnp.square(missed).mean((0, 1)) + RESOLUTION).sum()


def of_layers(missed: Float[Array, "time layer term 2"], y: Array) -> Float[Array, ""]:
    """Orders of magnitude of what is missed in an episode, relative to what is wanted; the mean over the layers."""
    del y
    miss, want = jnp.moveaxis(missed.sum(0), -1, 0)
    return jnp.log(miss / (want + RESOLUTION) + RESOLUTION).mean(0).sum()


def random_data(connections: int, length: int) -> Draw:
    """Inputs: half normal with sd 1.5, half uniform within 3 of zero; errors: of size 0.001 to 1, log-uniform."""
    return jax.tree_util.Partial(partial(_random, connections=connections, length=length))


def _random(key: RandomKey, *, connections: int, length: int) -> Episode:
    shape = (length, connections)
    which, normal, uniform, size, sign = jax.random.split(key, 5)
    wide = draws.uniform(uniform, shape, minval=-3.0, maxval=3.0)
    x = jnp.where(draws.bernoulli(which, shape), 1.5 * draws.normal(normal, shape), wide)
    error = draws.rademacher(sign, shape, dtype=jnp.float32) * 10 ** draws.uniform(size, shape, minval=-3.0, maxval=0.0)
    return Episode(x, error)
