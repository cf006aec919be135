"""Looks at how a learner associates images with labels, VSML beside SGD and Adam: what vsml.introspect measures."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.artifacts import Rule
from pipeline.run.job import Job
from pipeline.studies.learning.build import baseline_learner
from pipeline.studies.learning.params import Introspect
from pipeline.track.tracking import Run
from vsml.core.types import Episode, Learner, Theta
from vsml.introspect.alignment import alignment
from vsml.introspect.association import probabilities, repeated_digits
from vsml.introspect.channels import FOLLOWED, WAYS, channels, resets
from vsml.introspect.sighting import PROBES, TOLD, Fork, draw_fork, follow
from vsml.learners.settings import learner
from vsml.tasks.datasets import SETS, Facts, standardise

PAPER_RATES = {"sgd": 0.01, "adam": 0.001}  # arXiv 2012.14905, released code
READINGS = {"": True, "next_": False}  # of the paper's protocol: what comes twice in a row is one image, or one class

Arrays = dict[str, Any]
Axes = dict[str, tuple[str, ...]]
Make = Callable[[Any], tuple[Learner, Theta]]  # of theta or of a learning rate, so that two rates are one compilation


class Images(NamedTuple):
    facts: Facts
    pixels: np.ndarray
    x: jax.Array
    y: np.ndarray


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    rule = artifacts.read_rule(paths.rule(experiment, seed))
    section = job.params.introspect
    images = _images(section.set)
    rates = {name: _best_rate(name, section.set) for name in PAPER_RATES}
    rates |= {f"{name}_paper": rate for name, rate in PAPER_RATES.items()}

    facts = images.facts
    rule_learner = learner(rule.learner, facts.features, facts.classes)
    made: dict[str, tuple[Make, Any]] = {experiment: (lambda theta: (rule_learner, theta), rule.theta)}
    baselines = {
        name: functools.partial(_baseline, job.params.baselines[name], facts.features, facts.classes)
        for name in PAPER_RATES
    }
    made |= {name: (baselines[name.removesuffix("_paper")], rate) for name, rate in rates.items()}

    arrays = {"learner": np.array(list(made)), "rate": np.array([np.nan, *rates.values()], np.float32)}
    axes: Axes = {"learner": ("learner",), "rate": ("learner",)}
    keys = jax.random.split(jax.random.key(section.seed))
    analyses = [_associations, _sightings, _alignments]
    if rule.learner["name"] == "vsml" and not rule.learner["hidden_layers"] and not rule.learner["convolutions"]:
        analyses.append(functools.partial(_channels, rule))  # of others, channels are not defined
    for analysis in analyses:
        more, their_axes = analysis(made, images, section, keys)
        arrays, axes = arrays | more, axes | their_axes
    artifacts.write_table(paths.introspect(experiment, seed), arrays, axes)


def _associations(made: dict, images: Images, section: Introspect, keys: jax.Array) -> tuple[Arrays, Axes]:
    """The protocol of figure 9, in both of its readings, and the pixels of the first lives."""
    arrays, axes = {}, {}
    draws, births = _split(keys, section.lives)

    @functools.partial(jax.jit, static_argnums=0)
    def read(make: Make, setting: Any, births: jax.Array, episodes: Episode) -> jax.Array:
        return jax.vmap(lambda key, episode: probabilities(*make(setting), key, episode))(births, episodes)

    number = jnp.arange(len(images.y), dtype=jnp.float32)[:, None]
    for prefix, identical in READINGS.items():
        draw = functools.partial(repeated_digits, y=images.y, identical=identical)
        episodes, image = jax.vmap(lambda key, draw=draw: draw(key, images.x))(draws)
        shown, _ = jax.vmap(lambda key, draw=draw: draw(key, number))(draws[: section.shown])
        arrays |= {
            f"{prefix}probability": np.stack([read(*one, births, episodes) for one in made.values()]),
            f"{prefix}label": np.asarray(episodes.y.argmax(-1), np.int32),
            f"{prefix}image": np.asarray(image, np.int32),
            f"{prefix}pixels": images.pixels[np.asarray(shown.x[..., 0], np.int32)],
        }
        axes |= {
            f"{prefix}probability": ("learner", "life", "time", "class"),
            f"{prefix}label": ("life", "time"),
            f"{prefix}image": ("life", "time"),
            f"{prefix}pixels": ("shown", "time", "height", "width", "colour"),
        }
    return arrays, axes


def _sightings(made: dict, images: Images, section: Introspect, keys: jax.Array) -> tuple[Arrays, Axes]:
    """One sighting, right or wrong, at some ages: beliefs while life goes on."""
    draws, births = _split(jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 1), section.lives)
    length, classes = max(section.ages) + section.gaps + 1, images.facts.classes
    forks = jax.vmap(lambda key: draw_fork(key, images.x, images.y, classes, length, section.others))(draws)

    @functools.partial(jax.jit, static_argnums=0)
    def read(make: Make, setting: Any, births: jax.Array, forks: Fork, age: jax.Array) -> jax.Array:
        def one(key, fork):
            one_learner, own = make(setting)
            return follow(one_learner, own, key, fork, age, section.gaps)

        return jax.vmap(one)(births, forks)

    found = [[np.asarray(read(*one, births, forks, jnp.asarray(age))) for age in section.ages] for one in made.values()]
    arrays = {
        "age": np.array(section.ages, np.int32),
        "told": np.array(TOLD),
        "probe": np.array(PROBES),
        "belief": np.array(found),
    }
    axes = {"age": ("age",), "told": ("told",), "probe": ("probe",)}
    return arrays, axes | {"belief": ("learner", "age", "life", "told", "gap", "probe", "class")}


def _alignments(made: dict, images: Images, section: Introspect, keys: jax.Array) -> tuple[Arrays, Axes]:
    """The steps of each learner against gradient steps, over a life."""
    births, episodes, probes = _lives_and_probes(images, section, keys)

    @functools.partial(jax.jit, static_argnums=0)
    def read(make: Make, setting: Any, births: jax.Array, episodes: Episode, probes: jax.Array) -> Any:
        def one(key, episode, probes):
            one_learner, own = make(setting)
            return alignment(one_learner, own, key, episode, probes, section.every)

        return jax.vmap(one)(births, episodes, probes)

    found = [read(*one, births, episodes, probes.x) for one in made.values()]
    arrays = {
        "moment": np.arange(0, section.length, section.every, dtype=np.int32),
        "cosine": np.stack([each.cosine for each in found]),
        "change": np.stack([each.change for each in found]),
    }
    axes: Axes = {"moment": ("moment",)}
    return arrays, axes | dict.fromkeys(("cosine", "change"), ("learner", "life", "moment"))


def _channels(rule: Rule, made: dict, images: Images, section: Introspect, keys: jax.Array) -> tuple[Arrays, Axes]:
    """What the states of the introspected rule, the first of `made`, store where; at the end of the same lives."""
    make, theta = next(iter(made.values()))
    hidden = rule.learner["hidden"]

    @jax.jit
    def read(theta: Theta, births: jax.Array, episodes: Episode, probes: Episode) -> Any:
        def one(key, episode, probes):
            one_learner, own = make(theta)
            return channels(one_learner, own, key, episode, probes, hidden)

        return jax.vmap(one)(births, episodes, probes)

    births, episodes, probes = _lives_and_probes(images, section, keys)
    found = read(theta, births, episodes, probes)
    arrays = {
        "reset": np.array(list(resets(hidden))),
        "way": np.array(WAYS),
        "followed": np.array(FOLLOWED),
        "intact_accuracy": np.asarray(found.intact),
        "reset_accuracy": np.asarray(found.reset),
        "follows": np.asarray(found.follows),
    }
    axes = {
        "reset": ("reset",),
        "way": ("way",),
        "followed": ("followed",),
        "intact_accuracy": ("life",),
        "reset_accuracy": ("life", "way", "reset"),
        "follows": ("life", "followed", "kind", "channel"),
    }
    return arrays, axes


def _lives_and_probes(images: Images, section: Introspect, keys: jax.Array) -> tuple[jax.Array, Episode, Episode]:
    """Newborns, lives in random order, and probes that do not occur in them."""
    draws, births = _split(jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 2), section.lives)
    needed = section.length + section.probes
    if needed > len(images.y):
        raise ValueError(
            f"introspect.length + introspect.probes (={needed}) must be at most the {len(images.y)} test examples of "
            f"{section.set}: shorten the life or take fewer probes."
        )
    order = jax.vmap(lambda key: jax.random.permutation(key, len(images.y))[:needed])(draws)
    lived, probed = order[:, : section.length], order[:, section.length :]
    y = jax.nn.one_hot(images.y, images.facts.classes)
    return births, Episode(images.x[lived], y[lived]), Episode(images.x[probed], y[probed])


def _split(keys: jax.Array, lives: int) -> tuple[jax.Array, jax.Array]:
    """Keys to draw lives with, and to be born with."""
    draw_key, birth_key = keys
    return jax.random.split(draw_key, lives), jax.random.split(birth_key, lives)


def _images(name: str) -> Images:
    facts, table = SETS[name], artifacts.read_table(paths.test_data(name)).arrays
    if facts.shape is None:
        raise ValueError(f"introspect.set (={name!r}) must be of images, since the report shows them: name another.")
    top = table["x"].max()
    pixels = np.round(table["x"] * (255 / top)).astype(np.uint8).reshape(-1, *facts.shape)
    return Images(facts, pixels, standardise(facts, table["x"]), table["y"])


def _baseline(section: Any, features: int, classes: int, rate: Any) -> tuple[Learner, Theta]:
    return baseline_learner(section, features, classes, rate), ()


def _best_rate(baseline: str, task: str) -> float:
    """The learning rate with the best accuracy over whole lives, chosen in hindsight."""
    table = artifacts.read_table(paths.baseline(baseline)).arrays
    return float(table["rate"][table[f"{task}/correct"].mean((1, 2)).argmax()])
