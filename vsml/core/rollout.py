"""Living: a learner meets the examples of an episode one by one."""

import jax
from jaxtyping import Array, Float

from vsml.core.types import Episode, Learner, RandomKey, State, Theta


def unroll(
    learner: Learner,
    theta: Theta,
    state: State,
    episode: Episode,
    segment: int | None = None,
    truncate: bool = False,
) -> tuple[State, Float[Array, "time *classes"]]:
    """Run `learner` through `episode` from `state` on; return the state at its end and every prediction on the way.

    With `segment`, the gradient keeps the state at the start of every `segment` examples only and computes
    the rest again on the way back: memory falls from time to segment + time / segment. With `truncate` as well, it
    does not cross from one segment into the one before.

    Raises:
      ValueError: `segment` does not divide the length of the episode.
    """

    def run(state, examples):
        state, predictions = jax.lax.scan(lambda s, example: learner.step(theta, s, *example), state, tuple(examples))
        # without segments this meets the last state only, and no gradient
        return jax.lax.stop_gradient(state) if truncate else state, predictions

    if segment is None:
        return run(state, episode)
    time = len(episode.x)
    if time % segment:
        raise ValueError(f"segment (={segment}) must divide the length of the episode (={time}).")
    segments = jax.tree.map(lambda z: z.reshape(time // segment, segment, *z.shape[1:]), episode)
    state, predictions = jax.lax.scan(jax.checkpoint(run, prevent_cse=False), state, segments)
    return state, jax.tree.map(lambda z: z.reshape(time, *z.shape[2:]), predictions)


def rollout(
    learner: Learner,
    theta: Theta,
    key: RandomKey,
    episode: Episode,
    segment: int | None = None,
    truncate: bool = False,
) -> Float[Array, "time *classes"]:
    """Run `learner` through `episode` from an initial state; return every prediction (logits)."""
    return unroll(learner, theta, learner.init_state(theta, key), episode, segment, truncate)[1]
