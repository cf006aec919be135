"""Meta-trains rules to remember, one for each horizon, side by side. Killed, it goes on from its last checkpoint."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from pipeline import artifacts, paths, provenance
from pipeline.checkpoints import Checkpoint, Folder
from pipeline.params import Optimizer, RecallExperiment, plain
from pipeline.provenance import Job
from pipeline.tracking import Run
from vsml.core.types import Episode, RandomKey, Theta
from vsml.meta.estimators import across_devices, backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, MetaState, guarded, meta_train, on_all, start
from vsml.recall.drill import bits, drill, exam
from vsml.recall.graphs import GRAPHS, Graph
from vsml.recall.rules import Rules

SAVE_EVERY_S = 5.0


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section, size = job.params.recall.experiments[experiment], job.params.recall.size
    group, optimizer, (fresh, key) = build(section, size, int(seed))
    training = section.training

    folder = Folder(paths.CHECKPOINTS / job.fingerprint)
    state, losses = _resume(folder.load(), fresh, run)
    saved_s = time.monotonic()
    left, patience = training.steps - int(state.step), training.optimizer.patience
    reports = meta_train([group], optimizer, state, key, left, patience)
    for _, state, seen in reports:
        losses.append(float(seen.loss))
        if time.monotonic() - saved_s >= SAVE_EVERY_S or len(losses) == training.steps:
            run.follow({"loss": losses})
            leaves = {f"state/{i:03d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
            folder.save(len(losses), leaves | {"loss": np.asarray(losses, np.float32)}, {"run": run.id})
            where = f"{experiment}-{seed}: meta-step {len(losses)} of {training.steps}"
            print(f"{where}, loss {np.mean(losses[-20:]):.3f} bits", flush=True)
            saved_s = time.monotonic()

    settings = {"name": "recall", "size": size, "horizons": list(training.horizons)}
    settings |= {"graph": plain(section.graph), "rules": plain(section.rules), "loss": _ends(losses)}
    origin = provenance.learned_from(job, [], training.steps)
    artifacts.write_rule(paths.recall_train(experiment, seed), state.theta, settings, origin)
    run.at_end(folder.remove)


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
    rate = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup,
        decay_steps=max(steps, settings.warmup + 1),
        end_value=settings.final * settings.learning_rate,
    )
    clip = optax.clip_by_global_norm(settings.clip) if settings.clip else optax.identity()
    alone = optax.chain(optax.scale(float(rules)), clip, optax.adam(rate, b2=0.99))

    def update(updates, state, params=None):
        return jax.vmap(alone.update)(updates, state, params)

    return optax.GradientTransformation(jax.vmap(alone.init), update)


def _resume(last: Checkpoint | None, fresh: MetaState, run: Run) -> tuple[MetaState, list[float]]:
    if last is None:
        return fresh, []
    run.resume(last.facts["run"])
    print(f"Going on from the checkpoint of meta-step {last.step}", flush=True)
    leaves, treedef = jax.tree.flatten(fresh)
    restored = [jnp.asarray(last.arrays[f"state/{i:03d}"]) for i in range(len(leaves))]
    return on_all(jax.devices(), treedef.unflatten(restored)), last.arrays["loss"].tolist()


def _ends(losses: list[float]) -> dict[str, float]:
    """The loss at both ends of meta-training, each the mean of a twentieth of its steps."""
    share = max(len(losses) // 20, 1)
    return {"first": float(np.mean(losses[:share])), "last": float(np.mean(losses[-share:]))}
