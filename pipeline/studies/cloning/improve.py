"""Goes on from a clone of backpropagation: meta-trains its theta for what a lifetime is worth, as if it were newborn.

The workshop version of arXiv 2012.14905 claims that learning then is faster, and not only on the set of meta-training.
"""

from functools import partial

import jax
import jax.numpy as jnp

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.run.training import Phase, adam, train
from pipeline.studies.cloning.clone import examples
from pipeline.studies.cloning.params import Improve
from pipeline.track.tracking import Run
from vsml.cloning.clone import Form, clone
from vsml.core.scores import cross_entropy
from vsml.meta.estimators import across_devices, backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, on_all, start
from vsml.tasks.datasets import SETS


def main(job: Job, run: Run) -> None:
    section, cloned = job.params.improve, artifacts.read_rule(paths.clone(*job.item))
    (seed,) = job.item
    own = section.optimizer
    optimizer = guarded(adam(own.learning_rate, own.warmup, own.final, section.steps, own.clip), own.patience)
    initial = start(jax.tree.map(jnp.asarray, cloned.theta), optimizer)
    state, key = on_all(jax.devices(), (initial, jax.random.key(int(seed))))
    groups = _groups(section, Form(**plain(job.params.clone.form)))
    phases = [Phase(section.steps, partial(meta_train, groups, optimizer, key=key, patience=own.patience))]
    state, _ = train(job, run, state, phases, partial(on_all, jax.devices()))
    origin = provenance.learned_from(job, [paths.train_data(section.set), paths.clone(seed)], section.steps)
    artifacts.write_rule(paths.improve(seed), state.theta, cloned.learner, origin)


def _groups(section: Improve, form: Form) -> list[Group]:
    """Short lives, to learn fast, and long ones: beyond the longest that it has seen, a rule soon comes undone."""
    facts = SETS[section.set]
    learner = clone((facts.features, *section.hidden_layers, facts.classes), form)
    loss = lifetime_loss(learner, cross_entropy, section.segment)
    one_by_one = across_devices(backprop(loss, at_once=1), jax.devices())
    return [
        Group(one_by_one, on_all(jax.devices(), examples(section.set, lives.length)), lives.population)
        for lives in section.lives
    ]
