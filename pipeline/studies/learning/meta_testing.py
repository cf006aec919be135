"""A learned rule goes through its tests, on sets and sizes that it has never met."""

import jax

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import run_trial, trials
from pipeline.track.tracking import Run
from vsml.learners.settings import learner


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    rule = artifacts.read_rule(paths.rule(experiment, seed))
    arrays = {}
    for trial in trials(job.params.tests, job.params.experiments[experiment].suites):
        sized = learner(rule.learner, trial.features, trial.classes)
        outcome = jax.jit(run_trial, static_argnums=0)(sized, rule.theta, trial)
        arrays |= {f"{trial.task}/{kind}": values for kind, values in outcome.items()}
        accuracy, length = float(outcome["correct"].mean()), outcome["correct"].shape[1]
        print(f"{trial.task}: accuracy {accuracy:.3f} over {length} predictions", flush=True)
    artifacts.write_table(paths.meta_test(experiment, seed), arrays, dict.fromkeys(arrays, ("episode", "time")))
