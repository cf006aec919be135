"""Is a step of learning a gradient step? The cosine between two changes of the function from input to output.

    Delta_p  what one step of the learner on (x, y) changes in its centred logits of a query p, before their bound
    G_p      -(x . p + 1) (softmax(z) - y), what a step of SGD would change there (times its rate) in a linear softmax
             model that predicted the same logits z of x

The cosine of Delta and G over all queries and classes needs neither weights nor a learning rate, so it is defined for a
learner that has neither. It is 1 for linear SGD, whatever its rate (a control), and says of others in how far a step
follows this very gradient. Logits are centred over the classes, since softmax does not see a common shift. Where the
bound of the logits bends (`scores.bounded`), its slope enters the error of G as it enters that of SGD.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vsml.core.scores import prediction_error
from vsml.core.types import Episode, Learner, RandomKey, State, Theta
from vsml.introspect.querying import predict_only, slope, unbounded

RESOLUTION = 1e-4  # nats: a smaller mean change of logits is mostly rounding of float32, and has no direction


class Alignment(NamedTuple):
    cosine: Float[Array, " moment"]  # nan where the learner, or SGD in its place, changes nothing to speak of
    change: Float[Array, " moment"]  # root mean square of Delta


def alignment(
    learner: Learner,
    theta: Theta,
    key: RandomKey,
    episode: Episode,
    queries: Float[Array, "query features"],
    every: int = 1,
) -> Alignment:
    """Compare the steps on the first example, and on each `every`-th from there, of an episode.

    Raises:
      ValueError: `every` does not divide the length of the episode.
    """
    time, classes = episode.y.shape
    if time % every:
        raise ValueError(f"every (={every}) must divide the length of the episode (={time}).")
    blocks = jax.tree.map(lambda z: z.reshape(time // every, every, *z.shape[1:]), episode)

    def advance(state: State, block: Episode):
        x, y = block.x[0], block.y[0]
        before = unbounded(predict_only(learner, theta, state, queries, classes))
        state, logits = learner.step(theta, state, x, y)
        after = unbounded(predict_only(learner, theta, state, queries, classes))
        found = _compare(after - before, _gradient_step(x, y, logits, queries))
        rest = jax.tree.map(lambda z: z[1:], tuple(block))
        return jax.lax.scan(lambda s, example: (learner.step(theta, s, *example)[0], None), state, rest)[0], found

    return jax.lax.scan(advance, learner.init_state(theta, key), blocks)[1]


def _gradient_step(
    x: Float[Array, " features"],
    y: Float[Array, " classes"],
    logits: Float[Array, " classes"],
    queries: Float[Array, "query features"],
) -> Float[Array, "query classes"]:
    error = prediction_error(logits, y) * slope(logits)
    return -(queries @ x + 1)[:, None] * error[None, :]


def _compare(change: Float[Array, "query classes"], reference: Float[Array, "query classes"]) -> Alignment:
    change, reference = (z - z.mean(-1, keepdims=True) for z in (change, reference))
    size, other = (jnp.sqrt(jnp.square(z).mean()) for z in (change, reference))
    clear = (size > RESOLUTION) & (other > 0)
    cosine = (change * reference).mean() / jnp.where(clear, size * other, 1.0)
    return Alignment(jnp.where(clear, cosine, jnp.nan), size)
