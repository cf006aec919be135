"""The loss of an episode: support examples first, then queries, predicted from the state that the support left.

An episode holds the support and, as its tail, the queries, which do not teach. Only they count (arXiv
2006.09549, released code: the outer loss is that of a query set with the final weights).

Axis letters: time, batch (points of a support example or a query; images come alone, without it), s (outputs).
"""

import jax
from jaxtyping import Array, Float

from vsml.core.rollout import unroll
from vsml.core.types import Episode, Learner, State, Theta
from vsml.feedback.network import System, assembled, climb
from vsml.meta.losses import MetaLoss, Score

HEAD = "head"  # the group of theta that answers while a network is pretrained on all classes at once


def squared_error(said: Float[Array, "*batch s"], y: Float[Array, "*batch s"]) -> Float[Array, "*batch"]:
    """Squared error of each prediction, summed over outputs; its mean is the MSE where there is one output."""
    return ((said - y) ** 2).sum(-1)


def cut(episode: Episode, support: int) -> tuple[Episode, Episode]:
    """The support examples and the queries.

    Raises:
      ValueError: no query is left.
    """
    if len(episode.x) <= support:
        raise ValueError(
            f"The episode has {len(episode.x)} examples, of which support (={support}) are to teach: add queries."
        )
    return jax.tree.map(lambda z: z[:support], episode), jax.tree.map(lambda z: z[support:], episode)


def answers(learner: Learner, theta: Theta, state: State, x: Array, y: Array) -> Array:
    """Predictions of one state for queries [query …]; what it would learn from them is thrown away."""
    return jax.vmap(lambda x, y: learner.step(theta, state, x, y)[1])(x, y)


def query_loss(system: System, score: Score, support: int, segment: int | None = None) -> MetaLoss:
    """The mean score of the answers at the end of the support; `segment` as in `unroll`."""

    def loss(theta: Theta, key, episode: Episode) -> Float[Array, ""]:
        learner = system.learner
        shown, asked = cut(system.seen(theta, episode), support)
        state, _ = unroll(learner, theta, learner.init_state(theta, key), shown, segment)
        return score(answers(learner, theta, state, asked.x, asked.y), asked.y).mean()

    return loss


def schooled_loss(system: System, score: Score) -> MetaLoss:
    """The mean score of a network that does not learn within an episode: all examples at once, with its first weights.

    What a network is pretrained with. If theta has a `head`, an output layer for the classes of school, that answers in
    place of the last layer, which stays as it is.
    """

    def loss(theta: Theta, key, episode: Episode) -> Float[Array, ""]:
        del key
        layers = assembled(theta["forward"], {})
        if HEAD in theta:
            layers = [*layers[:-1], theta[HEAD]]
        x, y = (z.reshape(-1, z.shape[-1]) for z in system.seen(theta, episode))
        return score(climb(layers, x)[-1], y).mean()

    return loss
