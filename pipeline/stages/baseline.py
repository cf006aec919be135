"""SGD or Adam lives the same tests, with every learning rate of a grid."""

import jax
import jax.numpy as jnp

from pipeline import artifacts, paths
from pipeline.build import baseline_learner, live, test_lives
from pipeline.provenance import Job
from pipeline.tracking import Run


def main(job: Job, run: Run) -> None:
    (baseline,) = job.item
    section = job.params.baselines[baseline]
    rates = jnp.asarray(section.rates)
    arrays, axes = {"rate": rates}, {"rate": ("rate",)}
    for name, (keys, episodes) in test_lives(job.params.defaults.meta_test, job.params.items.sets).items():

        def at(rate, keys=keys, episodes=episodes):
            learner = baseline_learner(section, episodes.x.shape[-1], episodes.y.shape[-1], rate)
            return live(learner, (), keys, episodes)

        outcome = jax.jit(jax.vmap(at))(rates)
        arrays |= {f"{name}/{kind}": values for kind, values in outcome.items()}
        axes |= {f"{name}/{kind}": ("rate", "life", "time") for kind in outcome}
        accuracy = outcome["correct"].mean((1, 2))
        best = int(accuracy.argmax())
        print(f"{name}: accuracy {float(accuracy[best]):.3f} at the best rate {section.rates[best]:g}", flush=True)
    artifacts.write_table(paths.baseline(baseline), arrays, axes)
