"""Tests rules in streams longer than any of their meta-training, by queries about every recent snippet.

`right` counts the bits of each answer that are recalled; thorough tests add harder streams, other sizes, other
networks, the fixed rules on the same streams, what the rule does to a lone synapse, and the protocol of introspection:
what one exposure of a labelled image changes, in the very episodes in which VSML is looked at.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.artifacts import Rule
from pipeline.run.compiling import quickly
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.studies.learning.params import Introspect
from pipeline.studies.recall.params import RecallTests
from pipeline.track.tracking import Run
from vsml.core.types import Learner, RandomKey, Theta
from vsml.introspect.exposure import Fork, draw_fork, follow
from vsml.recall.fixed import GRID
from vsml.recall.graphs import GRAPHS, Graph
from vsml.recall.rules import Rules, neural_rules
from vsml.recall.trial import EASY, Difficulty, run_fixed_rules, run_pseudo_inverse, run_rule, synapse_changes
from vsml.tasks.datasets import SETS, standardise

Named = tuple[str, np.ndarray, tuple[str, ...]]  # an array and its axes
ENDS = np.linspace(-1.5, 1.5, 13, dtype=np.float32)  # of a synapse, where what it learns is looked at


def main(job: Job, run: Run) -> None:
    experiment, seed = job.item
    section = job.params.recall.tests
    rule = artifacts.read_rule(paths.recall_train(experiment, seed))
    size, horizons = rule.learner["size"], rule.learner["horizons"]
    graph = _graph(rule.learner["graph"], size, size)
    numbers = {
        "bits": size,
        "settled": section.settled,
        "moments": section.length - section.settled,
        # As many as there are, or may be where only a part is; no neuron hears itself.
        "synapses": sum(graph.sizes[a] * (graph.sizes[b] - (a == b)) for a, b in graph.blocks),
        "numbers": sum(leaf[0].size for leaf in jax.tree.leaves(rule.theta)),  # learned for one horizon
    }
    found: list[Named] = [(name, np.array(number, np.int32), ()) for name, number in numbers.items()]
    found.append(("horizon", np.array(horizons, np.int32), ("horizon",)))
    found.append(("loss", np.array([rule.learner["loss"][end] for end in ("first", "last")]), ("end",)))
    found += _recall(section, graph, rule, experiment in section.thorough)
    if experiment in section.thorough:
        found += _exposures(job.params.introspect, rule)
    arrays, axes = {name: array for name, array, _ in found}, {name: names for name, _, names in found}
    artifacts.write_table(paths.recall_test(experiment, seed), arrays, axes)
    settled = arrays["right"][:, :, section.settled :]
    said = ", ".join(f"{settled[i, ..., :d].mean() / size:.3f} of {d}" for i, d in enumerate(horizons))
    print(f"{experiment}-{seed}: recalls {said}", flush=True)


def _recall(section: RecallTests, graph: Graph, rule: Rule, thorough: bool) -> Iterator[Named]:
    """Bits recalled right; but for the array `right`, they are summed over what counts of each episode."""
    settings, theta = rule.learner, rule.theta
    size, rules = settings["size"], Rules(**settings["rules"])
    keys = jax.random.split(jax.random.key(section.seed), section.episodes)  # the same streams for all

    @partial(quickly, static_argnums=0)
    def of_rule(graph: Graph, theta: Theta, difficulty: Difficulty) -> jax.Array:
        """[horizon episode time lag]"""

        def one(theta: Theta, key: RandomKey) -> jax.Array:
            return run_rule(graph, rules, theta, key, section.length, section.lags, difficulty)

        return jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))(theta, keys)

    @partial(quickly, static_argnums=0)
    def of_fixed(size: int, difficulty: Difficulty) -> jax.Array:
        """[rule episode time lag]"""
        found = jax.vmap(lambda key: run_fixed_rules(key, size, section.length, section.lags, difficulty))(keys)
        return jnp.moveaxis(found, 2, 0)

    def late(right: jax.Array) -> np.ndarray:
        return np.asarray(right)[..., section.settled :, :].sum(-2, dtype=np.int32)

    axes, fixed_axes = ("horizon", "episode", "lag"), ("rule", "episode", "lag")
    yield "right", np.asarray(of_rule(graph, theta, EASY)), ("horizon", "episode", "time", "lag")
    if not thorough:
        return
    for kind in ("noise", "correlation"):
        levels = getattr(section, kind)
        harder = [EASY._replace(**{kind: level}) for level in levels]
        yield kind, np.array(levels, np.float32), (kind,)
        yield f"{kind}/right", np.stack([late(of_rule(graph, theta, one)) for one in harder]), (kind, *axes)
        yield f"{kind}/fixed", np.stack([late(of_fixed(size, one)) for one in harder]), (kind, *fixed_axes)
    yield "fixed", late(of_fixed(size, EASY)), fixed_axes
    horizons = tuple(settings["horizons"])
    inverse = jax.vmap(lambda key: run_pseudo_inverse(key, size, section.length, section.lags, horizons))
    yield "pseudo_inverse", late(jnp.moveaxis(quickly(inverse)(keys), 2, 0)), axes
    yield "rule", np.array([name for name, _, _ in GRID]), ("rule",)
    yield "rate", np.array([rate for _, rate, _ in GRID], np.float32), ("rule",)
    yield "decay", np.array([decay for _, _, decay in GRID], np.float32), ("rule",)
    for other in section.sizes:
        yield f"size_{other}/right", late(of_rule(_graph(settings["graph"], other, other), theta, EASY)), axes
        yield f"size_{other}/fixed", late(of_fixed(other, EASY)), fixed_axes
    for network in section.transfer:
        other = _graph(plain(network), size, size)
        if len(other.sizes) <= len(theta["embedding"][0]):  # it has an embedding for each of the types
            yield f"transfer_{network.name}/right", late(of_rule(other, theta, EASY)), axes
    if graph.blocks == ((0, 1),):
        ends = jnp.asarray(ENDS)
        changes = quickly(jax.vmap(lambda theta: synapse_changes(graph, rules, theta, ends, ends)))(theta)
        for name, (held, change) in zip(("fresh", "stored"), changes, strict=True):
            yield f"{name}/held", np.asarray(held), ("horizon",)
            yield f"{name}/change", np.asarray(change), ("horizon", "pre", "post")
        yield "ends", ENDS, ("pre",)


def _exposures(section: Introspect, rule: Rule) -> Iterator[Named]:
    """As the stage introspect does, with its keys: a network of the rule, as wide as images, learns to classify them.

    Shown are bits, of which that of the class is 1. Of answers of which just one is 1, the odds of each bit are what
    the probabilities of the classes are proportional to, so that a bit's logit is the class's.
    """
    facts, table = SETS[section.set], artifacts.read_table(paths.test_data(section.set)).arrays
    x, y = standardise(facts, table["x"]), table["y"]
    graph = _graph(rule.learner["graph"], facts.features, facts.classes)
    own = neural_rules(graph, Rules(**rule.learner["rules"]))
    learner = Learner(own.init_theta, own.init_state, lambda theta, state, x, y: own.step(theta, state, x, 2 * y - 1))

    keys = jax.random.split(jax.random.key(section.seed))
    draw_key, start_key = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 1)
    length = max(section.ages) + section.gaps + 1
    draw = partial(draw_fork, x=x, y=y, classes=facts.classes, length=length, others=section.others)
    forks = jax.vmap(draw)(jax.random.split(draw_key, section.episodes))
    starts = jax.random.split(start_key, section.episodes)

    @quickly
    def read(theta: Theta, starts: jax.Array, forks: Fork, age: jax.Array) -> jax.Array:
        return jax.vmap(lambda key, fork: follow(learner, theta, key, fork, age, section.gaps))(starts, forks)

    thetas = [jax.tree.map(lambda leaf, at=at: leaf[at], rule.theta) for at in range(len(rule.learner["horizons"]))]
    found = [[np.asarray(read(one, starts, forks, jnp.asarray(age))) for age in section.ages] for one in thetas]
    yield "query_probability", np.array(found), ("horizon", "age", "episode", "label_shown", "gap", "query", "class")
    yield "age", np.array(section.ages, np.int32), ("age",)


def _graph(settings: dict[str, Any], cues: int, answers: int) -> Graph:
    return GRAPHS[settings["name"]](cues, answers, settings["hidden"], settings["density"])
