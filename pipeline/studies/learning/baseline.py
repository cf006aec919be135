"""A baseline goes through the same tests, with every learning rate or strength of a grid if it has one."""

import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import run_trial_at_rates, trials
from pipeline.track.tracking import Run


def main(job: Job, run: Run) -> None:
    (baseline,) = job.item
    section = job.params.baselines[baseline]
    arrays = {"rate": np.asarray(section.grid, np.float32)}
    for trial in trials(job.params.tests, section.suites):
        arrays |= {f"{trial.task}/{kind}": values for kind, values in run_trial_at_rates(section, trial).items()}
    axes = {name: ("rate", "episode", "time")[: array.ndim] for name, array in arrays.items()}
    artifacts.write_table(paths.baseline(baseline), arrays, axes)
