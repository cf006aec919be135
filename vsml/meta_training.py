"""Meta-train a rule of one's own, in one call: `vsml.meta_train`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from vsml.core.scores import cross_entropy
from vsml.core.types import Episode, Theta
from vsml.learners.settings import learner
from vsml.meta import train
from vsml.meta.estimators import Draw, backprop
from vsml.meta.losses import lifetime_loss
from vsml.zoo import Rule, load, whole

# Of the rules that ship. What else there is say `vsml.learners.settings.learner` and `vsml.learners.network.network`.
SETTINGS: dict[str, Any] = {"name": "vsml", "convolutions": [], "hidden_layers": [], "hidden": 16, "message": 8}
SETTINGS |= {"ticks": 1, "backward_pass": True, "feed_label": True, "layer_norm": True, "per_layer": False}
INITIAL_SCALE = 5.0  # of messages. From 1, logits are small for long, and the error stays large
SEGMENT = 20  # examples that are computed again at a time on the way back, at most; it saves memory
PATIENCE = 10  # meta-gradients in a row that are not finite

Callback = Callable[[int, Theta, train.Report], Any]


def meta_train(
    draw: Draw | Sequence[Draw],
    steps: int,
    *,
    start: Rule | str | None = None,
    name: str = "mine",
    settings: dict[str, Any] = SETTINGS,
    population: int = 32,
    learning_rate: float = 0.005,
    clip: float = 1.0,
    seed: int = 0,
    callback: Callback | None = None,
) -> Rule:
    """A rule that has learned to learn the tasks of `draw`: to predict each example well before its label is shown.

    Each meta-step draws `population` episodes, takes the mean cross-entropy (nats) of all predictions in them, and
    follows its gradient, through the whole of each episode, with Adam. The learning rate rises for the first meta-steps
    and falls on a cosine to a twentieth.

    Rules learn little before some hundred meta-steps, and get worse beyond the length of the episodes that they know:
    go on from one with `start` and longer episodes. `vsml.tasks.episodes.stream` draws episodes from data sets,
    `vsml.tasks.synthetic` from nothing.

    Args:
      draw: from a random key (`jax.random.key`) to an `Episode` of x [time features], about standardised, and y [time
        classes], one-hot; all of one shape. Or several such, for tasks of several sizes, which share the population.
      steps: meta-steps.
      start: a rule to go on from, the name of one that ships, or the path of one; its settings count then. By default a
        random one.
      name: of the rule.
      settings: what is to differ from `vsml.meta_training.SETTINGS` in the form of the learner, as {"hidden": 8}.
      population: episodes of a meta-step.
      learning_rate, clip: the largest learning rate, and the largest norm of a meta-gradient.
      seed: of the rule that it begins with and of the episodes.
      callback: called after each meta-step with its number, from 1 on, the theta of then, and a `Report`: the loss
        (nats), the norm of the meta-gradient, whether that was not finite and so skipped. If it returns True, this is
        the end.

    Raises:
      ValueError: an episode has another shape, the population is smaller than the number of `draw`, or a number is
        none that can be meant.
      NonFiniteMetaGradientError: ten meta-gradients in a row were not finite.

    Source: Kirsch and Schmidhuber, arXiv 2012.14905, section 4; constants are ours.
    """
    steps, population = whole("steps", steps), whole("population", population)
    if not (learning_rate > 0 and clip > 0):
        raise ValueError(f"learning_rate (={learning_rate}) and clip (={clip}) must be above 0.")
    draws = [draw] if callable(draw) else list(draw)
    if not 1 <= len(draws) <= population:
        raise ValueError(f"draw (of {len(draws)}) must be one, or as many as share the population (={population}).")
    start = start if start is None or isinstance(start, Rule) else load(start)
    if start is None and settings.get("name", "vsml") == "vsml":
        if strange := sorted(settings.keys() - SETTINGS.keys()):
            raise ValueError(f"settings has {strange}, which are none of {sorted(SETTINGS)}: correct or drop them.")
        settings = SETTINGS | settings
    settings = dict(start.settings if start else settings)
    theta_key, key = jax.random.split(jax.random.key(seed))
    groups, theta = [], start.theta if start else None
    for number, one in enumerate(draws):
        episode = jax.eval_shape(one, key)
        if not isinstance(episode, Episode):
            raise ValueError(f"draw gave {episode}, it must be an Episode of x and y, of vsml.core.types.")
        x, y = (z.shape for z in episode)
        if len(x) != 2 or len(y) != 2 or x[0] != y[0] or not x[0]:
            raise ValueError(
                f"An episode has x {x} and y {y}: they must be [time features] and [time classes], one-hot."
            )
        sized = learner(settings, x[1], y[1])
        segment = max(size for size in range(1, SEGMENT + 1) if x[0] % size == 0)
        share = population // len(draws) + (number < population % len(draws))
        drawn = one if isinstance(one, Partial) else Partial(one)  # whose data are arguments and no constants
        groups.append(train.Group(backprop(lifetime_loss(sized, cross_entropy, segment)), drawn, share))
        if theta is None:
            theta = sized.init_theta(theta_key)
            if settings.get("layer_norm"):
                theta = {**theta, "norm_fwd_scale": jnp.full_like(theta["norm_fwd_scale"], INITIAL_SCALE)}
    warmup = min(30, steps - 1)
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warmup, steps, learning_rate / 20)
    optimizer = train.guarded(optax.chain(optax.clip_by_global_norm(clip), optax.adam(rate)), PATIENCE)
    step, loss, state = 0, 0.0, train.start(theta, optimizer)
    for step, state, report in train.meta_train(groups, optimizer, state, key, steps, PATIENCE):  # noqa: B020
        loss = float(report.loss)
        if callback is not None and callback(step, state.theta, report):
            break
    provenance = {"experiment": name, "seed": str(seed), "meta_steps": step}
    if start:
        provenance["start"] = start.provenance
    card = f"# {name}\n\nMade by `vsml.meta_train`: {step} meta-steps, seed {seed}; its last loss is {loss:.3f} nats.\n"
    return Rule(name, state.theta, partial(learner, settings), settings, provenance, card)
