"""A VSML network whose states hold weights and biases, and which learns by running its layers up and down.

    weight w_ab, bias b_ab     memory of the cell at (a, b), channels 0 and 1, times `scale`
    up, k = 1..K               a layer hears (x_a, 0, ...) from below and silence from above; the next hears
                               y_b = sum_a said_ab[0] + mean_a said_ab[1]
    down, K..1                 it hears the same x_a again and (e_b, 1, 0, ...) from above; the layer below hears
                               e'_a = sum_b said_ab[0]

With the right theta this is online backpropagation (vsml.cloning.exact; arXiv 2012.14905, section 3.2, which stores the
activation and feeds it back, too). What the sources do not say is our choice: where weights and biases lie and their
scale, the one that marks the way down, the number of ticks, that x is clipped at 4, and that biases are averaged over
the units below: summed, 784 of them would learn 784 times as fast as the paper's rate says.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from vsml.cloning.exact import Layer
from vsml.core.cell import Cell, Cells
from vsml.core.layers import boundary
from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.gradient import gradient

FLAT = 4.0  # where tanh is flat to 7e-4; in long episodes x grows far beyond it, where theta was never trained
WEIGHT, BIAS = 0, 1  # channels of the memory
SUMMED, AVERAGED = 0, 1  # channels of a message


class Said(NamedTuple):
    """A layer after its ticks, and what it says."""

    cells: Cells
    products: Float[Array, " b"]  # sum_a tanh(x_a) w_ab, on the way up
    bias: Float[Array, " b"]  # b_b, on the way up
    below: Float[Array, " a"]  # e'_a, on the way down


class Form(NamedTuple):
    """The sizes of a cell, and how it is used; one for all layers and networks that share a theta."""

    hidden: int = 16
    message: int = 8
    ticks: int = 3
    scale: float = 0.3  # a weight of 1 is so much memory: tanh of it is nearly linear

    @property
    def cell(self) -> Cell:
        return Cell(self.hidden, self.message)

    def init_theta(self, key: RandomKey) -> Theta:
        silence = jnp.zeros((1, self.message))
        return self.cell.init(key, self.hold(Layer(jnp.zeros((1, 1)), jnp.zeros(1))), silence, silence, 1)["params"]

    def hold(self, layer: Layer, cells: Cells | None = None) -> Cells:
        """Cells with these weights and biases; initial ones, or `cells` with theirs replaced."""
        if cells is None:
            nothing = jnp.zeros((*layer.w.shape, self.hidden))
            cells = Cells(nothing, nothing)
        biases = jnp.broadcast_to(layer.b[None, :], layer.w.shape)
        memory = cells.memory.at[..., WEIGHT].set(self.scale * layer.w).at[..., BIAS].set(self.scale * biases)
        return cells._replace(memory=memory)

    def held(self, cells: Cells) -> Layer:
        """Weights and biases as the states hold them."""
        return Layer(cells.memory[..., WEIGHT] / self.scale, cells.memory[..., BIAS].mean(0) / self.scale)

    def tick(self, theta: Theta, cells: Cells, x: Float[Array, " a"], error: Float[Array, " b"] | None) -> Said:
        """Run a layer on its way up (no error) or down; return what it tells the layers above and below."""
        below, above = cells.hidden.shape[:2]
        answer: Any = self.cell.apply({"params": theta}, cells, *self._heard(x, error, above), self.ticks)
        cells, fwd, bwd = answer  # means over units; a sum is their number times the mean
        return Said(cells, below * fwd[:, SUMMED], fwd[:, AVERAGED], above * bwd[:, SUMMED])

    def tick_each(
        self, theta: Theta, cells: Cells, x: Float[Array, " each"], error: Float[Array, " each"] | None
    ) -> Said:
        """`tick` for many layers of one connection each, whose states are [each 1 1 h]; all of Said has that first
        axis.

        They are one layer below a single unit, in which a cell hears from below what both of its units say, and tells
        its unit below both of its messages. Mapped over layers of one, the gradient in theta would be a matrix for
        each.
        """
        pairs = {name: (theta[f"{name}_fwd"], theta[f"{name}_bwd"]) for name in ("gates", "head")}
        biases = theta["head_fwd_bias"], theta["head_bwd_bias"]
        both = {
            "gates_fwd": jnp.concatenate(pairs["gates"]),
            "head_bwd": jnp.concatenate(pairs["head"], axis=1),
            "head_bwd_bias": jnp.concatenate(biases),
        }
        silent = {"gates_bwd": both["gates_fwd"], "head_fwd": both["head_bwd"], "head_fwd_bias": both["head_bwd_bias"]}
        wide = theta | both | jax.tree.map(jnp.zeros_like, silent)
        heard = jnp.concatenate(self._heard(x, error, len(x)), axis=1)
        silence, cell = jnp.zeros((1, 2 * self.message)), Cell(self.hidden, 2 * self.message)
        flat = Cells(cells.hidden[:, 0], cells.memory[:, 0])
        answer: Any = cell.apply({"params": wide}, flat, heard, silence, self.ticks)
        after, _, said = answer
        fwd, bwd = jnp.split(said[:, None, :], 2, axis=-1)
        return Said(
            Cells(after.hidden[:, None], after.memory[:, None]), fwd[..., SUMMED], fwd[..., AVERAGED], bwd[..., SUMMED]
        )

    def _heard(self, x: Float[Array, " a"], error: Float[Array, " b"] | None, above: int) -> tuple[Array, Array]:
        """What the cells of a layer hear from below and from above."""
        silence = jnp.zeros((above, self.message))
        from_above = silence if error is None else boundary(error, jnp.ones_like(error), message=self.message)
        return boundary(jnp.clip(x, -FLAT, FLAT), message=self.message), from_above

    def up(
        self, theta: Theta, state: list[Cells], x: Float[Array, " a"]
    ) -> tuple[list[Cells], list[Float[Array, " _"]], Float[Array, " classes"]]:
        """All layers from the first on: their states, what each heard from below, what the last one said."""
        after, heard = [], []
        for cells in state:
            heard.append(x)
            said = self.tick(theta, cells, x, None)
            after.append(said.cells)
            x = said.products + said.bias
        return after, heard, x

    def down(
        self, theta: Theta, state: list[Cells], heard: list[Float[Array, " _"]], error: Float[Array, " classes"]
    ) -> list[Cells]:
        """All layers from the last on, each with the error that the one above passes on; their states."""
        after = []
        for cells, x in zip(state[::-1], heard[::-1], strict=True):
            said = self.tick(theta, cells, x, error)
            after.append(said.cells)
            error = said.below
        return after[::-1]


def clone(sizes: tuple[int, ...], form: Form) -> Learner:
    """The network of `sizes` (inputs, hidden layers, classes) as a learner; its theta is that of `form`."""

    def init_state(theta: Theta, key: RandomKey) -> list[Cells]:
        del theta
        return [form.hold(layer) for layer in initial_weights(sizes, key)]

    def step(theta: Theta, state: list[Cells], x: Float[Array, " features"], y: Float[Array, " classes"]):
        state, heard, said = form.up(theta, state, x)
        logits = bounded(said)
        return form.down(theta, state, heard, prediction_error(logits, y)), logits

    return Learner(form.init_theta, init_state, step)


def initial_weights(sizes: tuple[int, ...], key: RandomKey) -> list[Layer]:
    """The weights of a network at the start, those of `vsml.learners.gradient` for the same key."""
    weights, _ = gradient(sizes, optax.identity()).init_state((), key)
    return [Layer(*layer) for layer in weights]
