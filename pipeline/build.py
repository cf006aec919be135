"""Learners and lives from parameters, for every stage alike: all learners must live the same lives."""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pipeline import artifacts, paths
from pipeline.params import Baseline, MetaTest
from vsml.core.rollout import rollout
from vsml.core.scores import correct, cross_entropy
from vsml.core.types import Episode, Learner, Theta
from vsml.learners.gradient import gradient
from vsml.learners.network import network
from vsml.tasks.datasets import SETS, standardise
from vsml.tasks.episodes import test_episode
from vsml.tasks.synthetic import random_points, sum_sign

SYNTHETIC_FEATURES = 64
OPTIMIZERS = {"sgd": optax.sgd, "adam": optax.adam}


def vsml_learner(section: Mapping[str, Any], features: int, classes: int) -> Learner:
    """The VSML network of a `learner` section, sized for a task; theta fits every size."""
    settings = dict(section)
    hidden_layers = settings.pop("hidden_layers")
    return network((features, *hidden_layers, classes), **settings)


def baseline_learner(section: Baseline, features: int, classes: int, rate: float | jax.Array) -> Learner:
    """Online SGD or Adam with this learning rate, which may be traced."""
    return gradient((features, *section.hidden_layers, classes), OPTIMIZERS[section.optimizer](rate))


def test_lives(section: MetaTest, sets: tuple[str, ...]) -> dict[str, tuple[jax.Array, Episode]]:
    """For each set, and for random and sum_sign: keys [life] to be born with, and episodes [life].

    They depend on the seed of `section`, the name of the set and the number of the life alone. A life is as long as
    `section` says or as the set has test examples, whichever is less.
    """

    def lives(name: str, draw):
        set_key = jax.random.fold_in(jax.random.key(section.seed), zlib.crc32(name.encode()))
        birth_key, episode_key = jax.random.split(set_key)
        numbers = jnp.arange(section.lives)
        fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
        return fold(birth_key, numbers), jax.jit(jax.vmap(draw))(fold(episode_key, numbers))

    def draw_from(name: str):
        table = artifacts.read_table(paths.data(name)).arrays
        x, y = standardise(SETS[name], table["x_test"]), table["y_test"]
        length = min(section.length, len(y))
        return lambda key: test_episode(key, x, y, SETS[name].classes, length)

    drawn = {name: lives(name, draw_from(name)) for name in sets}
    drawn["random"] = lives("random", lambda key: random_points(key, section.length, SYNTHETIC_FEATURES))
    drawn["sum_sign"] = lives("sum_sign", lambda key: sum_sign(key, section.length, SYNTHETIC_FEATURES))
    return drawn


def live(learner: Learner, theta: Theta, keys: jax.Array, episodes: Episode) -> dict[str, jax.Array]:
    """Live all episodes; the outcome of every prediction [life, time]: whether it was correct, and its loss in nats."""

    def one(key: jax.Array, episode: Episode) -> dict[str, jax.Array]:
        logits = rollout(learner, theta, key, episode)
        return {"correct": correct(logits, episode.y), "loss": cross_entropy(logits, episode.y)}

    return jax.vmap(one)(keys, episodes)
