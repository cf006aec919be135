"""The rules that ship: made by the pipeline, byte for byte, and able to learn."""

import functools
import hashlib
import subprocess
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

import vsml
from pipeline.run import artifacts, paths
from pipeline.run.params import read_yaml
from pipeline.studies import ship
from vsml import zoo
from vsml.cloning.clone import Form
from vsml.core.rollout import rollout, unroll
from vsml.core.scores import correct
from vsml.core.types import Episode
from vsml.feedback.lifetime import answers, cut, squared_error
from vsml.feedback.tasks import Course, sines
from vsml.learners.gradient import gradient
from vsml.tasks.synthetic import random_points

NAMES = zoo.names()
STAGES = {"recall": "recall_train", "local_plasticity": "feedback_train", "descent": "feedback_train"}


def _stage(name: str) -> str:
    """That has left the rule of this name."""
    kind = vsml.load(name).settings["name"]
    return name.partition("_")[0] if kind == "clone" else STAGES.get(kind, "meta_train")


OF_STAGE = {stage: [name for name in NAMES if _stage(name) == stage] for stage in ("meta_train", *STAGES.values())}


# Until a better one takes its place, this rule stays that of an older commit, which its card names.
OLDER = ("mnist",)


def _git(*words: str) -> str:
    return subprocess.run(("git", *words), cwd=paths.ROOT, check=True, capture_output=True, text=True).stdout


@functools.cache
def _stages(lock: str) -> dict[str, Any]:
    return read_yaml(lock.encode())["stages"]


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_is_what_a_profile_has_left_to_the_byte(name):
    """Its md5 is that of the rule of its experiment and seed in a dvc.lock of now or, of OLDER, of some commit."""
    origin = vsml.load(name).provenance
    md5 = hashlib.md5((paths.ROOT / f"vsml/zoo/{name}.npz").read_bytes()).hexdigest()
    item = f"{_stage(name)}@{'-'.join(origin[word] for word in ('experiment', 'seed') if word in origin)}"
    locks = [path.read_text() for path in (paths.ROOT / "dvc.lock", *paths.ROOT.glob("profiles/*/dvc.lock"))]
    if name in OLDER:
        words = ("-m", "--reverse", "--", "dvc.lock", "profiles/*/dvc.lock")
        commits = _git("log", f"-S{md5}", "--format=%H", *words).split()
        if not commits and _git("rev-parse", "--is-shallow-repository").strip() == "true":
            pytest.skip("this clone has no history")
        first, *_ = _git("log", f"-S{md5}", "--format=", "--name-only", *words).split()
        locks = [_git("show", f"{commits[0]}:{first}")]
    every = [_stages(text) for text in locks if md5 in text]
    assert md5 in {out["md5"] for stages in every if item in stages for out in stages[item]["outs"]}


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_read_as_the_pipeline_reads_it_and_its_card_names_its_origin(name):
    rule, stored = vsml.load(name), artifacts.read_rule(paths.ROOT / f"vsml/zoo/{name}.npz")
    theta = {name: part for name, part in rule.theta.items() if jax.tree.leaves(part)}
    if "horizons" in rule.settings:
        longest = int(np.argmax(rule.settings["horizons"]))
        stored = stored._replace(theta=jax.tree.map(lambda leaf: leaf[longest], stored.theta))
    jax.tree.map(np.testing.assert_array_equal, theta, stored.theta)
    assert rule.name == name
    assert (rule.settings, rule.provenance) == (stored.learner, stored.provenance)
    for fact in (*rule.provenance["data"].values(), rule.provenance["params"], f"meta-seed {rule.provenance['seed']}"):
        assert fact in rule.card


@pytest.mark.parametrize("name", OF_STAGE["meta_train"])
def test_a_rule_learns_what_it_has_never_met(name, key):
    """Twenty points with random labels, seen again and again: guessing is right one time in ten."""
    rule = vsml.load(name)
    learner = rule.learner(24, 10)

    def accuracy(theta, key):
        episode = random_points(key, length=120, features=24)
        return correct(rollout(learner, theta, key, episode), episode.y)[60:].mean()

    episodes = jax.jit(jax.vmap(accuracy, in_axes=(None, 0)))
    keys = jax.random.split(key, 8)
    assert float(episodes(rule.theta, keys).mean()) > 0.6
    assert float(episodes(jax.tree.map(jnp.zeros_like, rule.theta), keys).mean()) < 0.3


@pytest.mark.parametrize("name", OF_STAGE["recall_train"])
def test_a_rule_that_remembers_recalls_the_last_snippets_and_its_newborn_does_not(name, key):
    horizon = min(vsml.load(name).settings["horizons"])
    rule = vsml.load(name, horizon=horizon)
    learner = rule.learner(12, 12)  # not the size of its meta-training

    @jax.jit
    @jax.vmap
    def right(key):
        cue, answer = jax.random.rademacher(key, (2, 20, 12), jnp.float32)
        state, _ = unroll(learner, rule.theta, learner.init_state(rule.theta, key), Episode(cue, answer))
        said = jax.vmap(lambda x: learner.step(rule.theta, state, x, 0 * x)[1])(cue)
        return ((said > 0) == (answer > 0)).mean(-1)

    recalled = right(jax.random.split(key, 16)).mean(0)
    assert float(recalled[-horizon:].mean()) > 0.7 > 0.6 > float(recalled[:5].mean())


@pytest.mark.parametrize("name", [name for name in OF_STAGE["feedback_train"] if "trunk" not in vsml.load(name).theta])
def test_a_network_that_learns_by_feedback_knows_sines_better_at_the_end_than_at_birth(name, key):
    rule = vsml.load(name)
    parts = len(rule.theta["forward"]["0"]["w"]) - 1
    learner, course = rule.learner(parts + 1, 1), Course(parts, support=10, queries=1, in_order=True)

    @jax.jit
    @jax.vmap
    def errors(key):
        support, asked = cut(sines(course, points=16)(key), course.length)
        newborn = learner.init_state(rule.theta, key)
        states = newborn, unroll(learner, rule.theta, newborn, support)[0]
        return [squared_error(answers(learner, rule.theta, state, *asked), asked.y).mean() for state in states]

    before, after = (float(error.mean()) for error in errors(jax.random.split(key, 16)))
    assert after < before / 2


def test_a_clone_learns_as_gradient_descent_does(key):
    """Of the rate that was cloned, from its own initial weights: in the same episode soon the same answers."""
    rule = vsml.load("clone_0")
    learner, exact = rule.learner(64, 10), gradient((64, 10), optax.sgd(rule.settings["rate"]))
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray((images - images.mean()) / images.std(), jnp.float32), jax.nn.one_hot(labels, 10)

    @jax.jit
    @jax.vmap
    def same(key):
        rows, state = jax.random.choice(key, len(x), (600,)), learner.init_state(rule.theta, key)
        episode = Episode(x[rows], y[rows])
        weights = [tuple(layer) for layer in map(Form().held, state)]
        _, ours = unroll(learner, rule.theta, state, episode)
        _, theirs = unroll(exact, (), (weights, optax.sgd(1.0).init(weights)), episode)
        return (ours[400:].argmax(-1) == theirs[400:].argmax(-1)).mean()

    assert float(same(jax.random.split(key, 2)).mean()) > 0.9


def test_ship_refuses_names_that_results_would_confuse():
    with pytest.raises(ValueError, match=r"NAME \(=mine_features\) must not end in _features, by which results name"):
        ship.main("vsml", 0, "mine_features")
