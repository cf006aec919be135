"""`python -m pipeline evaluate --rule NAME --data FILE` runs a learned rule on your own data.

It learns from the examples one by one, in random orders. On the very same episodes go the other rules that ship, online
SGD and Adam, simple learners such as the nearest class mean, and who says the class that was the commonest so far.
NAME is a rule that ships (digits, mnist) or a rule.npz. Data are an npz file of a pair x and y (or X and y, data and
target), an npy file with its labels in another (--labels), a table (csv, parquet) with a column of labels, or a set of
scikit-learn (sklearn:wine).

Axis letters: rate (of learning; one, not a number, where there is none), episode (an episode), time.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jaxtyping import Array, Bool, Float
from tqdm import tqdm

from pipeline.__main__ import XLA_FLAGS
from pipeline.run import npz
from pipeline.run.artifacts import read_rule, write_json
from pipeline.run.plan import settings
from pipeline.show.intervals import LEVEL, Interval, interval
from pipeline.show.looks import GREY, LOOKS, Look, growing
from pipeline.show.measures import sd, summary
from pipeline.show.style import COLUMN, Figure, learning_curves, save
from pipeline.studies.learning.build import OPTIMIZERS, SIMPLE
from pipeline.studies.learning.examples import Examples, read_examples
from pipeline.studies.learning.params import PAPER_RATES, learner_section
from vsml import zoo
from vsml.core.rollout import rollout
from vsml.core.scores import correct
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.gradient import gradient
from vsml.learners.settings import learner
from vsml.random_features import with_random_features
from vsml.tasks.episodes import test_episode
from vsml.zoo.siblings import Sized

RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
HIDDEN = 160  # units of the paper's networks with a hidden layer
LONGEST = 2000  # examples of an episode unless --length says more; the paper's meta-test is as long
BYTES_PER_NUMBER = 32  # of the state of one episode: 22 measured
BUDGET = 2**30  # bytes of episodes side by side
NAMED, LETTERS = 10, 36  # classes that are printed, and letters of a file's name that are drawn
AT_ONCE = 4  # episodes side by side at most: more are no faster on a CPU, and progress is shown after each few
NOT_CLASSIFIERS = ("recall", "local_plasticity", "descent", "clone")


class Entrant(NamedTuple):
    """Who goes through the episodes: a learner for each of its learning rates or strengths."""

    look: Look
    at: Callable[[Float[Array, ""], int], Sized]  # of a rate, for episodes of so many examples
    rates: tuple[float, ...] = (math.nan,)
    theta: Theta = ()


class Row(NamedTuple):
    """An entrant at one of its rates, or at the best for each number of examples; its look if its curve is drawn."""

    name: str
    found: Bool[np.ndarray, "rate episode time"]
    rates: tuple[float, ...] = (math.nan,)
    look: Look | None = None

    def best(self, mark: int) -> int:
        """Which rate is the best after so many examples."""
        return int(self.found[:, :, :mark].mean(axis=(1, 2)).argmax())

    def accuracy(self, mark: int) -> Float[np.ndarray, " episode"]:
        """After so many examples."""
        return self.found[self.best(mark), :, :mark].mean(axis=1)

    def entry(self, mark: int) -> dict[str, Any]:
        """What the JSON has after so many examples."""
        rate = {"rate": self.rates[self.best(mark)]} if np.isfinite(self.rates).all() else {}
        return summary(self.accuracy(mark)[None]) | rate

    def ahead(self, other: "Row", mark: int) -> Interval:
        """By how much it is ahead of another after so many examples, in the same episodes."""
        return interval((self.accuracy(mark) - other.accuracy(mark))[None])


class Trial(NamedTuple):
    """The episodes that all go through: an order of the examples depends on its key alone."""

    examples: Examples
    random_features: int  # beside those of each example
    keys: Array
    length: int

    def learner(self, entrant: Entrant, rate: Float[Array, ""]) -> Learner:
        sized = entrant.at(rate, self.length)
        widened = with_random_features(sized, self.random_features) if self.random_features else sized
        return widened(self.examples.x.shape[1], len(self.examples.names))

    def bytes(self, entrant: Entrant) -> int:
        """What the states of an episode take, at all rates."""
        learner = self.learner(entrant, jnp.array(entrant.rates[0]))
        state = jax.eval_shape(learner.init_state, entrant.theta, jax.random.key(0))
        return sum(z.size for z in jax.tree.leaves(state)) * BYTES_PER_NUMBER * len(entrant.rates)

    def run(
        self, entrant: Entrant, at_once: int, done: Callable[[int], Any] = lambda episodes: None
    ) -> Bool[np.ndarray, "rate episode time"]:
        """Whether each prediction was right, each made before its label was shown, at each of the rates.

        Each time that `at_once` more episodes are over, `done` is told how many.
        """

        def one(rate: Float[Array, ""], key: RandomKey) -> Bool[Array, " time"]:
            order_key, init_key = jax.random.split(key)
            x, y, names = self.examples
            episode = test_episode(order_key, x, y, len(names), self.length)
            return correct(rollout(self.learner(entrant, rate), entrant.theta, init_key, episode), episode.y)

        some = jax.jit(jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None)))
        found = []
        for first in range(0, len(self.keys), at_once):
            left = min(at_once, len(self.keys) - first)
            these = jnp.arange(first, first + at_once) % len(self.keys)  # batches have one size, and compile once
            found.append(np.asarray(some(jnp.array(entrant.rates), self.keys[these]))[:, :left])
            done(left)
        return np.concatenate(found, axis=1)


def commonest(features: int, classes: int) -> Learner:
    """Guesses the class that was shown most often so far; the state counts."""
    return Learner(
        init_theta=lambda key: (),
        init_state=lambda theta, key: jnp.zeros(classes),
        step=lambda theta, state, x, y: (state + y, state),
    )


def _baseline(key: str, rate: Float[Array, ""], length: int) -> Sized:
    """A learner of `vsml.learners.rivals`, or SGD or Adam, with a hidden layer or without."""
    if key in SIMPLE:
        return lambda features, classes: SIMPLE[key](features, classes, length, rate)
    name = key.removesuffix("_hidden")
    hidden = (HIDDEN,) if name != key else ()
    return lambda features, classes: gradient((features, *hidden, classes), OPTIMIZERS[name](rate))


GUESSING = Look("guessing", "guessing", GREY, ":")
GRIDS = {  # rates of gradient descent, and strengths of what else has any; installed alone, there is no params.yaml
    **dict.fromkeys(("sgd", "adam"), RATES),
    **{f"{name}_hidden": (rate,) for name, rate in PAPER_RATES.items()},
    "nearest_mean": (math.nan,),
    "ridge": (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0),
    "naive_bayes": (0.001, 0.01, 0.1, 1.0, 10.0),
    "nearest_neighbour": (math.nan,),
}
RIVALS = (  # all that rules are compared with
    Entrant(GUESSING, lambda rate, length: commonest),
    *(Entrant(LOOKS[key], partial(_baseline, key), grid) for key, grid in GRIDS.items()),
)


def main(
    rule: str,
    data: str,
    labels: str | None,
    episodes: int,
    length: int | None,
    seed: int,
    random_features: int,
    out: Path,
) -> None:
    """Print a table, draw the learning curves, and write the numbers beside them as JSON.

    Raises:
      OSError: a file cannot be read or written.
      ValueError: what is wrong with the rule or the data.
    """
    rules = _rules(rule)
    own, examples = rules[0], read_examples(data, labels)
    (total, features), classes = examples.x.shape, len(examples.names)
    if length and length > total:
        raise ValueError(f"--length (={length}) must be at most the number of examples (={total}): lower it.")
    length = length or min(total, LONGEST)
    trial = Trial(examples, random_features, jax.random.split(jax.random.key(seed), episodes), length)
    needed = jax.eval_shape(trial.learner(own, jnp.array(jnp.nan)).init_theta, jax.random.key(0))
    theirs, ours = (jax.tree.map(lambda z: list(z.shape), theta) for theta in (own.theta, needed))
    if theirs != ours:
        raise ValueError(f"The rule has theta {theirs}, this version needs {ours}: meta-train it again.")
    free = psutil.virtual_memory().available
    if (size := trial.bytes(own)) > free:
        needs = f"{features} features and {classes} classes need about {size / 2**30:.1f} GiB of memory"
        raise ValueError(f"{needs}, {free / 2**30:.1f} are free: make the examples smaller or take fewer classes.")
    named = ", ".join(examples.names[:NAMED]) + (f" and {classes - NAMED} more" if classes > NAMED else "")
    print(
        f"{data}: {total} examples, {features} features, {classes} classes: {named}.\n"
        f"{episodes} episodes of {length} examples in random order, no example twice; seed {seed}.\n"
        "Each feature is standardised by its mean and standard deviation over all examples, labels unseen."
    )
    if random_features:
        print(f"All learners see {random_features} random features beside these.")
    usual = settings({"XLA_FLAGS": " ".join(map("=".join, XLA_FLAGS.items()))})
    if own_settings := " ".join(f"{name}={value}" for name, value in settings().items() - usual.items()):
        print(f"Set in this environment, which may change numbers: {own_settings}.")
    rows: list[Row] = []
    with tqdm(total=(len(rules) + len(RIVALS)) * episodes, unit=" episodes", disable=None, leave=False) as progress:
        for entrant in (*rules, *RIVALS):
            progress.set_description(entrant.look.name)
            if (size := trial.bytes(entrant)) > free:
                progress.write(f"{entrant.look.name} is left out: it needs {size / 2**30:.1f} GiB of memory.")
                continue
            # As many episodes side by side as the budget holds, so that memory does not grow with their number.
            at_once = max(1, min(AT_ONCE, BUDGET // size, episodes))
            rows += rows_of(entrant, trial.run(entrant, at_once, progress.update))
    print(
        f"\n{table(rows, length)}\n\n"
        f"Cumulative accuracy: mean ± standard deviation over {episodes} episodes. Guessing says the class that was\n"
        "the commonest so far. SGD and Adam are online, at the paper's rate; linear ones also at the best of "
        f"{len(RATES)}. That\nand the strength of ridge and naive Bayes are chosen in hindsight for each column, which "
        f"favours them.\n{growing(GRIDS)}\n\n"
        f"{advice(rows, length)}"
    )
    save(draw(rows, length, Path(data).name), out)
    facts = {"data": data, "rule": rule, "examples": total, "features": features, "classes": classes, "seed": seed}
    facts |= {"class_names": examples.names, "episodes": episodes, "length": length, "random_features": random_features}
    facts["accuracy"] = {row.name: {str(mark): row.entry(mark) for mark in marks(length)} for row in rows}
    if episodes > 1:
        facts["ahead"] = {row.name: rows[0].ahead(row, length)._asdict() for row in rows[1:]}
    write_json(out.with_suffix(".json"), facts)
    print(f"\nLearning curves: {out}. All numbers: {out.with_suffix('.json')}.")


def _rules(rule: str) -> list[Entrant]:
    """The rule, then the others that ship and classify."""
    files = {name: Path(str(resources.files(zoo) / f"{name}.npz")) for name in zoo.names()}
    path = files.get(rule, Path(rule))
    if not path.exists():
        own = [name for name in files if zoo.load(name).settings["name"] not in NOT_CLASSIFIERS]
        raise ValueError(f"{rule!r} is neither a file nor one of the rules that ship and classify, {own}: name one.")
    npz.read(path)  # for what it refuses
    others = {name: file for name, file in files.items() if file.read_bytes() != path.read_bytes()}
    found = []
    for name, file in {rule if rule in files else path.name: path, **others}.items():
        stored = read_rule(file)
        if (kind := stored.learner.get("name")) not in NOT_CLASSIFIERS:
            section, theta = learner_section(stored.learner), jax.tree.map(jnp.asarray, stored.theta)
            look = Look(name, f"rule {name}") if found else LOOKS["vsml"]._replace(name=f"rule {name}")
            found.append(Entrant(look, lambda rate, length, own=section: partial(learner, own), theta=theta))
        elif not found:
            raise ValueError(f"The rule is of the kind {kind!r}: use one that classifies, like digits.")
    return found


def rows_of(entrant: Entrant, found: Bool[np.ndarray, "rate episode time"]) -> list[Row]:
    """The rows of the table: with several rates, at the paper's, and at the best."""
    look, rates = entrant.look, entrant.rates
    if len(rates) == 1:
        return [Row(look.name, found, rates, look if look.colour else None)]
    usual = [rate for key, rate in PAPER_RATES.items() if key == look.key]
    at_usual = [Row(f"{look.name} at {rate:g}", found[[rates.index(rate)]], (rate,)) for rate in usual]
    return [*at_usual, Row(f"{look.name} at its best {look.dial}", found, rates, look)]


