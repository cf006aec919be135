"""SGD or Adam lives the same tests, with every learning rate of a grid."""

import jax
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.learning.build import Trial, baseline_learner, live, trials
from pipeline.track.tracking import Run


def main(job: Job, run: Run) -> None:
    (baseline,) = job.item
    section = job.params.baselines[baseline]

    @jax.jit
    def at(rate: jax.Array, trial: Trial) -> dict[str, jax.Array]:
        return live(baseline_learner(section, trial.features, trial.classes, rate), (), trial)

    rates = np.asarray(section.rates, np.float32)
    arrays, axes = {"rate": rates}, {"rate": ("rate",)}
    for trial in trials(job.params.tests, section.suites):
        outcomes = [at(rate, trial) for rate in rates]  # one after the other: the weights of all would be too many
        outcome = {kind: np.stack([np.asarray(one[kind]) for one in outcomes]) for kind in outcomes[0]}
        arrays |= {f"{trial.task}/{kind}": values for kind, values in outcome.items()}
        axes |= {f"{trial.task}/{kind}": ("rate", "life", "time") for kind in outcome}
        accuracy = outcome["correct"].mean((1, 2))
        best = int(accuracy.argmax())
        print(f"{trial.task}: accuracy {accuracy[best]:.3f} at the best rate {rates[best]:g}", flush=True)
    artifacts.write_table(paths.baseline(baseline), arrays, axes)
