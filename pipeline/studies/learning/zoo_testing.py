"""A learned rule that ships with the package goes through the tests of this profile, wherever it was meta-trained.

It does so as it is, and once more with random features beside those of each example. Linear SGD and Adam, with every
learning rate of their grids, have the same episodes with the same features.
"""

from functools import partial

import jax
import numpy as np

import vsml
from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import run_trial, run_trial_at_rates, trials
from pipeline.track.tracking import Run
from vsml.random_features import with_random_features


def main(job: Job, run: Run) -> None:
    (name,) = job.item
    own, rule = job.params.random_features, vsml.load(name)
    rivals = {rival: job.params.baselines[rival] for rival in own.baselines}
    arrays = {f"rate/{rival}": np.asarray(section.grid, np.float32) for rival, section in rivals.items()}
    axes: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("rate",))
    widened = partial(with_random_features, count=own.count)
    for trial in trials(job.params.tests, job.params.defaults.suites):
        for prefix, sized in (("", rule.learner), (f"features/zoo_{name}/", widened(rule.learner))):
            outcome = jax.jit(run_trial, static_argnums=0)(sized(trial.features, trial.classes), rule.theta, trial)
            arrays |= {f"{prefix}{trial.task}/{kind}": np.asarray(values) for kind, values in outcome.items()}
            axes |= {f"{prefix}{trial.task}/{kind}": ("episode", "time") for kind in outcome}
            print(f"{prefix}{trial.task}: accuracy {float(outcome['correct'].mean()):.3f}", flush=True)
        for rival, section in rivals.items():
            key = f"features/{rival}/{trial.task}/correct"
            arrays[key] = run_trial_at_rates(section, trial, widened)["correct"]
            axes[key] = ("rate", "episode", "time")
    artifacts.write_table(paths.zoo_test(name), arrays, axes)
