"""Meta-trains an experiment through its curriculum. Killed at any moment, it goes on from its last checkpoint."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pipeline import artifacts, params, paths, provenance
from pipeline.build import train_lives
from pipeline.checkpoints import Checkpoint, Folder
from pipeline.params import GENERATED, AntitheticEs, Backprop, Estimator, Experiment, Lives, Phase, plain
from pipeline.provenance import Job
from pipeline.tracking import Run
from vsml.core.scores import cross_entropy
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.settings import learner
from vsml.meta.estimators import ValueAndGrad, across_devices, antithetic_es, backprop, truncated_bptt
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, MetaState, guarded, meta_train, on_all, start

CURVE = {"loss": np.float32, "grad_norm": np.float32, "skipped": np.bool_, "phase": np.int32}
CSV_ROWS = 500


class Progress:
    """Lines for the terminal; the time to go is by the work that is left, since later phases have longer steps."""

    def __init__(self, name: str, curriculum: tuple[Phase, ...], step: int) -> None:
        work = [sum(map(_work, phase.lives)) for phase in curriculum]
        self._name, self._work = name, np.repeat(work, [phase.steps for phase in curriculum])
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
    phases: list[list[Group]]


def main(job: Job, run: Run, save_every_s: float = 5.0) -> None:
    experiment, seed = job.item
    section = job.params.experiments[experiment]
    outer = build(section, int(seed))

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
    for number, (phase, groups) in enumerate(zip(section.curriculum, outer.phases, strict=True)):
        phase_end += phase.steps
        left = max(phase_end - int(state.step), 0)
        steps = meta_train(groups, outer.optimizer, state, outer.key, left, patience)
        for _, state, seen in steps:
            for name, value in (*seen._asdict().items(), ("phase", number)):
                curve[name].append(np.asarray(value).item())
            if progress.since_s() >= save_every_s:
                keep(state)
    keep(state)

    _write(job, state.theta, section, curve)
    run.at_end(folder.remove)


def build(section: Experiment, seed: int) -> Outer:
    """The outer loop of an experiment."""
    theta_key, train_key = jax.random.split(jax.random.key(seed))
    settings = section.optimizer
    rate = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup,
        decay_steps=max(sum(phase.steps for phase in section.curriculum), settings.warmup + 1),
        end_value=settings.final * settings.learning_rate,
    )
    clip = optax.clip_by_global_norm(settings.clip) if settings.clip else optax.identity()
    optimizer = guarded(optax.chain(clip, optax.adam(rate)), settings.patience)
    phases = [[group for lives in phase.lives for group in _groups(section, lives)] for phase in section.curriculum]
    first = next(train_lives(section.data, section.curriculum[0].lives[0]))
    theta = learner(plain(section.learner), first.inputs, first.classes).init_theta(theta_key)
    for name, value in section.start.items():
        theta = {**theta, name: jnp.full_like(params.known_or_raise(theta, name, "leaves of theta"), value)}
    state, key = on_all(jax.devices(), (start(theta, optimizer), train_key))
    return Outer(state, key, optimizer, phases)


def _groups(section: Experiment, lives: Lives) -> Iterator[Group]:
    """The population, spread over lives of different sizes; shares are rounded up so that the devices divide them."""
    devices = jax.devices()
    for drawn in train_lives(section.data, lives):
        on_each = -(-round(lives.population * drawn.share) // len(devices)) or 1
        living = learner(plain(section.learner), drawn.inputs, drawn.classes)
        last = 1 if section.data.episodes == "one_shot" else None
        value_and_grad = _value_and_grad(section.estimator, living, on_each, last)
        draw = on_all(devices, drawn.draw)
        yield Group(across_devices(value_and_grad, devices), draw, on_each * len(devices))


def _value_and_grad(estimator: Estimator, learner: Learner, on_each: int, last: int | None) -> ValueAndGrad:
    at_once = max(n for n in range(1, min(estimator.at_once or on_each, on_each) + 1) if on_each % n == 0)
    match estimator:
        case Backprop(segment=segment):
            return backprop(lifetime_loss(learner, cross_entropy, segment, last=last), at_once)
        case AntitheticEs(std=std):
            return antithetic_es(lifetime_loss(learner, cross_entropy, last=last), std, at_once)
        case truncated if last is None:
            return truncated_bptt(learner, cross_entropy, truncated.chunk, at_once)
    raise ValueError("The estimator truncated_bptt is for streams: a one-shot episode is too short to be cut.")


def _work(lives: Lives) -> float:
    """What a meta-step costs, in ticks of cells."""
    inputs = [size or 784 for size in lives.inputs]
    classes = [len(c) if isinstance(c, tuple) else c or 10 for c in lives.classes]
    return float(np.mean(inputs) * np.mean(classes) * lives.length * lives.population)


def _resume(last: Checkpoint | None, fresh: MetaState, run: Run) -> tuple[MetaState, dict[str, list[Any]]]:
    if last is None:
        return fresh, {name: [] for name in CURVE}
    run.resume(last.facts["run"])
    print(f"Going on from the checkpoint of meta-step {last.step}", flush=True)
    leaves, treedef = jax.tree.flatten(fresh)
    restored = [jnp.asarray(last.arrays[f"state/{i:03d}"]) for i in range(len(leaves))]
    state = on_all(jax.devices(), treedef.unflatten(restored))
    return state, {name: last.arrays[f"curve/{name}"].tolist() for name in CURVE}


def _write(job: Job, theta: Theta, section: Experiment, curve: dict[str, list[Any]]) -> None:
    experiment, seed = job.item
    arrays = {name: np.asarray(curve[name], kind) for name, kind in CURVE.items()}
    artifacts.write_table(paths.curve(experiment, seed), arrays, dict.fromkeys(CURVE, ("step",)))
    loss = arrays["loss"]
    shown = np.unique(np.linspace(0, len(loss) - 1, min(CSV_ROWS, len(loss))).astype(int))
    lines = ["step,loss", *(f"{step + 1},{loss[step]:.6g}" for step in shown)]
    artifacts.write_text(paths.curve_csv(experiment, seed), "\n".join(lines) + "\n")
    data = [paths.train_data(name) for name in section.data.sets if name not in GENERATED]
    origin = provenance.learned_from(job, data, len(loss))
    artifacts.write_rule(paths.rule(experiment, seed), theta, plain(section.learner), origin)
