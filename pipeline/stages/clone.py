"""Meta-trains theta to run backpropagation: on random connections coarsely and finely, then beside a shadow network."""

import jax
import numpy as np
import optax

from pipeline import artifacts, paths, provenance
from pipeline.params import Clone, Optimizer, plain
from pipeline.provenance import Job
from pipeline.tracking import Run
from vsml.cloning.clone import Form
from vsml.cloning.drills import coarse, fine, of_layers, random_connections, random_data, shadow_network
from vsml.meta.estimators import across_devices, backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, on_all, start
from vsml.tasks.datasets import SETS
from vsml.tasks.episodes import Draw, Source, Task, stream
from vsml.tasks.views import view

SHOWN_EVERY = 1000  # meta-steps


def main(job: Job, run: Run) -> None:
    section = job.params.clone
    (seed,) = job.item
    phases = _phases(section)
    steps = sum(count for count, _ in phases)
    optimizer = optimizer_of(section.optimizer, steps)
    theta_key, train_key = jax.random.split(jax.random.key(int(seed)))
    newborn = Form(**plain(section.form)).init_theta(theta_key)
    state, key = on_all(jax.devices(), (start(newborn, optimizer), train_key))
    losses = []
    for count, group in phases:
        for report in meta_train([group], optimizer, state, key, count, section.optimizer.patience):
            step, state, seen = report
            losses.append(seen.loss)
            if step % SHOWN_EVERY == 0 or step == steps:
                print(f"clone-{seed}: meta-step {step} of {steps}, loss {float(seen.loss):.2f}", flush=True)
    run.follow({"loss": np.asarray(losses).tolist()})
    origin = provenance.learned_from(job, [paths.train_data(section.shadow.set)], steps)
    settings = {"name": "clone", **plain(section.form), "rate": section.rate}
    artifacts.write_rule(paths.clone(seed), state.theta, settings, origin)


def optimizer_of(settings: Optimizer, steps: int) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup,
        decay_steps=max(steps, settings.warmup + 1),
        end_value=settings.final * settings.learning_rate,
    )
    clip = optax.clip_by_global_norm(settings.clip) if settings.clip else optax.identity()
    return guarded(optax.chain(clip, optax.adam(rate)), settings.patience)


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
