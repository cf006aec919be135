"""Feedback and local plasticity: what should be done comes back through learned weights, and synapses follow Oja.

    f_l = ReLU(B_l s + c_l)                                 s: the target y, or the error y - prediction
    u_l = beta_l f_l + (1 - beta_l) x_l                     the activity after feedback; no derivative anywhere
    Oja:  W_l += alpha_l * (u_l x_{l-1}^T - u_l^2 W_l)      Hebb: without the second term;  `*` is element-wise

arXiv 2006.09549, as the authors' released code has it, less its slips. The outer loop learns
first weights W and biases b, feedback weights B and c, plasticities alpha and strengths beta. An episode changes W of
the last layers, never a bias. An example may be a mini-batch [batch features]; its changes are summed. The rule has no
bound: large errors make it diverge.

Each layer has feedback weights of its own, straight from the output. Where `output` is "target", the last layer's
activity after feedback is y itself: a running prototype of each class.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.types import Learner, RandomKey, State, Theta
from vsml.feedback.network import (
    Layers,
    assembled,
    climb,
    coefficients,
    dense_shapes,
    initial_layers,
    kaiming,
    last,
    of_layer,
)


class Rule(NamedTuple):
    """The rule of the paper, and the changes to it that its released code knows."""

    plastic: int  # layers, from the output down
    source: Literal["error", "target"]
    output: Literal["mixed", "target"]  # the activity after feedback of the last layer
    hidden_hear: Literal["signed", "size", "nothing"]  # what feedback tells hidden layers: s, |s|, or none comes
    drive: Literal["feedback", "backprop"]  # or u of hidden layers: s through the transposed forward weights
    derivative: bool  # f_l is multiplied by sign(x_l), the derivative of a ReLU
    rectified: bool  # the ReLU of f_l
    feedback_hidden: tuple[int, ...]  # widths of inner layers on the way back, ReLU after each
    decay: bool  # Oja, or else Hebb
    per: Literal["synapse", "neuron", "layer", "one"]  # plasticities
    plasticity: float  # alpha at first
    hidden_gain: float  # multiplies the changes of hidden layers
    strength: float  # beta at first
    birth: Literal["learned", "random", "zero"]  # plastic weights at the start of an episode


def local_plasticity(sizes: tuple[int, ...], rule: Rule, *, classifies: bool) -> Learner:
    """A network of `sizes` (features, hidden layers, outputs) that learns by `rule`; its state is {layer: {"w"}}.

    If it `classifies`, its predictions are logits and its error is y - softmax(logits).

    Raises:
      ValueError: there are fewer layers than plastic ones.
    """
    plastic, shapes = last(sizes, rule.plastic), dense_shapes(sizes)
    hidden, top = plastic[:-1], plastic[-1]
    driven = [*(hidden if rule.hidden_hear != "nothing" and rule.drive == "feedback" else ())]
    driven += [top] if rule.output == "mixed" else []

    def init_theta(key: RandomKey) -> Theta:
        forward_key, feedback_key = jax.random.split(key)
        ways = {
            name: initial_layers(dense_shapes((sizes[-1], *rule.feedback_hidden, sizes[int(name) + 1])), k)
            for name, k in zip(driven, jax.random.split(feedback_key, len(driven)), strict=True)
        }
        changing = {name: shapes[int(name)] for name in plastic}
        return {
            "forward": initial_layers(shapes, forward_key),
            "feedback": ways,
            "plasticity": coefficients(rule.per, changing, rule.plasticity),
            "strength": {name: jnp.full((), rule.strength, jnp.float32) for name in driven},
        }

    def init_state(theta: Theta, key: RandomKey) -> State:
        keys = jax.random.split(key, len(plastic))
        initial = {
            "learned": lambda name, k: theta["forward"][name]["w"],
            "random": lambda name, k: kaiming(k, shapes[int(name)]),
            "zero": lambda name, k: jnp.zeros(shapes[int(name)]),
        }[rule.birth]
        return {name: {"w": initial(name, k)} for name, k in zip(plastic, keys, strict=True)}

    def step(theta: Theta, state: State, x: Float[Array, "*batch a"], y: Float[Array, "*batch b"]):
        layers = assembled(theta["forward"], state)
        heard = climb(layers, x.reshape(-1, sizes[0]))
        target, said = y.reshape(-1, sizes[-1]), heard[-1]
        source = target - (jax.nn.softmax(said) if classifies else said) if rule.source == "error" else target
        # what u of hidden layers is without feedback: s carried back, or x_l as it was
        wanted = _through_forward(layers, heard, source) if rule.drive == "backprop" else heard[1:]
        after: State = {}
        for name in plastic:
            number = int(name)
            u = wanted[number] if name != top else said
            if name in driven:
                received = jnp.abs(source) if name != top and rule.hidden_hear == "size" else source
                f = _feedback(theta["feedback"][name], received, rule.rectified)
                if rule.derivative:
                    f = f * jnp.sign(heard[number + 1])
                beta = theta["strength"][name]
                u = beta * f + (1 - beta) * heard[number + 1]
            elif name == top:
                u = target
            weights = state[name]["w"]
            change = heard[number].T @ u
            if rule.decay:
                change = change - jnp.square(u).sum(0)[None] * weights
            gain = rule.hidden_gain if name != top else 1.0
            after[name] = {"w": weights + gain * of_layer(theta["plasticity"], name) * change}
        return after, said.reshape(y.shape)

    return Learner(init_theta, init_state, step)


def _feedback(ways: Layers, source: Float[Array, "batch s"], rectified: bool) -> Float[Array, "batch n"]:
    for number in range(len(ways)):
        layer = ways[str(number)]
        source = source @ layer["w"] + layer["b"][None]
        if rectified or number < len(ways) - 1:
            source = jax.nn.relu(source)
    return source


def _through_forward(
    layers: list[dict[str, Array]], heard: list[Float[Array, "batch _"]], source: Float[Array, "batch s"]
) -> list[Float[Array, "batch _"]]:
    """What backpropagation would carry to each layer of a squared error that is `source` at the output."""
    carried = [source]
    # from the top layer to the second, each with what the layer below it said
    for layer, below in zip(layers[:0:-1], heard[-2:0:-1], strict=True):
        carried.append((carried[-1] @ layer["w"].T) * (below > 0).astype(source.dtype))
    return carried[::-1]
