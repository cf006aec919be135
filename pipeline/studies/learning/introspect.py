"""Looks at how a learner associates images with labels, VSML beside SGD and Adam: what vsml.introspect measures."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.compiling import quickly
from pipeline.run.job import Job
from pipeline.studies.learning.build import baseline_learner
from pipeline.studies.learning.params import PAPER_RATES
from pipeline.track.tracking import Run
from vsml.core.types import Episode, Learner, Theta
from vsml.introspect.alignment import alignment
from vsml.introspect.association import probabilities, repeated_digits
from vsml.introspect.channels import FOLLOWED, WAYS, channels, resets
from vsml.introspect.exposure import LABEL_SHOWN, QUERIES, draw_fork, follow
from vsml.learners.settings import learner
from vsml.tasks.datasets import SETS, Facts, standardise

READINGS = {"": True, "next_": False}  # of the paper's protocol: what comes twice in a row is one image, or one class
AXES = {
    **{name: name for name in ("learner", "age", "label_shown", "query", "moment", "reset", "way", "followed")},
    "rate": "learner",
    "probability": "learner episode time class",
    "label": "episode time",
    "image": "episode time",
    "pixels": "shown time height width colour",
    "query_probability": "learner age episode label_shown gap query class",
    "cosine": "learner episode moment",
    "change": "learner episode moment",
    "intact_accuracy": "episode",
    "reset_accuracy": "episode way reset",
    "follows": "episode followed kind channel",
}

Make = Callable[[Any], tuple[Learner, Theta]]  # of theta or of a learning rate, so that two rates are one compilation


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    rule = artifacts.read_rule(paths.rule(experiment, seed))
    section = job.params.introspect
    facts, table = SETS[section.set], artifacts.read_table(paths.test_data(section.set)).arrays
    if facts.shape is None:
        raise ValueError(
            f"introspect.set (={section.set!r}) must be of images, since the report shows them: name another."
        )
    pixels = np.round(table["x"] * (255 / table["x"].max())).astype(np.uint8).reshape(-1, *facts.shape)
    x, y = standardise(facts, table["x"]), table["y"]

    sized = learner(rule.learner, facts.features, facts.classes)
    made: dict[str, tuple[Make, Any]] = {experiment: (lambda theta: (sized, theta), rule.theta)}
    rates, makes = {}, {}
    for name in PAPER_RATES:
        makes[name] = functools.partial(_baseline, job.params.baselines[name], facts)
        grid = artifacts.read_table(paths.baseline(name)).arrays
        best = grid[f"{section.set}/correct"].mean((1, 2)).argmax()  # over whole episodes, in hindsight
        rates[name] = float(grid["rate"][best])
    rates |= {f"{name}_paper": rate for name, rate in PAPER_RATES.items()}
    made |= {name: (makes[name.removesuffix("_paper")], rate) for name, rate in rates.items()}
    found = {"learner": np.array(list(made)), "rate": np.array([np.nan, *rates.values()], np.float32)}

    def keys(analysis: int) -> tuple[jax.Array, jax.Array]:
        """Keys to draw the episodes of an analysis with, and for initial states."""
        both = jax.random.split(jax.random.key(section.seed))
        if analysis:
            both = jax.vmap(jax.random.fold_in, in_axes=(0, None))(both, analysis)
        draw_key, init_key = both
        return jax.random.split(draw_key, section.episodes), jax.random.split(init_key, section.episodes)

    # The protocol of figure 9, in both of its readings, and the pixels of the first episodes.
    draws, starts = keys(0)
    number = jnp.arange(len(y), dtype=jnp.float32)[:, None]
    for prefix, identical in READINGS.items():
        draw = functools.partial(repeated_digits, y=y, identical=identical)
        episodes, image = jax.vmap(lambda key, draw=draw: draw(key, x))(draws)
        shown, _ = jax.vmap(lambda key, draw=draw: draw(key, number))(draws[: section.shown])
        each = [_measured(probabilities, *one, starts, (episodes,)) for one in made.values()]
        found |= {
            f"{prefix}probability": np.stack(each),
            f"{prefix}label": np.asarray(episodes.y.argmax(-1), np.int32),
            f"{prefix}image": np.asarray(image, np.int32),
            f"{prefix}pixels": pixels[np.asarray(shown.x[..., 0], np.int32)],
        }

    # One exposure, with the right or a wrong label, at some ages: probabilities while the episode goes on.
    draws, starts = keys(1)
    length = max(section.ages) + section.gaps + 1
    forks = jax.vmap(lambda key: draw_fork(key, x, y, facts.classes, length, section.others))(draws)
    measure = functools.partial(follow, gaps=section.gaps)
    found |= {"age": np.array(section.ages, np.int32), "label_shown": np.array(LABEL_SHOWN), "query": np.array(QUERIES)}
    ages = [jnp.asarray(age) for age in section.ages]
    each = [[np.asarray(_measured(measure, *one, starts, (forks,), age)) for age in ages] for one in made.values()]
    found["query_probability"] = np.array(each)

    # The steps of each learner against gradient steps, over an episode of images that are not among the queries.
    draws, starts = keys(2)
    needed = section.length + section.queries
    if needed > len(y):
        raise ValueError(
            f"introspect.length + introspect.queries (={needed}) must be at most the {len(y)} test examples of "
            f"{section.set}: shorten the episode or take fewer queries."
        )
    order = jax.vmap(lambda key: jax.random.permutation(key, len(y))[:needed])(draws)
    one_hot = jax.nn.one_hot(y, facts.classes)
    episodes, queries = (Episode(x[part], one_hot[part]) for part in jnp.split(order, [section.length], axis=1))
    measure = functools.partial(alignment, every=section.every)
    each = [_measured(measure, *one, starts, (episodes, queries.x)) for one in made.values()]
    found["moment"] = np.arange(0, section.length, section.every, dtype=np.int32)
    found |= {what: np.stack([getattr(one, what) for one in each]) for what in ("cosine", "change")}

    # What the states of the rule store where, at the end of the same episodes. Channels of others are not defined.
    if rule.learner["name"] == "vsml" and not rule.learner["hidden_layers"] and not rule.learner["convolutions"]:
        hidden = rule.learner["hidden"]
        measure = functools.partial(channels, hidden=hidden)
        of_rule = _measured(measure, *made[experiment], starts, (episodes, queries))
        found |= {"reset": np.array(list(resets(hidden))), "way": np.array(WAYS), "followed": np.array(FOLLOWED)}
        found |= {"intact_accuracy": of_rule.intact, "reset_accuracy": of_rule.reset, "follows": of_rule.follows}
    axes = {name: AXES[name.removeprefix("next_")].split() for name in found}
    artifacts.write_table(paths.introspect(experiment, seed), found, axes)


@functools.partial(quickly, static_argnums=(0, 1))
def _measured(measure: Callable, make: Make, setting: Any, starts: jax.Array, arguments: tuple, *shared: Any) -> Any:
    """What `measure` finds in each episode, whose own arguments are `arguments` and which have the rest in common."""
    own, theta = make(setting)
    return jax.vmap(lambda key, episode: measure(own, theta, key, *episode, *shared))(starts, arguments)


def _baseline(section: Any, facts: Facts, rate: Any) -> tuple[Learner, Theta]:
    return baseline_learner(section, facts.features, facts.classes, 0, rate), ()  # SGD and Adam have no length
