"""Meta-trains rules to remember, one for each horizon, side by side."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.params import Optimizer, plain
from pipeline.run.training import Phase, adam, train
from pipeline.studies.recall.params import RecallExperiment
from pipeline.track.tracking import Run
from vsml.core.types import Episode, RandomKey, Theta
from vsml.meta.estimators import across_devices, backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, on_all, start
from vsml.recall.drill import bits, drill, exam
from vsml.recall.graphs import GRAPHS, Graph
from vsml.recall.rules import Rules


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section, size = job.params.recall.experiments[experiment], job.params.recall.size
    group, optimizer, (initial, key) = build(section, size, int(seed))
    training, patience = section.training, section.training.optimizer.patience
    phases = [Phase(training.steps, partial(meta_train, [group], optimizer, key=key, patience=patience))]
    state, curve = train(job, run, initial, phases, partial(on_all, jax.devices()))

    settings = {"name": "recall", "size": size, "horizons": list(training.horizons)}
    settings |= {"graph": plain(section.graph), "rules": plain(section.rules), "loss": _ends(curve["loss"])}
    origin = provenance.learned_from(job, [], training.steps)
    artifacts.write_rule(paths.recall_train(experiment, seed), state.theta, settings, origin)


def build(section: RecallExperiment, size: int, seed: int):
    """The lives of a meta-step, the optimiser, and the state and key to start from; theta has an axis [horizon]."""
    graph, rules, training = graph_of(plain(section.graph), size), Rules(**plain(section.rules)), section.training
    one = lifetime_loss(drill(graph, rules), bits, segment=training.window, truncate=True)

    def loss(theta: Theta, key: RandomKey, episodes: Episode) -> jax.Array:
        return jax.vmap(one, in_axes=(0, None, 0))(theta, key, episodes).mean()

    horizons = jnp.asarray(training.horizons, jnp.float32)
    draw = Partial(_Exams(size, training.length, training.questions), horizons)
    devices = jax.devices()
    group = Group(across_devices(backprop(loss), devices), on_all(devices, draw), training.population)
    optimizer = guarded(each(training.optimizer, training.steps, len(horizons)), training.optimizer.patience)
    theta_key, train_key = jax.random.split(jax.random.key(seed))
    thetas = jax.vmap(lambda key: rules.init_theta(graph, key))(jax.random.split(theta_key, len(horizons)))
    return group, optimizer, on_all(devices, (start(thetas, optimizer), train_key))


def graph_of(settings: dict[str, Any], size: int) -> Graph:
    return GRAPHS[settings["name"]](size, size, settings["hidden"], settings["density"])


class _Exams:
    """Streams of one life for each horizon, the same snippets in all; a class, so that equal ones compile once."""

    def __init__(self, size: int, length: int, asked: int) -> None:
        self._sizes = size, length, asked

    def __call__(self, horizons: jax.Array, key: RandomKey) -> Episode:
        return jax.vmap(lambda horizon: exam(key, *self._sizes[:2], horizon, self._sizes[2]))(horizons)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Exams) and self._sizes == other._sizes

    def __hash__(self) -> int:
        return hash(self._sizes)


def each(settings: Optimizer, steps: int, rules: int) -> optax.GradientTransformation:
    """Adam for each of so many rules by itself: clipping one must not slow the others.

    The loss is a mean over rules, so its gradient in one rule is that of the rule's own loss over their number.
    """
    own = adam(settings.learning_rate, settings.warmup, settings.final, steps, settings.clip, b2=0.99)
    alone = optax.chain(optax.scale(float(rules)), own)

    def update(updates, state, params=None):
        return jax.vmap(alone.update)(updates, state, params)

    return optax.GradientTransformation(jax.vmap(alone.init), update)


def _ends(losses: np.ndarray) -> dict[str, float]:
    """The loss at both ends of meta-training, each the mean of a twentieth of its steps."""
    share = max(len(losses) // 20, 1)
    ends = {"first": losses[:share], "last": losses[-share:]}
    return {name: float(np.mean(part, dtype=np.float64)) for name, part in ends.items()}
