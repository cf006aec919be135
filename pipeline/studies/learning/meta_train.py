"""Meta-trains an experiment through its curriculum."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.params import known_or_raise, plain
from pipeline.run.training import Phase, adam, train
from pipeline.studies.learning.build import training_episodes
from pipeline.studies.learning.params import GENERATED, AntitheticEs, Backprop, EpisodeSizes, Experiment, TruncatedBptt
from pipeline.track.tracking import Run
from vsml.core.scores import cross_entropy
from vsml.core.types import RandomKey
from vsml.learners.settings import learner
from vsml.meta.estimators import across_devices, antithetic_es, backprop, truncated_bptt
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, MetaState, guarded, meta_train, on_all, start

CSV_ROWS = 500


class Outer(NamedTuple):
    """The outer loop of an experiment, ready to run: where it starts and, by phase, what it does."""

    state: MetaState
    key: RandomKey
    optimizer: optax.GradientTransformation
    phases: list[list[Group]]


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section = job.params.experiments[experiment]
    outer = build(section, int(seed))
    rest = {"key": outer.key, "patience": section.optimizer.patience}
    phases = [
        Phase(phase.steps, partial(meta_train, groups, outer.optimizer, **rest), sum(map(_work, phase.episodes)))
        for phase, groups in zip(section.curriculum, outer.phases, strict=True)
    ]
    place = partial(on_all, jax.devices())
    state, curve, kept = train(job, run, outer.state, phases, place, section.snapshots)

    artifacts.write_table(paths.curve(experiment, seed), curve, dict.fromkeys(curve, ("step",)))
    loss = curve["loss"]
    shown = np.unique(np.linspace(0, len(loss) - 1, min(CSV_ROWS, len(loss))).astype(int))
    lines = ["step,loss", *(f"{step + 1},{loss[step]:.6g}" for step in shown)]
    artifacts.write_text(paths.curve_csv(experiment, seed), "\n".join(lines) + "\n")
    data = [paths.train_data(name) for name in section.data.sets if name not in GENERATED]
    origin = provenance.learned_from(job, data, len(loss))
    artifacts.write_rule(paths.rule(experiment, seed), state.theta, plain(section.learner), origin)
    # Rules of the snapshots, by their meta-steps; `meta_test` tells what came of them.
    thetas = {str(step): snapshot.theta for step, snapshot in kept.items()}
    artifacts.write_rule(paths.snapshots(experiment, seed), thetas, plain(section.learner), origin)


def build(section: Experiment, seed: int) -> Outer:
    """The outer loop of an experiment."""
    theta_key, train_key = jax.random.split(jax.random.key(seed))
    steps, own = sum(phase.steps for phase in section.curriculum), section.optimizer
    optimizer = guarded(adam(own.learning_rate, own.warmup, own.final, steps, own.clip), own.patience)
    phases = [[group for sizes in phase.episodes for group in _groups(section, sizes)] for phase in section.curriculum]
    first = next(training_episodes(section.data, section.curriculum[0].episodes[0]))
    theta = learner(plain(section.learner), first.inputs, first.classes).init_theta(theta_key)
    for name, value in section.start.items():
        theta = {**theta, name: jnp.full_like(known_or_raise(theta, name, "leaves of theta"), value)}
    state, key = on_all(jax.devices(), (start(theta, optimizer), train_key))
    return Outer(state, key, optimizer, phases)


def _groups(section: Experiment, sizes: EpisodeSizes) -> Iterator[Group]:
    """The population, spread over different sizes; shares are rounded up so that the devices divide them."""
    devices, last = jax.devices(), 1 if section.data.episodes == "one_shot" else None
    if last and isinstance(section.estimator, TruncatedBptt):
        raise ValueError("The estimator truncated_bptt is for streams: a one-shot episode is too short to be cut.")
    for drawn in training_episodes(section.data, sizes):
        on_each = -(-round(sizes.population * drawn.share) // len(devices)) or 1
        most = min(section.estimator.at_once or on_each, on_each)
        at_once = max(n for n in range(1, most + 1) if on_each % n == 0)
        sized = learner(plain(section.learner), drawn.inputs, drawn.classes)
        match section.estimator:
            case Backprop(segment=segment):
                found = backprop(lifetime_loss(sized, cross_entropy, segment, last=last), at_once)
            case AntitheticEs(std=std):
                found = antithetic_es(lifetime_loss(sized, cross_entropy, last=last), std, at_once)
            case TruncatedBptt(chunk=chunk):
                found = truncated_bptt(sized, cross_entropy, chunk, at_once)
        yield Group(across_devices(found, devices), on_all(devices, drawn.draw), on_each * len(devices))


def _work(sizes: EpisodeSizes) -> int:
    """What a meta-step costs, in ticks of cells."""
    inputs = [size or 784 for size in sizes.inputs]
    classes = [len(c) if isinstance(c, tuple) else c or 10 for c in sizes.classes]
    return round(np.mean(inputs) * np.mean(classes) * sizes.length * sizes.population)
