"""Meta-trains feedback with local plasticity, or its baselines. Killed at any moment, it goes on from a checkpoint."""

import time
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pipeline import artifacts, lessons, paths, provenance
from pipeline.checkpoints import Checkpoint, Folder
from pipeline.provenance import Job
from pipeline.sections.feedback import Rate, Training
from pipeline.tracking import Run
from vsml.core.types import Theta
from vsml.feedback.lifetime import HEAD
from vsml.meta.estimators import backprop
from vsml.meta.train import Group, MetaState, guarded, meta_train, start

CURVE = {"loss": np.float32, "grad_norm": np.float32, "skipped": np.bool_}
SAVE_EVERY_S = 10.0


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section = job.params.feedback.experiments[experiment]
    settings = section.training
    school = lessons.school(section, paths.train_data)
    theta_key, train_key = jax.random.split(jax.random.key(int(seed)))
    theta = school.init_theta(theta_key)
    optimizer = guarded(by_group(settings, theta), settings.patience)
    folder = Folder(paths.CHECKPOINTS / job.fingerprint)
    state, curve = _resume(folder.load(), start(theta, optimizer), run)

    def keep(state: MetaState) -> None:
        run.follow(curve)
        arrays = {f"state/{i:03d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
        arrays |= {f"curve/{name}": np.asarray(curve[name], kind) for name, kind in CURVE.items()}
        folder.save(int(state.step), arrays, {"run": run.id})
        finite = [loss for loss in curve["loss"][-100:] if np.isfinite(loss)]
        loss = f"{np.mean(finite):.4f}" if finite else "not finite"
        print(f"{experiment}-{seed}: meta-step {int(state.step)} of {settings.steps}, loss {loss}", flush=True)

    saved_s = time.monotonic()
    left = settings.steps - int(state.step)
    group = Group(backprop(school.loss), school.draw, settings.population)
    steps = meta_train([group], optimizer, state, train_key, left, settings.patience)
    for _, state, seen in steps:
        for name, value in seen._asdict().items():
            curve[name].append(np.asarray(value).item())
        if time.monotonic() - saved_s >= SAVE_EVERY_S:
            keep(state)
            saved_s = time.monotonic()
    keep(state)

    arrays = {name: np.asarray(curve[name], kind) for name, kind in CURVE.items()}
    artifacts.write_table(paths.feedback_curve(experiment, seed), arrays, dict.fromkeys(CURVE, ("step",)))
    name = job.params.feedback.trained_on(experiment)
    origin = provenance.learned_from(job, [paths.train_data(name)] if name else [], settings.steps)
    learned = {name: part for name, part in state.theta.items() if name != HEAD}
    artifacts.write_rule(paths.feedback_rule(experiment, seed), learned, lessons.settings(section), origin)
    run.at_end(folder.remove)


def by_group(settings: Training, theta: Theta) -> optax.GradientTransformation:
    """Adam for each group of theta, with its own learning rate, on gradients that are clipped together.

    Near the border where the rule diverges the gradient of plasticity is huge; clipped together, the others then hardly
    count, and such a life does not throw them off.

    Raises:
      ValueError: the rates are not those of the groups.
    """
    if settings.rates.keys() != theta.keys():
        raise ValueError(
            f"training.rates are for {sorted(settings.rates)}, and theta has the groups {sorted(theta)}: name those."
        )
    groups: dict[Hashable, optax.GradientTransformation] = {
        name: _adam(settings, rate) for name, rate in settings.rates.items()
    }
    labels = {name: jax.tree.map(lambda _, n=name: n, part) for name, part in theta.items()}
    return optax.chain(optax.clip_by_global_norm(settings.clip), optax.partition(groups, labels))


def _adam(settings: Training, rate: Rate) -> optax.GradientTransformation:
    if rate.peak == 0:
        return optax.set_to_zero()
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=rate.peak,
        warmup_steps=rate.warmup,
        decay_steps=max(settings.steps, rate.warmup + 1),
        end_value=settings.final * rate.peak,
    )
    return optax.adam(schedule)


def _resume(last: Checkpoint | None, fresh: MetaState, run: Run) -> tuple[MetaState, dict[str, list[Any]]]:
    if last is None:
        return fresh, {name: [] for name in CURVE}
    run.resume(last.facts["run"])
    print(f"Going on from the checkpoint of meta-step {last.step}", flush=True)
    leaves, treedef = jax.tree.flatten(fresh)
    restored = [jnp.asarray(last.arrays[f"state/{i:03d}"]) for i in range(len(leaves))]
    return treedef.unflatten(restored), {name: last.arrays[f"curve/{name}"].tolist() for name in CURVE}
