"""A baseline goes through the same tests, with every learning rate or strength of a grid if it has one.

Those that are held against rules with random features do so once more, with as many features of their own.
"""

from functools import partial

import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import run_trial_at_rates, trials
from pipeline.track.tracking import Run
from vsml.random_features import with_random_features


def main(job: Job, run: Run) -> None:
    (baseline,) = job.item
    section, count = job.params.baselines[baseline], job.params.features_of(baseline)
    arrays = {"rate": np.asarray(section.grid, np.float32)}
    for trial in trials(job.params.tests, section.suites):
        arrays |= {f"{trial.task}/{kind}": values for kind, values in run_trial_at_rates(section, trial).items()}
        if count:
            widened = run_trial_at_rates(section, trial, partial(with_random_features, count=count))
            arrays[f"features/{trial.task}/correct"] = widened["correct"]
    axes = {name: ("rate", "episode", "time")[: array.ndim] for name, array in arrays.items()}
    artifacts.write_table(paths.baseline(baseline), arrays, axes)
