"""Tests what feedback_train made: what is known after each part of a life, and how updates differ from descent."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.studies.feedback import build as lessons
from pipeline.track.tracking import Run
from vsml.feedback.trial import Trial, live

AXES = {
    "loss": ("theta", "life", "moment", "part"),
    "correct": ("theta", "life", "moment", "part"),
    "cosine": ("theta", "life", "layer"),
    "effect": ("theta", "life", "stretch", "part", "other"),
}


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    tests, section = job.params.feedback.tests, job.params.feedback.experiments[experiment]
    system, course = lessons.system(section), lessons.course(section, tests.questions)
    draw = lessons.draw(section, paths.test_data, tests.questions)
    learned = artifacts.read_rule(paths.feedback_rule(experiment, seed)).theta

    @jax.jit
    def lives(theta, keys, draw) -> Trial:
        def one(key: jax.Array) -> Trial:
            life_key, episode_key = jax.random.split(key)
            return live(system, lessons.score(section), course, theta, life_key, draw(episode_key))

        return jax.vmap(one)(keys)

    # A newborn theta beside it: the same learner without meta-training. What is empty is not stored with a rule.
    newborn = system.init_theta(jax.random.key(int(seed)))
    learned = {name: learned[name] if jax.tree.leaves(part) else part for name, part in newborn.items()}
    keys = jax.random.split(jax.random.key(tests.seed), tests.lives)
    found = [lives(jax.tree.map(jnp.asarray, theta), keys, draw) for theta in (learned, newborn)]
    arrays = {name: np.stack([np.asarray(getattr(each, name)) for each in found]) for name in AXES}
    axes: dict[str, tuple[str, ...]] = dict(AXES)
    for name, fact in (("task", section.task.name), ("in_order", section.task.in_order)):
        arrays[name], axes[name] = np.array(fact), ()
    arrays["theta"], axes["theta"] = np.array(["learned", "newborn"]), ("theta",)
    artifacts.write_table(paths.feedback_test(experiment, seed), arrays, axes)
    end = found[0].loss[:, -1].mean(), found[0].correct[:, -1].mean()
    print(f"{experiment}-{seed}: loss {float(end[0]):.4f}, correct {float(end[1]):.3f} at the end", flush=True)
