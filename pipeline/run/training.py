"""The outer loop of every stage that trains: optimiser, checkpoints, curve and progress.

A stage gives the state to start from and the phases of its training. Killed at any moment and started again, it goes on
from its newest checkpoint and ends with the same bits.
"""

import math
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from pipeline.run import paths
from pipeline.run.checkpoints import Folder
from pipeline.run.job import Job

if TYPE_CHECKING:
    from pipeline.track.tracking import Run

CURVE = {"loss": np.float32, "grad_norm": np.float32, "skipped": np.bool_, "phase": np.int32}
SAVE_EVERY_S = 5.0
SHOW_EVERY_S = 10.0  # where the output is no terminal


class Phase(NamedTuple):
    """A number of steps that are trained alike.

    `advance(state, steps=left)` takes that many steps and yields the number, the state and the report of each; a report
    is a NamedTuple of loss, grad_norm and skipped. The number of a step counts from the start of the training, and so
    must all randomness: a phase that was interrupted is advanced from a restored state.
    """

    steps: int
    advance: Callable[..., Iterator[tuple[int, Any, Any]]]
    weight: int = 1  # what a step costs compared with those of the other phases, to tell how much time is left


def adam(
    peak: float, warmup: int, final: float, steps: int, clip: float | None = None, b2: float = 0.999
) -> optax.GradientTransformation:
    """Adam on gradients whose global norm is clipped to `clip`, if that is given.

    The learning rate rises from 0 to `peak` over `warmup` steps and falls on a cosine to `final` of it at `steps`.
    """
    rate = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=peak,
        warmup_steps=warmup,
        decay_steps=max(steps, warmup + 1),  # optax refuses a decay that ends before the warm-up
        end_value=final * peak,
    )
    clipped = optax.clip_by_global_norm(clip) if clip else optax.identity()
    return optax.chain(clipped, optax.adam(rate, b2=b2))


class Trained(NamedTuple):
    state: Any  # at the end
    curve: dict[str, np.ndarray]  # loss, gradient norm, whether the step was skipped, number of its phase [step]
    kept: dict[int, Any]  # the state after so many steps


def train(
    job: Job,
    run: "Run",
    state: Any,
    phases: Sequence[Phase],
    place: Callable[[Any], Any] = lambda tree: tree,
    keep: Collection[int] = (),
) -> Trained:
    """Train from `state`, or from the newest whole checkpoint of this job, to the end of the last phase.

    `state` is a pytree of arrays. `place` puts a restored state where a fresh one lies, such as on all devices. A
    checkpoint is saved every few seconds and at the end; all are removed when the job's outs are written and logged.
    The states after the steps in `keep` are kept, 0 being the start.
    """
    folder = Folder(paths.CHECKPOINTS / job.fingerprint)
    curve: dict[str, list[Any]] = {name: [] for name in CURVE}
    leaves, structure = jax.tree.flatten(state)
    kept = {0: [np.asarray(leaf) for leaf in leaves]} if 0 in keep else {}
    last = folder.load()
    if last is not None:
        run.resume(last.facts["run"])
        print(f"Going on from the checkpoint of meta-step {last.step}", flush=True)

        def restored(prefix: str) -> list[np.ndarray]:
            return [last.arrays[f"{prefix}/{number:03d}"] for number in range(len(leaves))]

        state = place(structure.unflatten(map(jnp.asarray, restored("state"))))
        curve = {name: last.arrays[f"curve/{name}"].tolist() for name in CURVE}
        kept = {step: restored(f"kept/{step}") for step in keep if step <= last.step}

    def save() -> None:
        run.follow(curve)
        arrays = {f"state/{number:03d}": leaf for number, leaf in enumerate(jax.tree.leaves(state))}
        arrays |= {f"curve/{name}": np.asarray(curve[name], kind) for name, kind in CURVE.items()}
        arrays |= {f"kept/{step}/{number:03d}": leaf for step, own in kept.items() for number, leaf in enumerate(own)}
        folder.save(len(curve["loss"]), arrays, {"run": run.id})

    saved_s, phase_end = time.monotonic(), 0
    with Progress(" ".join((job.stage, *job.item)), phases, curve["loss"]) as progress:
        for number, phase in enumerate(phases):
            phase_end += phase.steps
            progress.weight = phase.weight
            for advanced in phase.advance(state, steps=max(phase_end - len(curve["loss"]), 0)):
                _, state, report = advanced
                for name, value in (*report._asdict().items(), ("phase", number)):
                    curve[name].append(np.asarray(value).item())
                if len(curve["loss"]) in keep:
                    kept[len(curve["loss"])] = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
                if time.monotonic() - saved_s >= SAVE_EVERY_S:
                    save()
                    saved_s = time.monotonic()
                progress.update(phase.weight)
    save()  # also after a training that was killed when all its steps were done: its new run has no curve yet
    run.at_end(folder.remove)
    curves = {name: np.asarray(curve[name], kind) for name, kind in CURVE.items()}
    return Trained(state, curves, {step: structure.unflatten(leaves) for step, leaves in sorted(kept.items())})


class Progress(tqdm):
    """How far a training is: a bar on a terminal, elsewhere now and then a plain line with the time of day.

    tqdm counts work, not steps, so that the time left allows for later phases with longer steps. `losses` has one entry
    per step and grows as the training goes on.
    """

    monitor_interval = 0  # tqdm needs no thread that watches over slow steps: every step is looked at

    def __init__(self, name: str, phases: Sequence[Phase], losses: list[float]) -> None:
        self.weight, self._losses, self._steps = 1, losses, sum(phase.steps for phase in phases)
        self._begun = self._shown = len(losses)
        self._on_terminal = sys.stdout.isatty()
        work = [phase.weight for phase in phases for _ in range(phase.steps)]
        line = f"{name}: meta-step {{step}} of {self._steps}, loss {{loss}}, {{speed:.3g}} steps/s, {{remaining}} left"
        super().__init__(
            total=sum(work),
            initial=sum(work[: self._begun]),
            file=sys.stdout,
            miniters=1,
            bar_format=f"{line} |{{bar}}|" if self._on_terminal else line,
            mininterval=0.1 if self._on_terminal else SHOW_EVERY_S,
            leave=self._on_terminal,  # else a line feed would come after the last line
            dynamic_ncols=self._on_terminal,
        )

    @property
    def format_dict(self) -> dict[str, Any]:
        """What a line can tell; at the end the speed is that of the whole."""
        known, step = dict(super().format_dict), len(self._losses)
        speed = known["rate"] / self.weight if known["rate"] and step < self._steps else 0.0
        speed = speed or (step - self._begun) / max(known["elapsed"], 1e-9)
        recent = [loss for loss in self._losses[-20:] if math.isfinite(loss)]
        loss = f"{sum(recent) / len(recent):.4g}" if recent else "unknown"
        width = known["ncols"] if self._on_terminal else None  # a line is not cut to the COLUMNS of some terminal
        return known | {"step": step, "speed": speed, "loss": loss, "ncols": width}

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the present step; a line is written once for a step, and not before the first one."""
        if self._on_terminal:
            super().display(msg, pos)
        elif len(self._losses) > self._shown:
            self._shown = len(self._losses)
            print(time.strftime("%H:%M:%S"), self, flush=True)
