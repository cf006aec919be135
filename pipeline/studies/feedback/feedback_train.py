"""Meta-trains feedback with local plasticity, or its baselines."""

from collections.abc import Hashable
from functools import partial

import jax
import optax

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.training import Phase, adam, train
from pipeline.studies.feedback.build import school, settings
from pipeline.studies.feedback.params import Drawings, Training
from pipeline.track.tracking import Run
from vsml.core.types import Theta
from vsml.feedback.lifetime import HEAD
from vsml.meta.estimators import backprop
from vsml.meta.train import Group, guarded, meta_train, start


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section = job.params.feedback.experiments[experiment]
    task, training, (init_theta, loss, draw) = section.task, section.training, school(section, paths.train_data)
    theta_key, train_key = jax.random.split(jax.random.key(int(seed)))
    theta = init_theta(theta_key)
    optimizer = guarded(by_group(training, theta), training.patience)
    group = Group(backprop(loss), draw, training.population)
    steps = partial(meta_train, [group], optimizer, key=train_key, patience=training.patience)
    state, curve, _ = train(job, run, start(theta, optimizer), [Phase(training.steps, steps)])

    del curve["phase"]  # there is one
    artifacts.write_table(paths.feedback_curve(experiment, seed), curve, dict.fromkeys(curve, ("step",)))
    data = [paths.train_data(task.train_set)] if isinstance(task, Drawings) else []
    origin = provenance.learned_from(job, data, training.steps)
    learned = {name: part for name, part in state.theta.items() if name != HEAD}
    artifacts.write_rule(paths.feedback_rule(experiment, seed), learned, settings(section), origin)


def by_group(training: Training, theta: Theta) -> optax.GradientTransformation:
    """Adam for each group of theta, with its own learning rate, on gradients that are clipped together.

    Near the border where the rule diverges the gradient of plasticity is huge; clipped together, the others then hardly
    count, and such an episode does not throw them off.

    Raises:
      ValueError: the rates are not those of the groups.
    """
    if training.rates.keys() != theta.keys():
        raise ValueError(
            f"training.rates are for {sorted(training.rates)}, and theta has the groups {sorted(theta)}: name those."
        )
    groups: dict[Hashable, optax.GradientTransformation] = {
        name: adam(rate.peak, rate.warmup, training.final, training.steps) if rate.peak else optax.set_to_zero()
        for name, rate in training.rates.items()
    }
    labels = {name: jax.tree.map(lambda _, n=name: n, part) for name, part in theta.items()}
    return optax.chain(optax.clip_by_global_norm(training.clip), optax.partition(groups, labels))
