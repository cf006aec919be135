"""A learned rule goes through its tests, on sets and sizes that it has never met; its snapshots through the first."""

import jax
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import run_trial, trials
from pipeline.track.tracking import Run
from vsml.learners.settings import learner


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    rule = artifacts.read_rule(paths.rule(experiment, seed))
    kept = artifacts.read_rule(paths.snapshots(experiment, seed)).theta
    arrays, axes, run_one = {}, {}, jax.jit(run_trial, static_argnums=0)
    for trial in trials(job.params.tests, job.params.experiments[experiment].suites):
        sized = learner(rule.learner, trial.features, trial.classes)
        outcome = run_one(sized, rule.theta, trial)
        if kept and not arrays:
            steps = sorted(map(int, kept))
            each = [run_one(sized, kept[str(step)], trial) for step in steps]
            stacked = {kind: np.stack([one[kind] for one in each]) for kind in ("answer", "correct")}
            arrays = {"snapshot": np.array(steps)}
            arrays |= {f"snapshots/{trial.task}/{kind}": values for kind, values in stacked.items()}
            axes = {name: ("snapshot", "episode", "time")[: array.ndim] for name, array in arrays.items()}
        own = {f"{trial.task}/{kind}": values for kind, values in outcome.items()}
        arrays, axes = arrays | own, axes | dict.fromkeys(own, ("episode", "time"))
        accuracy, length = float(outcome["correct"].mean()), outcome["correct"].shape[1]
        print(f"{trial.task}: accuracy {accuracy:.3f} over {length} predictions", flush=True)
    artifacts.write_table(paths.meta_test(experiment, seed), arrays, axes)
