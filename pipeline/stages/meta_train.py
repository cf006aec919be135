"""Meta-trains an experiment through its curriculum. Killed at any moment, it goes on from its last checkpoint."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline import artifacts, paths, provenance
from pipeline.build import vsml_learner
from pipeline.checkpoints import Checkpoint, Folder
from pipeline.params import AntitheticEs, Backprop, Experiment, Phase, plain
from pipeline.provenance import Job
from pipeline.tracking import Run
from vsml.core.scores import cross_entropy
from vsml.core.types import RandomKey, Theta
from vsml.meta.estimators import ValueAndGrad, across_devices, antithetic_es, backprop, truncated_bptt
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import MetaState, Sample, guarded, meta_train, sampler, start
from vsml.tasks.datasets import SETS, standardise
from vsml.tasks.episodes import projected_episode

CURVE = {"loss": np.float32, "grad_norm": np.float32, "skipped": np.bool_, "phase": np.int32}
CSV_ROWS = 500


class Progress:
    """Lines for the terminal; the time to go is by the work that is left, since later phases have longer steps."""

    def __init__(self, name: str, curriculum: tuple[Phase, ...], step: int) -> None:
        steps = [phase.inputs * phase.classes * phase.length * phase.population for phase in curriculum]
        self._name, self._work = name, np.repeat(steps, [phase.steps for phase in curriculum])
        self._step, self._time_s = step, time.monotonic()

    def since_s(self) -> float:
        return time.monotonic() - self._time_s

    def show(self, step: int, loss: list[float]) -> None:
        took_s, done = max(self.since_s(), 1e-6), self._work[self._step : step].sum()
        line = f"{self._name}: meta-step {step} of {len(self._work)}, loss {np.mean(loss[-20:]):.3f}"
        if done:
            left_s = self._work[step:].sum() * took_s / done
            line += f", {(step - self._step) / took_s:.1f} steps/s, {left_s:.0f} s to go"
        print(line, flush=True)
        self._step, self._time_s = step, time.monotonic()


class Outer(NamedTuple):
    """The outer loop of an experiment, ready to run: where it starts and, by phase, what it does."""

    state: MetaState
    key: RandomKey
    optimizer: optax.GradientTransformation
    phases: list[tuple[ValueAndGrad, Sample]]


def main(job: Job, run: Run, save_every_s: float = 5.0) -> None:
    experiment, seed = job.item
    section = job.params.experiments[experiment]
    table = artifacts.read_table(paths.data("digits")).arrays
    outer = build(section, int(seed), standardise(SETS["digits"], table["x_train"]), table["y_train"])

    folder = Folder(paths.CHECKPOINTS / job.fingerprint)
    state, curve = _resume(folder.load(), outer.state, run)
    progress = Progress(f"{experiment}-{seed}", section.curriculum, int(state.step))

    def keep(state: MetaState) -> None:
        run.follow(curve)
        arrays = {f"state/{i:03d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
        arrays |= {f"curve/{name}": np.asarray(curve[name], kind) for name, kind in CURVE.items()}
        folder.save(int(state.step), arrays, {"run": run.id})
        progress.show(int(state.step), curve["loss"])

    patience, phase_end = section.optimizer.patience, 0
    for number, (phase, (value_and_grad, sample)) in enumerate(zip(section.curriculum, outer.phases, strict=True)):
        phase_end += phase.steps
        left = max(phase_end - int(state.step), 0)
        steps = meta_train(value_and_grad, outer.optimizer, sample, state, outer.key, left, patience)
        for _, state, seen in steps:
            for name, value in (*seen._asdict().items(), ("phase", number)):
                curve[name].append(np.asarray(value).item())
            if progress.since_s() >= save_every_s:
                keep(state)
    keep(state)

    _write(job, state.theta, section, curve)
    run.at_end(folder.remove)


def build(section: Experiment, seed: int, x: jax.Array, y: np.ndarray) -> Outer:
    """The outer loop of an experiment on the examples `x`, `y` of its meta-train split."""
    theta_key, train_key = jax.random.split(jax.random.key(seed))
    settings = section.optimizer
    rate = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup,
        decay_steps=sum(phase.steps for phase in section.curriculum),
        end_value=settings.final * settings.learning_rate,
    )
    optimizer = guarded(optax.chain(optax.clip_by_global_norm(settings.clip), optax.adam(rate)), settings.patience)
    first = section.curriculum[0]
    theta = vsml_learner(plain(section.learner), first.inputs, first.classes).init_theta(theta_key)
    phases = [_phase(section, phase, x, y) for phase in section.curriculum]
    return Outer(jax.device_put(start(theta, optimizer), _everywhere()), train_key, optimizer, phases)


def _phase(section: Experiment, phase: Phase, x: jax.Array, y: np.ndarray) -> tuple[ValueAndGrad, Sample]:
    learner = vsml_learner(plain(section.learner), phase.inputs, phase.classes)
    match section.estimator:
        case Backprop(segment=segment):
            value_and_grad = backprop(lifetime_loss(learner, cross_entropy, segment))
        case AntitheticEs(std=std, at_once=at_once):
            value_and_grad = antithetic_es(lifetime_loss(learner, cross_entropy), std, at_once)
        case truncated:
            value_and_grad = truncated_bptt(learner, cross_entropy, truncated.chunk)

    def episode(key: RandomKey):
        return projected_episode(key, x, y, inputs=phase.inputs, classes=phase.classes, length=phase.length)

    return across_devices(value_and_grad, jax.devices()), sampler(episode, phase.population)


def _everywhere() -> NamedSharding:
    """A copy on each device, as meta-steps leave it: else the second one would be compiled anew."""
    return NamedSharding(Mesh(jax.devices(), ("device",)), PartitionSpec())


def _resume(last: Checkpoint | None, fresh: MetaState, run: Run) -> tuple[MetaState, dict[str, list[Any]]]:
    if last is None:
        return fresh, {name: [] for name in CURVE}
    run.resume(last.facts["run"])
    print(f"Going on from the checkpoint of meta-step {last.step}", flush=True)
    leaves, treedef = jax.tree.flatten(fresh)
    restored = [jnp.asarray(last.arrays[f"state/{i:03d}"]) for i in range(len(leaves))]
    state = jax.device_put(treedef.unflatten(restored), _everywhere())
    return state, {name: last.arrays[f"curve/{name}"].tolist() for name in CURVE}


def _write(job: Job, theta: Theta, section: Experiment, curve: dict[str, list[Any]]) -> None:
    experiment, seed = job.item
    arrays = {name: np.asarray(curve[name], kind) for name, kind in CURVE.items()}
    artifacts.write_table(paths.curve(experiment, seed), arrays, dict.fromkeys(CURVE, ("step",)))
    loss = arrays["loss"]
    shown = np.unique(np.linspace(0, len(loss) - 1, min(CSV_ROWS, len(loss))).astype(int))
    lines = ["step,loss", *(f"{step + 1},{loss[step]:.6g}" for step in shown)]
    artifacts.write_text(paths.curve_csv(experiment, seed), "\n".join(lines) + "\n")
    origin = provenance.learned_from(job, len(loss))
    artifacts.write_rule(paths.rule(experiment, seed), theta, plain(section.learner), origin)
