"""A learned rule that ships with the package goes through the tests of this profile, wherever it was meta-trained.

It does so as it is, and once more with random features beside those of each example; the stage `baseline` has linear
SGD and Adam in the same episodes with the same features.
"""

import jax
import numpy as np

import vsml
from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import run_trial, trials
from pipeline.track.tracking import Run
from vsml.random_features import with_random_features


def main(job: Job, run: Run) -> None:
    (name,) = job.item
    rule, arrays = vsml.load(name), {}
    widened = with_random_features(rule.learner, job.params.random_features.count)
    for trial in trials(job.params.tests, job.params.defaults.suites):
        for prefix, sized in (("", rule.learner), ("features/", widened)):
            outcome = jax.jit(run_trial, static_argnums=0)(sized(trial.features, trial.classes), rule.theta, trial)
            arrays |= {f"{prefix}{trial.task}/{kind}": np.asarray(values) for kind, values in outcome.items()}
            print(f"{prefix}{trial.task}: accuracy {float(outcome['correct'].mean()):.3f}", flush=True)
    artifacts.write_table(paths.zoo_test(name), arrays, dict.fromkeys(arrays, ("episode", "time")))
