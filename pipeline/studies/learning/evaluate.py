"""Bring your own data: `python -m pipeline evaluate --rule rule.npz --data my.npz`.

A learned rule learns from the user's examples one by one, in random orders, with online SGD and Adam beside it on the
very same episodes. Wrong input is refused in one sentence, with exit status 2, before anything runs.

Axis letters: rate (of learning; one, not a number, for the rule), life, time.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jaxtyping import Array, Bool

from pipeline.run.artifacts import Rule, read_rule
from pipeline.show.looks import LOOKS
from pipeline.show.measures import cumulative, sd
from pipeline.show.style import COLUMN, Figure, accuracy_axis, curve, direct_labels, example_axis, save
from pipeline.studies.learning.build import OPTIMIZERS
from pipeline.studies.learning.examples import Examples, read_examples
from pipeline.studies.learning.params import learner_section
from pipeline.studies.learning.tables import PAPER_RATES
from vsml.core.rollout import rollout
from vsml.core.scores import correct
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.gradient import gradient
from vsml.learners.settings import learner
from vsml.random_features import with_random_features
from vsml.tasks.episodes import test_episode

RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LONGEST = 2000  # examples of an episode unless --length says more; the paper's meta-test is as long
BYTES_PER_NUMBER = 32  # of the state of one episode: 22 measured
BUDGET = 2**30  # bytes of episodes side by side
WIDTHS = (16, 16, 25, 16, 25)  # of the columns of the table

Outcomes = dict[str, Bool[np.ndarray, "rate life time"]]


def main(args: list[str]) -> None:
    """Evaluate a rule as the command line says; print a table and draw the learning curves."""
    options = _options().parse_args(args)
    try:
        rule, examples = read_rule(options.rule), read_examples(options.data)
        length = _length(options.length, len(examples.y))
        living = _learner(rule, examples, options.random_features)
        at_once = _lives_at_once(living, rule, examples)
    except (ValueError, OSError) as error:
        _refuse(error)
    print(
        f"{options.data}: {len(examples.y)} examples, {examples.x.shape[1]} features, {examples.classes} classes.\n"
        f"{options.lives} lives of {length} examples in random order, no example twice; seed {options.seed}.\n"
        "Each feature is standardised by its mean and standard deviation over all examples, labels unseen.\n"
        + (
            f"All learners see {options.random_features} random features beside these.\n"
            * bool(options.random_features)
        )
    )
    keys = jax.random.split(jax.random.key(options.seed), options.lives)
    outcomes = {"vsml": live(living, rule.theta, examples, keys, length, at_once)[None]}
    for name in OPTIMIZERS:
        outcomes[name] = live_rates(name, examples, options.random_features, keys, length, at_once)
    print(table(outcomes, length))
    print(
        f"\nCumulative accuracy ± standard deviation over {options.lives} lives. SGD and Adam are linear and online,\n"
        f"at the paper's rate and, in brackets, at the best of {len(RATES)}, which is chosen in hindsight\n"
        "for each row and favours them."
    )
    try:
        save(draw(outcomes, length), options.out)
    except OSError as error:
        _refuse(error)
    print(f"\nLearning curves: {options.out}")


def live(
    learner: Learner, theta: Theta, examples: Examples, keys: Array, length: int, at_once: int
) -> Bool[np.ndarray, "life time"]:
    """Whether each prediction was right; each was made before its label was shown."""
    theta = jax.tree.map(jnp.asarray, theta)
    return _map(lambda key: _life(learner, theta, examples, key, length), keys, at_once)


def live_rates(
    name: str, examples: Examples, random_features: int, keys: Array, length: int, at_once: int
) -> Bool[np.ndarray, "rate life time"]:
    """The same for a linear baseline, at each of `RATES`."""

    def life(rate: Array, key: RandomKey) -> Bool[Array, " time"]:
        def linear(features: int, classes: int) -> Learner:
            return gradient((features, classes), OPTIMIZERS[name](rate))

        return _life(_sized(linear, examples, random_features), (), examples, key, length)

    rates = jnp.array(RATES)
    return _map(lambda key: jax.vmap(life, in_axes=(0, None))(rates, key), keys, at_once).swapaxes(0, 1)


def _life(learner: Learner, theta: Theta, examples: Examples, key: RandomKey, length: int) -> Bool[Array, " time"]:
    """One episode. Its order depends on `key` alone, so that all learners have the same episodes."""
    order_key, birth_key = jax.random.split(key)
    episode = test_episode(order_key, examples.x, examples.y, examples.classes, length)
    return correct(rollout(learner, theta, birth_key, episode), episode.y)


def _map(life, keys: Array, at_once: int) -> np.ndarray:
    return np.asarray(jax.jit(lambda keys: jax.lax.map(life, keys, batch_size=at_once))(keys))


def table(outcomes: Outcomes, length: int) -> str:
    """Cumulative accuracy after 10, 30, 100, … examples: mean ± standard deviation over episodes."""
    titles = ["VSML"]
    for name, rate in PAPER_RATES.items():
        titles += [f"{LOOKS[name].name} at {rate}", f"{LOOKS[name].name} at its best"]
    lines = ["examples" + "".join(f"{title:>{width}}" for title, width in zip(titles, WIDTHS, strict=True))]
    steps = (step * 10**power for power in itertools.count(1) for step in (1, 3))
    for mark in [*itertools.takewhile(lambda step: step < length, steps), length]:
        cells = [_cell(outcomes["vsml"][0], mark)]
        for name, rate in PAPER_RATES.items():
            best = _best(outcomes[name], mark)
            cells += [_cell(outcomes[name][RATES.index(rate)], mark)]
            cells += [f"{_cell(outcomes[name][best], mark)} ({RATES[best]:g})"]
        lines.append(f"{mark:8}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)))
    return "\n".join(lines)


def draw(outcomes: Outcomes, length: int) -> Figure:
    """Learning curves with ± 1 standard deviation over episodes; baselines at their best rate for the whole episode."""
    figure = Figure((COLUMN, 2.6))
    axes = figure.add_subplot()
    first, ends = (5 if length > 10 else 1), []  # a share of the first few examples is noise
    time = np.arange(first, length + 1)
    for name, found in outcomes.items():
        look, best = LOOKS[name], _best(found, length)
        accuracy = cumulative(found[best])[:, first - 1 :]
        curve(axes, time, accuracy, look.style, shade=0.16)
        shown = look if name == "vsml" else look._replace(name=f"{look.name} at {RATES[best]:g}")
        ends.append((float(accuracy[:, -1].mean()), shown))
    axes.set(xlabel="examples seen", ylabel="cumulative accuracy")
    accuracy_axis(axes, "y")
    example_axis(axes, first, length)
    direct_labels(axes, ends, gap=0.08)
    return figure


def _cell(found: Bool[np.ndarray, "life time"], mark: int) -> str:
    accuracy = found[:, :mark].mean(axis=1)
    return f"{accuracy.mean():.3f} ± {sd(accuracy):.3f}"


def _best(found: Bool[np.ndarray, "rate life time"], mark: int) -> int:
    return int(found[:, :, :mark].mean(axis=(1, 2)).argmax())


def _options() -> argparse.ArgumentParser:
    def at_least(least: int):
        def number(text: str) -> int:
            if not text.isdecimal() or int(text) < least:
                raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {least} on.")
            return int(text)

        return number

    def picture(text: str) -> Path:
        if Path(text).suffix not in (".png", ".pdf"):
            raise argparse.ArgumentTypeError(f"{text!r} must end in .png or .pdf.")
        return Path(text)

    parser = argparse.ArgumentParser(
        prog="python -m pipeline evaluate", description="Run a learned rule on your own data."
    )
    parser.add_argument("--rule", type=Path, required=True, help="a rule.npz that meta_train wrote")
    parser.add_argument("--data", type=Path, required=True, help="an npz file with x [n, …] and y [n]")
    parser.add_argument("--lives", type=at_least(1), default=16, help="random orders of the data (default: 16)")
    parser.add_argument("--length", type=at_least(2), help=f"examples of a life (default: all, at most {LONGEST})")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the orders and the newborn states (default: 0)")
    parser.add_argument(
        "--random-features",
        type=at_least(0),
        default=0,
        metavar="N",
        help="show all learners N random functions of each example beside it (default: 0)",
    )
    parser.add_argument("--out", type=picture, default=Path("evaluate.png"), help="png or pdf (default: evaluate.png)")
    return parser


def _length(length: int | None, examples: int) -> int:
    if length is None:
        return min(examples, LONGEST)
    if length > examples:
        raise ValueError(f"--length (={length}) must be at most the number of examples (={examples}): lower it.")
    return length


def _sized(sized: Callable[[int, int], Learner], examples: Examples, random_features: int) -> Learner:
    widened = with_random_features(sized, random_features) if random_features else sized
    return widened(examples.x.shape[1], examples.classes)


def _learner(rule: Rule, examples: Examples, random_features: int) -> Learner:
    """The rule's learner, sized for the data; refuse settings or a theta that this version's does not have."""
    living = _sized(partial(learner, learner_section(rule.learner)), examples, random_features)
    needed = jax.eval_shape(living.init_theta, jax.random.key(0))
    shapes = [jax.tree.map(lambda z: list(z.shape), theta) for theta in (rule.theta, needed)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"The rule has theta {shapes[0]}, this version needs {shapes[1]}: meta-train it again.")
    return living


def _lives_at_once(living: Learner, rule: Rule, examples: Examples) -> int:
    """As many episodes as the budget holds, so that memory does not grow with their number."""
    state = jax.eval_shape(living.init_state, rule.theta, jax.random.key(0))
    needed = sum(z.size for z in jax.tree.leaves(state)) * BYTES_PER_NUMBER
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"{examples.x.shape[1]} features and {examples.classes} classes need about {needed / 2**30:.1f} GiB of "
            f"memory, but only {free / 2**30:.1f} GiB are free: make the examples smaller or take fewer classes."
        )
    return max(1, BUDGET // needed)


def _refuse(error: Exception) -> NoReturn:
    if isinstance(error, OSError) and error.strerror:
        error = OSError(f"{error.filename} cannot be opened: {error.strerror}.")
    print(f"evaluate: {error}", file=sys.stderr)
    raise SystemExit(2)
