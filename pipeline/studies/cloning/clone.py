"""Meta-trains theta to run backpropagation: on random connections coarsely and finely, then beside a shadow network."""

from functools import partial

import jax

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.params import Optimizer, plain
from pipeline.run.training import Phase, adam, train
from pipeline.track.tracking import Run
from vsml.cloning.clone import Form
from vsml.cloning.training_tasks import coarse, fine, of_layers, random_connections, random_data, shadow_network
from vsml.core.types import RandomKey, Theta
from vsml.meta.estimators import across_devices, backprop
from vsml.meta.losses import MetaLoss, lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, on_all, start
from vsml.tasks.datasets import SETS
from vsml.tasks.episodes import Draw, Source, Task, stream
from vsml.tasks.views import view


def main(job: Job, run: Run) -> None:
    section, (seed,) = job.params.clone, job.item
    form, random, shadow = Form(**plain(section.form)), section.random, section.shadow
    facts = SETS[shadow.set]
    connections = random_connections(form, section.rate, random.connections)
    data = random_data(random.connections, random.length)
    beside = shadow_network(form, section.rate, (facts.features, *shadow.hidden_layers, facts.classes), shadow.pace)
    images = examples(shadow.set, shadow.length)
    # A loss is that of its phase: those of different phases do not compare.
    phases = [
        (random.coarse, [group(lifetime_loss(connections, coarse), data, random.population)]),
        (random.fine, [group(lifetime_loss(connections, fine), data, random.population)]),
        (shadow.steps, [group(lifetime_loss(beside, of_layers), images, shadow.population)]),
    ]
    theta_key, train_key = jax.random.split(jax.random.key(int(seed)))
    theta = trained(job, run, form.init_theta(theta_key), train_key, section.optimizer, phases)
    origin = provenance.learned_from(job, [paths.train_data(shadow.set)], sum(steps for steps, _ in phases))
    settings = {"name": "clone", **plain(section.form), "rate": section.rate}
    artifacts.write_rule(paths.clone(seed), theta, settings, origin)


def group(loss: MetaLoss, draw: Draw, population: int, at_once: int | None = None) -> Group:
    devices = jax.devices()
    return Group(across_devices(backprop(loss, at_once), devices), on_all(devices, draw), population)


def examples(name: str, length: int) -> Draw:
    """Episodes of a set: its images as they are, with the labels that they have."""
    facts, table = SETS[name], artifacts.read_table(paths.train_data(name)).arrays
    source = Source(facts, table["x"], table["y"])
    seen = view("raw", facts.shape, facts.features, facts.features)
    return stream([Task(source, seen, tuple(range(facts.classes)))], length)


def trained(
    job: Job, run: Run, theta: Theta, key: RandomKey, own: Optimizer, phases: list[tuple[int, list[Group]]]
) -> Theta:
    """What becomes of theta in so many meta-steps on some groups, phase by phase."""
    steps = sum(count for count, _ in phases)
    optimizer = guarded(adam(own.learning_rate, own.warmup, own.final, steps, own.clip), own.patience)
    state, key = on_all(jax.devices(), (start(theta, optimizer), key))
    rest = {"key": key, "patience": own.patience}
    advances = [Phase(count, partial(meta_train, groups, optimizer, **rest)) for count, groups in phases]
    return train(job, run, state, advances, partial(on_all, jax.devices()))[0].theta
