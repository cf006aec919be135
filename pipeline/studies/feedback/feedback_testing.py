"""Tests what feedback_train made: what is known after each part of an episode, and how updates differ from descent."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.compiling import quickly
from pipeline.run.job import Job
from pipeline.studies.feedback import build
from pipeline.track.tracking import Run
from vsml.feedback.trial import Trial, run_episode

AXES: dict[str, tuple[str, ...]] = {
    "loss": ("theta", "episode", "moment", "part"),
    "correct": ("theta", "episode", "moment", "part"),
    "cosine": ("theta", "episode", "layer"),
    "effect": ("theta", "episode", "stretch", "part", "other"),
    "task": (),
    "in_order": (),
    "theta": ("theta",),
}


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    tests, section = job.params.feedback.tests, job.params.feedback.experiments[experiment]
    system, course, score = build.system(section), build.course(section, tests.queries), build.score(section)
    draw = build.draw(section, paths.test_data, tests.queries)
    learned = artifacts.read_rule(paths.feedback_rule(experiment, seed)).theta

    @quickly
    def episodes(theta, keys, draw) -> Trial:
        def one(key: jax.Array) -> Trial:
            init_key, episode_key = jax.random.split(key)
            return run_episode(system, score, course, theta, init_key, draw(episode_key))

        return jax.vmap(one)(keys)

    # An initial theta beside it: the same learner without meta-training. What is empty is not stored with a rule.
    initial = system.init_theta(jax.random.key(int(seed)))
    learned = {name: learned[name] if jax.tree.leaves(part) else part for name, part in initial.items()}
    keys = jax.random.split(jax.random.key(tests.seed), tests.episodes)
    found = [episodes(jax.tree.map(jnp.asarray, theta), keys, draw) for theta in (learned, initial)]
    arrays = {name: np.stack([np.asarray(getattr(each, name)) for each in found]) for name in Trial._fields}
    arrays |= {"task": np.array(section.task.name), "in_order": np.array(section.task.in_order)}
    arrays["theta"] = np.array(["learned", "initial"])
    artifacts.write_table(paths.feedback_test(experiment, seed), arrays, AXES)
    loss, correct = found[0].loss[:, -1].mean(), found[0].correct[:, -1].mean()
    print(f"{experiment}-{seed}: loss {float(loss):.4f}, correct {float(correct):.3f} at the end", flush=True)