def marks(length: int) -> list[int]:
    """The numbers of examples that are reported: 10, 30, 100, … and all."""
    steps = (step * 10**power for power in itertools.count(1) for step in (1, 3))
    return [*itertools.takewhile(lambda step: step < length, steps), length]


def table(rows: list[Row], length: int) -> str:
    """Cumulative accuracy after 10, 30, 100, … examples: mean ± standard deviation over episodes."""
    cells = [["examples", *map(str, marks(length))]]
    for row in rows:
        found = [row.accuracy(mark) for mark in marks(length)]
        cells.append([row.name, *(f"{one.mean():.3f} ± {sd(one):.3f}" for one in found)])
        if len(row.rates) > 1:
            cells.append(["", *(f"at {row.rates[row.best(mark)]:g}" for mark in marks(length))])
    wide = max(len(line[0]) for line in cells)
    return "\n".join(f"{line[0]:<{wide}}" + "".join(f"{cell:>15}" for cell in line[1:]) for line in cells)


def advice(rows: list[Row], length: int) -> str:
    """By how much the first row, the rule, is ahead of each other at the end, and what to do about it."""
    given, *others = rows
    if given.found.shape[1] == 1:
        return "One episode does not tell skill from luck: --episodes 16 does."
    found = {row.name: given.ahead(row, length) for row in others}
    wide = max(map(len, found))
    lines = [f"After {length} examples, the {given.name} is ahead by (mean and {LEVEL:.0%} interval)"]
    lines += [f"  {name:<{wide}}  {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for name, one in found.items()]
    behind = [name for name, one in found.items() if one.high < 0]
    level = [name for name, one in found.items() if one.low <= 0 <= one.high]
    if GUESSING.name in (*behind, *level):
        lines.append("It has learned nothing that is of use: so much does guessing get right.")
    for names, words in ((level, "no better than"), (behind, "worse than")):
        lines += [f"It is {words} {', '.join(names)}."] if names else []
    best = sorted(behind, key=lambda name: found[name].mean)
    rules = [name for name in best if name.startswith("rule ")]
    lines += [f"Of the rules that ship, this one suits these data better: --{rules[0]}."] if rules else []
    lines += [f"Best of all is {best[0]}, {-found[best[0]].mean:.3f} ahead of it."] if best else []
    return "\n".join(lines if behind or level else [*lines, "It is ahead of all of them."])


def draw(rows: list[Row], length: int, data: str) -> Figure:
    """Learning curves with ± 1 standard deviation over episodes; baselines at their best rate for the whole episode."""
    figure = Figure((COLUMN, 2.8))
    axes = figure.add_subplot(xlabel="examples seen", ylabel="cumulative accuracy")
    # Above the names of the learners, which may reach higher than the axes.
    title = f"mean over n = {rows[0].found.shape[1]} episodes; shaded: ± 1 sd of the rule"
    name = data if len(data) <= LETTERS else f"{data[:LETTERS]}…"
    figure.suptitle(f"{name}\n{title}", x=0.01, ha="left", fontweight="normal", fontsize=6.5, parse_math=False)
    curves = []
    for row in rows:
        if look := row.look:
            best = row.best(length)
            name = look.name if len(row.rates) == 1 else f"{look.name} at {row.rates[best]:g}"
            curves.append((look._replace(name=name), row.found[best], 0.16 if row is rows[0] else 0.0))
    learning_curves(axes, curves, 5 if length > 10 else 1, 0.08)  # a share of the first few examples is noise
    return figure
