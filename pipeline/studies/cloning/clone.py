"""Meta-trains theta to run backpropagation: on random connections coarsely and finely, then beside a shadow network."""

from functools import partial

import jax

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.run.training import Phase, adam, train
from pipeline.studies.cloning.params import Clone
from pipeline.track.tracking import Run
from vsml.cloning.clone import Form
from vsml.cloning.drills import coarse, fine, of_layers, random_connections, random_data, shadow_network
from vsml.meta.estimators import across_devices, backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, on_all, start
from vsml.tasks.datasets import SETS
from vsml.tasks.episodes import Draw, Source, Task, stream
from vsml.tasks.views import view


def main(job: Job, run: Run) -> None:
    section = job.params.clone
    (seed,) = job.item
    own, phases = section.optimizer, _phases(section)
    steps = sum(count for count, _ in phases)
    optimizer = guarded(adam(own.learning_rate, own.warmup, own.final, steps, own.clip), own.patience)
    theta_key, train_key = jax.random.split(jax.random.key(int(seed)))
    initial = Form(**plain(section.form)).init_theta(theta_key)
    state, key = on_all(jax.devices(), (start(initial, optimizer), train_key))
    rest = {"key": key, "patience": own.patience}
    advances = [Phase(count, partial(meta_train, [group], optimizer, **rest)) for count, group in phases]
    state, _ = train(job, run, state, advances, partial(on_all, jax.devices()))
    origin = provenance.learned_from(job, [paths.train_data(section.shadow.set)], steps)
    settings = {"name": "clone", **plain(section.form), "rate": section.rate}
    artifacts.write_rule(paths.clone(seed), state.theta, settings, origin)


def _phases(section: Clone) -> list[tuple[int, Group]]:
    """Meta-steps and what they are on. A loss is that of its phase: those of different phases do not compare."""
    form, random, shadow = Form(**plain(section.form)), section.random, section.shadow
    connections = random_connections(form, section.rate, random.connections)
    data = random_data(random.connections, random.length)
    facts = SETS[shadow.set]
    beside = shadow_network(form, section.rate, (facts.features, *shadow.hidden_layers, facts.classes), shadow.pace)

    def group(learner, score, draw: Draw, population: int) -> Group:
        loss = lifetime_loss(learner, score)
        return Group(across_devices(backprop(loss), jax.devices()), on_all(jax.devices(), draw), population)

    return [
        (random.coarse, group(connections, coarse, data, random.population)),
        (random.fine, group(connections, fine, data, random.population)),
        (shadow.steps, group(beside, of_layers, examples(shadow.set, shadow.length), shadow.population)),
    ]


def examples(name: str, length: int) -> Draw:
    """Lives on a set: its images as they are, with the labels that they have."""
    facts, table = SETS[name], artifacts.read_table(paths.train_data(name)).arrays
    source = Source(facts, table["x"], table["y"])
    seen = view("raw", facts.shape, facts.features, facts.features)
    return stream([Task(source, seen, tuple(range(facts.classes)))], length)
