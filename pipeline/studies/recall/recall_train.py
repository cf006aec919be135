"""Meta-trains rules to remember, one for each horizon, side by side."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.run.training import Phase, adam, train
from pipeline.track.tracking import Run
from vsml.core.types import Episode, RandomKey, Theta
from vsml.meta.estimators import across_devices, backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, on_all, start
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import Rules
from vsml.recall.snippets import bits, snippet_learner, stream_with_queries


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section, size = job.params.recall.experiments[experiment], job.params.recall.size
    training, settings = section.training, section.training.optimizer
    rules = Rules(**plain(section.rules))
    graph = GRAPHS[section.graph.name](size, size, section.graph.hidden, section.graph.density)
    one = lifetime_loss(snippet_learner(graph, rules), bits, segment=training.window, truncate=True)

    # All that is learned has an axis [horizon]; the streams of an episode have the same snippets for all horizons.
    def loss(theta: Theta, key: RandomKey, episodes: Episode) -> jax.Array:
        return jax.vmap(one, in_axes=(0, None, 0))(theta, key, episodes).mean()

    def draw(horizons: jax.Array, key: RandomKey) -> Episode:
        return jax.vmap(lambda horizon: stream_with_queries(key, size, training.length, horizon, training.queries))(
            horizons
        )

    # Adam for each rule by itself, so that clipping one does not slow the others. The loss is a mean over rules, so its
    # gradient in one rule is that of the rule's own loss over their number.
    number = len(training.horizons)
    own = adam(settings.learning_rate, settings.warmup, settings.final, training.steps, settings.clip, b2=0.99)
    alone = optax.chain(optax.scale(float(number)), own)
    each = optax.GradientTransformation(
        jax.vmap(alone.init), lambda updates, state, params=None: jax.vmap(alone.update)(updates, state, params)
    )
    optimizer = guarded(each, settings.patience)

    devices = jax.devices()
    drawn = on_all(devices, Partial(draw, jnp.asarray(training.horizons, jnp.float32)))
    group = Group(across_devices(backprop(loss), devices), drawn, training.population)
    theta_key, train_key = jax.random.split(jax.random.key(int(seed)))
    thetas = jax.vmap(lambda key: rules.init_theta(graph, key))(jax.random.split(theta_key, number))
    initial, train_key = on_all(devices, (start(thetas, optimizer), train_key))
    phase = Phase(training.steps, partial(meta_train, [group], optimizer, key=train_key, patience=settings.patience))
    state, curve, _ = train(job, run, initial, [phase], partial(on_all, devices))

    twentieth = max(training.steps // 20, 1)
    ends = {"first": curve["loss"][:twentieth], "last": curve["loss"][-twentieth:]}
    learner = {
        "name": "recall",
        "size": size,
        "horizons": list(training.horizons),
        "graph": plain(section.graph),
        "rules": plain(section.rules),
        "loss": {end: float(np.mean(part, dtype=np.float64)) for end, part in ends.items()},
    }
    origin = provenance.learned_from(job, [], training.steps)
    artifacts.write_rule(paths.recall_train(experiment, seed), state.theta, learner, origin)
