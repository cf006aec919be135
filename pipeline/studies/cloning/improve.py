"""Goes on from a clone of backpropagation: meta-trains its theta for what an episode is worth, as any other's.

The workshop version of arXiv 2012.14905 claims that learning then is faster, and not only on the set of meta-training.
"""

import jax
import jax.numpy as jnp

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.studies.cloning.clone import examples, group, trained
from pipeline.track.tracking import Run
from vsml.cloning.clone import Form, clone
from vsml.core.scores import cross_entropy
from vsml.meta.losses import lifetime_loss
from vsml.tasks.datasets import SETS


def main(job: Job, run: Run) -> None:
    section, (seed,) = job.params.improve, job.item
    cloned, facts = artifacts.read_rule(paths.clone(seed)), SETS[section.set]
    learner = clone((facts.features, *section.hidden_layers, facts.classes), Form(**plain(job.params.clone.form)))
    loss = lifetime_loss(learner, cross_entropy, section.segment)
    # Short episodes, to learn fast, and long ones: beyond the longest that it has seen, a rule soon comes undone.
    groups = [
        group(loss, examples(section.set, episodes.length), episodes.population, 1) for episodes in section.episodes
    ]
    theta, key = jax.tree.map(jnp.asarray, cloned.theta), jax.random.key(int(seed))
    theta = trained(job, run, theta, key, section.optimizer, [(section.steps, groups)])
    origin = provenance.learned_from(job, [paths.train_data(section.set), paths.clone(seed)], section.steps)
    artifacts.write_rule(paths.improve(seed), theta, cloned.learner, origin)
