"""Meta losses: what a lifetime was worth, as a function of theta."""

from collections.abc import Callable

from jaxtyping import Array, Float

from vsml.core.rollout import rollout
from vsml.core.types import Episode, Learner, RandomKey, Theta

Score = Callable[[Array, Array], Array]
MetaLoss = Callable[[Theta, RandomKey, Episode], Float[Array, ""]]


def lifetime_loss(
    learner: Learner, score: Score, segment: int | None = None, truncate: bool = False, last: int | None = None
) -> MetaLoss:
    """The mean score over all predictions of an episode, or over its `last` ones, from an initial state.

    `segment` and `truncate` say how the gradient travels back through the episode: see `unroll`.
    """

    def loss(theta: Theta, key: RandomKey, episode: Episode) -> Float[Array, ""]:
        scores = score(rollout(learner, theta, key, episode, segment, truncate), episode.y)
        return scores[-last:].mean() if last else scores.mean()

    return loss
