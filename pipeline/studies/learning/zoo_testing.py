"""A learned rule that ships with the package lives the tests of this profile, wherever it was meta-trained.

It does so as it is, and once more with random features beside those of each example. Linear SGD and Adam, with every
learning rate of their grids, live the same lives with the same features.
"""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

import vsml
from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import Trial, baseline_learner, live, trials
from pipeline.track.tracking import Run
from vsml.random_features import with_random_features

Outcome = dict[str, jax.Array]


def main(job: Job, run: Run) -> None:
    (name,) = job.item
    own, rule = job.params.random_features, vsml.load(name)
    widened = with_random_features(rule.learner, own.count)
    rates = {rival: np.asarray(job.params.baselines[rival].rates, np.float32) for rival in own.baselines}
    rivals = {rival: _rival(job, rival) for rival in own.baselines}
    arrays: dict[str, np.ndarray] = {f"rate/{rival}": grid for rival, grid in rates.items()}
    axes: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("rate",))
    for trial in trials(job.params.tests, job.params.defaults.suites):
        for prefix, sized in (("", rule.learner), (f"features/zoo_{name}/", widened)):
            outcome = jax.jit(live, static_argnums=0)(sized(trial.features, trial.classes), rule.theta, trial)
            arrays |= {f"{prefix}{trial.task}/{kind}": np.asarray(values) for kind, values in outcome.items()}
            axes |= {f"{prefix}{trial.task}/{kind}": ("life", "time") for kind in outcome}
            print(f"{prefix}{trial.task}: accuracy {float(outcome['correct'].mean()):.3f}", flush=True)
        for rival, at in rivals.items():
            correct = np.stack([np.asarray(at(rate, trial)["correct"]) for rate in rates[rival]])
            key = f"features/{rival}/{trial.task}/correct"
            arrays[key], axes[key] = correct, ("rate", "life", "time")
            best = int(correct.mean((1, 2)).argmax())
            print(f"{key}: {correct[best].mean():.3f} at the best rate {rates[rival][best]:g}", flush=True)
    artifacts.write_table(paths.zoo_test(name), arrays, axes)


def _rival(job: Job, name: str) -> Callable[[jax.Array, Trial], Outcome]:
    section, count = job.params.baselines[name], job.params.random_features.count

    @jax.jit
    def at(rate: jax.Array, trial: Trial) -> Outcome:
        sized = with_random_features(partial(baseline_learner, section, rate=rate), count)
        return live(sized(trial.features, trial.classes), (), trial)

    return at
