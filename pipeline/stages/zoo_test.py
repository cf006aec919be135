"""A learned rule that ships with the package lives the tests of this profile, wherever it was meta-trained."""

import jax
import numpy as np

import vsml
from pipeline import artifacts, paths
from pipeline.build import live, trials
from pipeline.provenance import Job
from pipeline.tracking import Run


def main(job: Job, run: Run) -> None:
    (name,) = job.item
    rule = vsml.load(name)
    arrays: dict[str, np.ndarray] = {}
    for trial in trials(job.params.tests, job.params.defaults.suites):
        living = rule.learner(trial.features, trial.classes)
        outcome = jax.jit(live, static_argnums=0)(living, rule.theta, trial)
        arrays |= {f"{trial.task}/{kind}": np.asarray(values) for kind, values in outcome.items()}
        print(f"{trial.task}: accuracy {float(outcome['correct'].mean()):.3f}", flush=True)
    artifacts.write_table(paths.zoo_test(name), arrays, dict.fromkeys(arrays, ("life", "time")))
