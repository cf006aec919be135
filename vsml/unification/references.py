"""What an instance is compared with where `vsml.learners` has no learner of that method: plain matrices, no messages.

a learned local rule     w += net(pre_a, post_b, w_ab, error_b) at every connection; logits = 100 tanh(x w / 100)
                         net(z) = tanh(z W_in + b_in) w_out + b_out
the big RNN of theory    s <- tanh(s W~ + heard), all states in one vector (see `vsml.unification.matrix`)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core import draws
from vsml.core.scores import bounded, prediction_error
from vsml.core.types import Learner, RandomKey, Theta
from vsml.unification.matrix import big_matrix

RATE = 0.005  # of the read-out of the rule at the start: weights wander over 200 examples and do not explode


def local_rule(features: int, classes: int, *, units: int = 8) -> Learner:
    """One layer of weights that learns by a coordinate-wise rule of 6 units + 1 parameters, random if not learned.

    post_b is the probability of class b. Initial weights are truncated normal with sd 1 / sqrt(features).
    """

    def init_theta(key: RandomKey) -> Theta:
        keys = jax.random.split(key, 4)
        return {
            "w_in": draws.normal(keys[0], (4, units)),
            "b_in": jax.random.normal(keys[1], (units,)),
            "w_out": RATE * jax.random.normal(keys[2], (units,)),
            "b_out": RATE * jax.random.normal(keys[3], ()),
        }

    def init_state(theta: Theta, key: RandomKey) -> Float[Array, "features classes"]:
        del theta
        return draws.truncated_normal(key, (features, classes), -2.0, 2.0) / features**0.5

    def step(
        theta: Theta, w: Float[Array, "features classes"], x: Float[Array, " features"], y: Float[Array, " classes"]
    ):
        logits = bounded(x @ w)
        error = prediction_error(logits, y)
        a, b = jnp.ones((features, 1)), jnp.ones((1, classes))
        z = jnp.stack([x[:, None] * b, a * jax.nn.softmax(logits)[None, :], w, a * error[None, :]], axis=-1)
        hidden = jnp.tanh(jnp.einsum("abz,zu->abu", z, theta["w_in"]) + theta["b_in"][None, None, :])
        return w + jnp.einsum("abu,u->ab", hidden, theta["w_out"]) + theta["b_out"], logits

    return Learner(init_theta, init_state, step)


def big_rnn(units: int, channels: int, init_theta, init_state) -> Learner:
    """A meta RNN of units^2 channels neurons with the matrix W~, which hears and predicts as `matrix.minimal` does.

    The state is s, flat; `init_theta` and `init_state` are those of the network that it is to be.
    """

    def initial_state(theta: Theta, key: RandomKey) -> Float[Array, " neuron"]:
        return init_state(theta, key).cells.ravel()

    def step(theta: Theta, s: Float[Array, " neuron"], x: Float[Array, " units"], y: Float[Array, " units"]):
        del y
        heard = jnp.zeros((units, units, channels)).at[:, :, 0].set(x[:, None] * jnp.ones((1, units)))
        s = jnp.tanh(s @ big_matrix(theta["within"], theta["between"], units) + heard.ravel())
        return s, (s.reshape(units, units, channels).sum(0) @ theta["between"])[:, 0]

    return Learner(init_theta, initial_state, step)
