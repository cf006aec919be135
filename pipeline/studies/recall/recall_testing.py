"""Rules live streams longer than any of their meta-training and are asked about every recent snippet.

`right` counts the bits of each answer that are recalled; thorough tests add harder streams, other sizes, other
networks, the fixed rules on the same streams, what the rule does to a lone synapse, and the protocol of introspection:
what one sighting of a labelled image changes, in the very lives in which VSML is looked at.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.studies.learning.params import Introspect
from pipeline.studies.recall.params import RecallTests
from pipeline.track.tracking import Run
from vsml.core.types import Learner, Theta
from vsml.introspect.sighting import Fork, draw_fork, follow
from vsml.recall.fixed import GRID
from vsml.recall.graphs import GRAPHS, Graph
from vsml.recall.rules import Rules, neural_rules
from vsml.recall.trial import EASY, Difficulty, live, live_fixed, live_inverse, synapse_changes
from vsml.tasks.datasets import SETS, standardise

Named = tuple[str, np.ndarray, tuple[str, ...]]
ENDS = np.linspace(-1.5, 1.5, 13, dtype=np.float32)  # of a synapse, where what it learns is looked at


class Asked(NamedTuple):
    """What of the tests decides which program is compiled."""

    lives: int
    length: int
    lags: int
    seed: int

    @classmethod
    def of(cls, section: RecallTests) -> "Asked":
        return cls(section.lives, section.length, section.lags, section.seed)


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section = job.params.recall.tests
    rule = artifacts.read_rule(paths.recall_train(experiment, seed))
    found = list(_trials(section, rule.learner, rule.theta, experiment in section.thorough))
    if experiment in section.thorough:
        found += _sightings(job.params.introspect, rule.learner, rule.theta)
    arrays, axes = {name: array for name, array, _ in found}, {name: names for name, _, names in found}
    horizons = np.asarray(rule.learner["horizons"], np.int32)
    size = rule.learner["size"]
    arrays |= {"horizon": horizons, "loss": np.array([rule.learner["loss"][end] for end in ("first", "last")])}
    axes |= {"horizon": ("horizon",), "loss": ("end",)}
    numbers = {"bits": size, "settled": section.settled, "exams": section.length - section.settled}
    numbers |= {"synapses": _synapses(_graph(rule.learner["graph"], size)), "numbers": _count(rule.theta)}
    arrays |= {name: np.array(number, np.int32) for name, number in numbers.items()}
    axes |= dict.fromkeys(numbers, ())
    artifacts.write_table(paths.recall_test(experiment, seed), arrays, axes)
    settled = arrays["right"][:, :, section.settled :]
    last = {int(d): settled[i, ..., :d].mean() / size for i, d in enumerate(horizons)}
    said = ", ".join(f"{accuracy:.3f} of {horizon}" for horizon, accuracy in last.items())
    print(f"{experiment}-{seed}: recalls {said}", flush=True)


def _trials(section: RecallTests, settings: dict[str, Any], theta: Theta, thorough: bool) -> Iterator[Named]:
    size, horizons, rules = settings["size"], settings["horizons"], Rules(**settings["rules"])
    graph = _graph(settings["graph"], size)
    yield "right", _lived(section, graph, rules, theta, EASY), ("horizon", "life", "time", "lag")
    if not thorough:
        return
    noisy = [EASY._replace(noise=noise) for noise in section.noise]
    alike = [EASY._replace(correlation=correlation) for correlation in section.correlation]
    for name, levels, difficulties in (
        ("noise", section.noise, noisy),
        ("correlation", section.correlation, alike),
    ):
        lives = [_late(section, _lived(section, graph, rules, theta, one)) for one in difficulties]
        yield f"{name}/right", np.stack(lives), (name, "horizon", "life", "lag")
        yield name, np.asarray(levels, np.float32), (name,)
        fixed = [_fixed(section, size, one) for one in difficulties]
        yield f"{name}/fixed", np.stack(fixed), (name, "rule", "life", "lag")
    yield "fixed", _fixed(section, size, EASY), ("rule", "life", "lag")
    yield "pseudo_inverse", _inverse(section, size, tuple(horizons)), ("horizon", "life", "lag")
    yield "rule", np.array([name for name, _, _ in GRID]), ("rule",)
    yield "rate", np.array([rate for _, rate, _ in GRID], np.float32), ("rule",)
    yield "decay", np.array([decay for _, _, decay in GRID], np.float32), ("rule",)
    for other in section.sizes:
        lives = _lived(section, _graph(settings["graph"], other), rules, theta, EASY)
        yield f"size_{other}/right", _late(section, lives), ("horizon", "life", "lag")
        yield f"size_{other}/fixed", _fixed(section, other, EASY), ("rule", "life", "lag")
    for network in section.transfer:
        other = _graph(plain(network), size)
        if len(other.sizes) <= len(theta["embedding"][0]):  # it has an embedding for each of the types
            lives = _lived(section, other, rules, theta, EASY)
            yield f"transfer_{network.name}/right", _late(section, lives), ("horizon", "life", "lag")
    if graph.blocks == ((0, 1),):
        ends = jnp.asarray(ENDS)
        changes = jax.jit(jax.vmap(lambda theta: synapse_changes(graph, rules, theta, ends, ends)))(theta)
        for name, (held, change) in zip(("fresh", "stored"), changes, strict=True):
            yield f"{name}/held", np.asarray(held), ("horizon",)
            yield f"{name}/change", np.asarray(change), ("horizon", "pre", "post")
        yield "ends", ENDS, ("pre",)


def _sightings(section: Introspect, settings: dict[str, Any], theta: Theta) -> Iterator[Named]:
    """As the stage introspect does, with its keys: a network of the rule, as wide as images, learns to classify them.

    Told are bits, of which that of the class is 1. Of answers of which just one is 1, the odds of each bit are what
    the probabilities of the classes are proportional to, so that a bit's logit is the class's.
    """
    facts, table = SETS[section.set], artifacts.read_table(paths.test_data(section.set)).arrays
    x, y = standardise(facts, table["x"]), table["y"]
    graph = GRAPHS[settings["graph"]["name"]](
        facts.features, facts.classes, settings["graph"]["hidden"], settings["graph"]["density"]
    )
    own = neural_rules(graph, Rules(**settings["rules"]))
    learner = Learner(own.init_theta, own.init_state, lambda theta, state, x, y: own.step(theta, state, x, 2 * y - 1))

    draw_key, birth_key = jax.vmap(jax.random.fold_in, in_axes=(0, None))(
        jax.random.split(jax.random.key(section.seed)), 1
    )
    length = max(section.ages) + section.gaps + 1
    forks = jax.vmap(lambda key: draw_fork(key, x, y, facts.classes, length, section.others))(
        jax.random.split(draw_key, section.lives)
    )
    births = jax.random.split(birth_key, section.lives)

    @jax.jit
    def read(theta: Theta, births: jax.Array, forks: Fork, age: jax.Array) -> jax.Array:
        return jax.vmap(lambda key, fork: follow(learner, theta, key, fork, age, section.gaps))(births, forks)

    thetas = [jax.tree.map(lambda leaf, at=at: leaf[at], theta) for at in range(len(settings["horizons"]))]
    found = [[np.asarray(read(one, births, forks, jnp.asarray(age))) for age in section.ages] for one in thetas]
    yield "belief", np.array(found), ("horizon", "age", "life", "told", "gap", "probe", "class")
    yield "age", np.array(section.ages, np.int32), ("age",)


def _graph(settings: dict[str, Any], size: int) -> Graph:
    return GRAPHS[settings["name"]](size, size, settings["hidden"], settings["density"])


def _synapses(graph: Graph) -> int:
    """As many as there are, or may be where only a part is."""
    every = sum(graph.sizes[a] * graph.sizes[b] for a, b in graph.blocks)
    return every - sum(graph.sizes[a] for a, b in graph.blocks if a == b)


def _count(theta: Theta) -> int:
    """Numbers of the theta of one horizon."""
    return sum(leaf[0].size for leaf in jax.tree.leaves(theta))


def _lived(section: RecallTests, graph: Graph, rules: Rules, theta: Theta, difficulty: Difficulty) -> np.ndarray:
    """[horizon life time lag]"""
    return np.asarray(_lives(Asked.of(section), graph, rules)(theta, difficulty))


@cache  # what is compiled serves all difficulties
def _lives(asked: Asked, graph: Graph, rules: Rules):
    keys = jax.random.split(jax.random.key(asked.seed), asked.lives)

    def of_rule(theta: Theta, difficulty: Difficulty) -> jax.Array:
        return jax.vmap(lambda key: live(graph, rules, theta, key, asked.length, asked.lags, difficulty))(keys)

    return jax.jit(jax.vmap(of_rule, in_axes=(0, None)))


def _fixed(section: RecallTests, size: int, difficulty: Difficulty) -> np.ndarray:
    """[rule life lag], summed as `_late` does."""
    return _late(section, np.moveaxis(np.asarray(_fixed_lives(Asked.of(section), size)(difficulty)), 2, 0))


@cache
def _fixed_lives(asked: Asked, size: int):
    keys = jax.random.split(jax.random.key(asked.seed), asked.lives)
    one = partial(live_fixed, size=size, length=asked.length, lags=asked.lags)
    return jax.jit(lambda difficulty: jax.vmap(lambda key: one(key, difficulty=difficulty))(keys))


def _inverse(section: RecallTests, size: int, horizons: tuple[int, ...]) -> np.ndarray:
    """[horizon life lag], summed as `_late` does."""
    keys = jax.random.split(jax.random.key(section.seed), section.lives)
    one = partial(live_inverse, size=size, length=section.length, lags=section.lags, horizons=horizons)
    return _late(section, np.moveaxis(np.asarray(jax.jit(jax.vmap(one))(keys)), 2, 0))


def _late(section: RecallTests, right: np.ndarray) -> np.ndarray:
    """[… life time lag] -> [… life lag]: the bits recalled in all that counts of a life."""
    return right[..., section.settled :, :].sum(-2, dtype=np.int32)
