"""A learned rule lives its tests, on sets and sizes that it has never met."""

import jax

from pipeline import artifacts, paths
from pipeline.build import live, test_lives, vsml_learner
from pipeline.provenance import Job
from pipeline.tracking import Run


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    rule = artifacts.read_rule(paths.rule(experiment, seed))
    arrays = {}
    for name, (keys, episodes) in test_lives(job.params.defaults.meta_test, job.params.items.sets).items():
        learner = vsml_learner(rule.learner, episodes.x.shape[-1], episodes.y.shape[-1])
        outcome = jax.jit(live, static_argnums=0)(learner, rule.theta, keys, episodes)
        arrays |= {f"{name}/{kind}": values for kind, values in outcome.items()}
        accuracy = float(outcome["correct"].mean())
        print(f"{name}: accuracy {accuracy:.3f} over {episodes.x.shape[1]} examples", flush=True)
    artifacts.write_table(paths.meta_test(experiment, seed), arrays, dict.fromkeys(arrays, ("life", "time")))
