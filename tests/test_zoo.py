"""The rules that ship: made by the pipeline, byte for byte, and able to learn."""

import hashlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ruamel.yaml import YAML

import vsml
from pipeline import artifacts, paths
from vsml import zoo
from vsml.core.rollout import rollout
from vsml.core.scores import correct
from vsml.tasks.synthetic import random_points

NAMES = zoo.names()


def test_there_is_one():
    assert "digits" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_what_a_profile_has_left_to_the_byte(name):
    """Its md5 is that of the rule of its experiment and seed in some dvc.lock."""
    md5 = hashlib.md5((paths.ROOT / f"vsml/zoo/{name}.npz").read_bytes()).hexdigest()
    origin = vsml.load(name).provenance
    item = f"meta_train@{origin['experiment']}-{origin['seed']}"
    outs = []
    for lock in (paths.ROOT / "dvc.lock", *paths.ROOT.glob("profiles/*/dvc.lock")):
        outs += YAML(typ="safe", pure=True).load(lock)["stages"].get(item, {}).get("outs", [])
    assert md5 in [out["md5"] for out in outs if out["path"].endswith("/rule.npz")]


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_read_as_the_pipeline_reads_it_and_its_card_names_its_origin(name):
    rule, stored = vsml.load(name), artifacts.read_rule(paths.ROOT / f"vsml/zoo/{name}.npz")
    jax.tree.map(np.testing.assert_array_equal, rule.theta, stored.theta)
    assert (rule.settings, rule.provenance) == (stored.learner, stored.provenance)
    for fact in (*rule.provenance["data"].values(), rule.provenance["params"], f"meta-seed {rule.provenance['seed']}"):
        assert fact in rule.card


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_learns_what_it_has_never_met(name, key):
    """Twenty points with random labels, seen again and again: guessing is right one time in ten."""
    rule = vsml.load(name)
    learner = rule.learner(24, 10)

    def accuracy(theta, key):
        episode = random_points(key, length=120, features=24)
        return correct(rollout(learner, theta, key, episode), episode.y)[60:].mean()

    lives = jax.jit(jax.vmap(accuracy, in_axes=(None, 0)))
    keys = jax.random.split(key, 8)
    assert float(lives(rule.theta, keys).mean()) > 0.6
    assert float(lives(jax.tree.map(jnp.zeros_like, rule.theta), keys).mean()) < 0.3


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"'minst' is none of the rules \['digits'"):
        vsml.load("minst")


@pytest.mark.parametrize("words", [[], ["vsml", "0"], ["vsml", "first", "x"], ["vsml", "0", "../x"]])
def test_ship_says_how_it_is_used(words):
    command = [sys.executable, "-m", "pipeline", "ship", *words]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Usage: python -m pipeline ship EXPERIMENT SEED NAME" in done.stderr
