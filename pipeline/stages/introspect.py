"""Looks at how a learner associates images with labels: digits shown twice in a row, VSML beside SGD and Adam."""

import jax
import numpy as np

from pipeline import artifacts, paths
from pipeline.build import baseline_learner
from pipeline.provenance import Job
from pipeline.tracking import Run
from vsml.core.types import Learner, Theta
from vsml.introspect.association import probabilities, repeated_digits
from vsml.learners.settings import learner
from vsml.tasks.datasets import SETS, standardise

PAPER_RATES = {"sgd": 0.01, "adam": 0.001}  # arXiv 2012.14905, released code


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    rule = artifacts.read_rule(paths.rule(experiment, seed))
    section = job.params.introspect
    facts, table = SETS[section.set], artifacts.read_table(paths.test_data(section.set)).arrays
    x, y = standardise(facts, table["x"]), table["y"]
    rates = {name: _best_rate(name, section.set) for name in PAPER_RATES}
    rates |= {f"{name}_paper": rate for name, rate in PAPER_RATES.items()}

    rule_learner = learner(rule.learner, facts.features, facts.classes)
    learners: dict[str, tuple[Learner, Theta]] = {experiment: (rule_learner, rule.theta)}
    for name, rate in rates.items():
        baseline = job.params.baselines[name.removesuffix("_paper")]
        learners[name] = (baseline_learner(baseline, facts.features, facts.classes, rate), ())

    draw_key, birth_key = jax.random.split(jax.random.key(section.seed))
    episodes, image = jax.vmap(lambda key: repeated_digits(key, x, y))(jax.random.split(draw_key, section.lives))
    births = jax.random.split(birth_key, section.lives)
    read = jax.jit(jax.vmap(probabilities, in_axes=(None, None, 0, 0)), static_argnums=0)
    arrays = {
        "learner": np.array(list(learners)),
        "rate": np.array([np.nan, *rates.values()], np.float32),
        "probability": np.stack([read(learner, theta, births, episodes) for learner, theta in learners.values()]),
        "label": np.asarray(episodes.y.argmax(-1), np.int32),
        "image": np.asarray(image, np.int32),
    }
    axes = {
        "learner": ("learner",),
        "rate": ("learner",),
        "probability": ("learner", "life", "time", "class"),
        "label": ("life", "time"),
        "image": ("life", "time"),
    }
    artifacts.write_table(paths.introspect(experiment, seed), arrays, axes)


def _best_rate(baseline: str, task: str) -> float:
    """The learning rate with the best accuracy over whole lives, chosen in hindsight."""
    table = artifacts.read_table(paths.baseline(baseline)).arrays
    return float(table["rate"][table[f"{task}/correct"].mean((1, 2)).argmax()])
