"""Meta losses: what a lifetime was worth, as a function of theta."""

from collections.abc import Callable

from jaxtyping import Array, Float

from vsml.core.rollout import rollout
from vsml.core.types import Episode, Learner, RandomKey, Theta

Score = Callable[[Array, Array], Array]
MetaLoss = Callable[[Theta, RandomKey, Episode], Float[Array, ""]]


def lifetime_loss(learner: Learner, score: Score, segment: int | None = None, truncate: bool = False) -> MetaLoss:
    """The mean score over all predictions of a life, from a newborn state.

    `segment` and `truncate` say how the gradient travels back through the life: see `unroll`.
    """

    def loss(theta: Theta, key: RandomKey, episode: Episode) -> Float[Array, ""]:
        return score(rollout(learner, theta, key, episode, segment, truncate), episode.y).mean()

    return loss
