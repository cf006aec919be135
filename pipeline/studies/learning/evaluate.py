"""Bring your own data: `python -m pipeline evaluate --rule rule.npz --data my.npz`.

A learned rule learns from the user's examples one by one, in random orders, with online SGD and Adam beside it on the
very same episodes. Wrong input is refused in one sentence, with exit status 2, before anything runs.

Axis letters: rate (of learning; one, not a number, for the rule), episode (an episode), time.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jaxtyping import Array, Bool, Float, Int

from pipeline.__main__ import XLA_FLAGS
from pipeline.run import npz
from pipeline.run.artifacts import read_rule
from pipeline.run.plan import settings
from pipeline.show.looks import LOOKS
from pipeline.show.measures import cumulative, sd
from pipeline.show.style import COLUMN, Figure, accuracy_axis, curve, direct_labels, example_axis, save
from pipeline.studies.learning.build import OPTIMIZERS
from pipeline.studies.learning.params import PAPER_RATES, learner_section
from vsml.core.rollout import rollout
from vsml.core.scores import correct
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.gradient import gradient
from vsml.learners.settings import learner
from vsml.random_features import with_random_features
from vsml.tasks.datasets import Facts, standardise
from vsml.tasks.episodes import test_episode

RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LONGEST = 2000  # examples of an episode unless --length says more; the paper's meta-test is as long
BYTES_PER_NUMBER = 32  # of the state of one episode: 22 measured
BUDGET = 2**30  # bytes of episodes side by side
WIDTHS = (8, 16, 16, 25, 16, 25)  # of the columns of the table

Sized = Callable[[int, int], Learner]  # (features, classes) -> the learner
Outcomes = dict[str, Bool[np.ndarray, "rate episode time"]]


class Examples(NamedTuple):
    """Labelled examples; labels are numbered in their sorted order."""

    x: Float[Array, "example features"]  # each feature at zero mean and unit variance
    y: Int[np.ndarray, " example"]
    classes: int


def main(args: list[str]) -> None:
    """Evaluate a rule as the command line says; print a table and draw the learning curves."""
    options = _options(args)
    try:
        if options.rule.exists():
            npz.read(options.rule)  # for what it refuses
        rule, examples = read_rule(options.rule), read_examples(options.data)
        (total, features), classes = examples.x.shape, examples.classes
        if options.length and options.length > total:
            raise ValueError(
                f"--length (={options.length}) must be at most the number of examples (={total}): lower it."
            )
        if rule.learner.get("name") in ("recall", "local_plasticity", "descent", "clone"):
            raise ValueError(f"The rule is of the kind {rule.learner['name']!r}: use one that classifies, like digits.")
        own = _sized(partial(learner, learner_section(rule.learner)), examples, options.random_features)
        needed = jax.eval_shape(own.init_theta, jax.random.key(0))
        theirs, ours = (jax.tree.map(lambda z: list(z.shape), theta) for theta in (rule.theta, needed))
        if theirs != ours:
            raise ValueError(f"The rule has theta {theirs}, this version needs {ours}: meta-train it again.")
        state = jax.eval_shape(own.init_state, rule.theta, jax.random.key(0))
        size, free = sum(z.size for z in jax.tree.leaves(state)) * BYTES_PER_NUMBER, psutil.virtual_memory().available
        if size > free:
            raise ValueError(
                f"{features} features and {classes} classes need about {size / 2**30:.1f} GiB of memory, "
                f"but only {free / 2**30:.1f} GiB are free: make the examples smaller or take fewer classes."
            )
    except (ValueError, OSError) as error:
        _refuse(error)
    length = options.length or min(total, LONGEST)
    print(
        f"{options.data}: {total} examples, {features} features, {classes} classes.\n"
        f"{options.episodes} episodes of {length} examples in random order, no example twice; seed {options.seed}.\n"
        "Each feature is standardised by its mean and standard deviation over all examples, labels unseen."
    )
    if options.random_features:
        print(f"All learners see {options.random_features} random features beside these.")
    usual = {"XLA_FLAGS": " ".join(sorted(f"{name}={value}" for name, value in XLA_FLAGS.items()))}
    if own_settings := " ".join(f"{name}={value}" for name, value in settings().items() - usual.items()):
        print(f"Set in this environment, which may change numbers: {own_settings}.")
    keys = jax.random.split(jax.random.key(options.seed), options.episodes)
    # As many episodes side by side as the budget holds, so that memory does not grow with their number.
    how = (examples, keys, length, max(1, BUDGET // size))
    theta = jax.tree.map(jnp.asarray, rule.theta)
    outcomes = {"vsml": run(lambda rate: own, theta, (np.nan,), *how)}
    for name in OPTIMIZERS:
        outcomes[name] = run(partial(baseline, name, examples, options.random_features), (), RATES, *how)
    print(
        f"\n{table(outcomes, length)}\n\n"
        f"Cumulative accuracy ± standard deviation over {options.episodes} episodes. SGD and Adam are linear and\n"
        f"online, at the paper's rate and, in brackets, at the best of {len(RATES)}, which is chosen in hindsight\n"
        "for each row and favours them."
    )
    try:
        save(draw(outcomes, length), options.out)
    except OSError as error:
        _refuse(error)
    print(f"\nLearning curves: {options.out}")


def read_examples(path: Path) -> Examples:
    """Read an npz file of x [n, …] and y [n], flatten each example and standardise each feature over all of them.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not such a file; the sentence says what was found, what is needed, and how to mend it.
    """
    arrays = npz.read(path, ("x", "y"))
    if problem := _problem(arrays["x"], arrays["y"]):
        raise ValueError(f"{path}: {problem}")
    x = arrays["x"].reshape(len(arrays["x"]), -1)
    names, y = np.unique(arrays["y"], return_inverse=True)
    return Examples(standardise(Facts(x.shape[1], len(names)), x), y.astype(np.int32), len(names))


def _problem(x: np.ndarray, y: np.ndarray) -> str | None:
    if x.dtype.kind not in "biuf":
        return f"x has the dtype {x.dtype}, it must be of real numbers: convert it, as by x.astype(np.float32)."
    if x.ndim < 2 or not x.size:
        return f"x has the shape {x.shape}, it must be [n, …], the features of each of n examples: reshape it."
    usable = (np.abs(x.reshape(len(x), -1).astype(np.float64)) <= np.finfo(np.float32).max).all(axis=1)  # nan is not
    if not usable.all():
        return (
            f"x has NaN, infinite or too large values in {(~usable).sum()} of {len(x)} examples, the first of them "
            f"x[{usable.argmin()}]: replace the values or remove the examples."
        )
    if y.ndim != 1:
        one_hot = y.ndim == 2 and y.dtype.kind in "biuf" and ((y != 0).sum(axis=1) == 1).all() and y.shape[1] > 1
        take = "take y.ravel()" if y.size == len(x) else "take y.argmax(1)" if one_hot else "give each one label"
        return f"y has the shape {y.shape}, it must be [n], one label an example: {take}."
    if y.dtype.kind not in "biuSU":
        if y.dtype.kind == "f" and not (y == np.floor(y)).all():  # nan is not
            value = y[y != np.floor(y)][0]
            return f"y has fractions or NaN, as {value:g}: a rule learns classes, so give each a label."
        plain = "int" if y.dtype.kind == "f" else "str"
        return f"y has the dtype {y.dtype}, labels must be integers or strings: convert it, as by y.astype({plain})."
    if len(y) != len(x):
        if x.shape[-1] == len(y):
            first = "examples must come first: take np.moveaxis(x, -1, 0)"
            return f"x has the shape {x.shape} and y {len(y)} labels; {first}."
        return f"x has {len(x)} examples but y has {len(y)} labels, each example must have one: align them."
    if (y == y[0]).all():
        return f"y has the one label {y[0].item()!r} only, there must be at least 2: add examples of another class."
    return None


def baseline(name: str, examples: Examples, random_features: int, rate: Float[Array, ""]) -> Learner:
    """Linear SGD or Adam at one learning rate."""
    return _sized(
        lambda features, classes: gradient((features, classes), OPTIMIZERS[name](rate)), examples, random_features
    )


def _sized(sized: Sized, examples: Examples, random_features: int) -> Learner:
    widened = with_random_features(sized, random_features) if random_features else sized
    return widened(examples.x.shape[1], examples.classes)


def run(
    at: Callable[[Float[Array, ""]], Learner],
    theta: Theta,
    rates: tuple[float, ...],
    examples: Examples,
    keys: Array,
    length: int,
    at_once: int,
) -> Bool[np.ndarray, "rate episode time"]:
    """Whether each prediction was right, each made before its label was shown, by the learner `at` each of the rates.

    The order of an episode depends on its key alone, so that all learners have the same episodes.
    """

    def one(rate: Float[Array, ""], key: RandomKey) -> Bool[Array, " time"]:
        order_key, init_key = jax.random.split(key)
        episode = test_episode(order_key, examples.x, examples.y, examples.classes, length)
        return correct(rollout(at(rate), theta, init_key, episode), episode.y)

    def every(key: RandomKey) -> Bool[Array, "rate time"]:
        return jax.vmap(one, in_axes=(0, None))(jnp.array(rates), key)

    return np.asarray(jax.jit(partial(jax.lax.map, every, batch_size=at_once))(keys)).swapaxes(0, 1)


def table(outcomes: Outcomes, length: int) -> str:
    """Cumulative accuracy after 10, 30, 100, … examples: mean ± standard deviation over episodes."""
    rows = [["examples", "VSML"]]
    for name, rate in PAPER_RATES.items():
        rows[0] += [f"{LOOKS[name].name} at {rate}", f"{LOOKS[name].name} at its best"]
    steps = (step * 10**power for power in itertools.count(1) for step in (1, 3))
    for mark in [*itertools.takewhile(lambda step: step < length, steps), length]:
        rows.append([str(mark), _cell(outcomes["vsml"][0], mark)])
        for name, rate in PAPER_RATES.items():
            best = _best(outcomes[name], mark)
            rows[-1] += [_cell(outcomes[name][RATES.index(rate)], mark)]
            rows[-1] += [f"{_cell(outcomes[name][best], mark)} ({RATES[best]:g})"]
    return "\n".join("".join(f"{cell:>{width}}" for cell, width in zip(row, WIDTHS, strict=True)) for row in rows)


def draw(outcomes: Outcomes, length: int) -> Figure:
    """Learning curves with ± 1 standard deviation over episodes; baselines at their best rate for the whole episode."""
    figure = Figure((COLUMN, 2.6))
    axes = figure.add_subplot(xlabel="examples seen", ylabel="cumulative accuracy")
    first, ends = (5 if length > 10 else 1), []  # a share of the first few examples is noise
    for name, found in outcomes.items():
        look, best = LOOKS[name], _best(found, length)
        accuracy = cumulative(found[best])[:, first - 1 :]
        curve(axes, np.arange(first, length + 1), accuracy, look.style, shade=0.16)
        shown = look if name == "vsml" else look._replace(name=f"{look.name} at {RATES[best]:g}")
        ends.append((float(accuracy[:, -1].mean()), shown))
    accuracy_axis(axes, "y")
    example_axis(axes, first, length)
    direct_labels(axes, ends, gap=0.08)
    return figure


def _cell(found: Bool[np.ndarray, "episode time"], mark: int) -> str:
    accuracy = found[:, :mark].mean(axis=1)
    return f"{accuracy.mean():.3f} ± {sd(accuracy):.3f}"


def _best(found: Bool[np.ndarray, "rate episode time"], mark: int) -> int:
    return int(found[:, :, :mark].mean(axis=(1, 2)).argmax())


def _options(args: list[str]) -> argparse.Namespace:
    def at_least(least: int) -> Callable[[str], int]:
        def number(text: str) -> int:
            if not text.isdecimal() or int(text) < least:
                raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {least} on.")
            return int(text)

        return number

    def picture(text: str) -> Path:
        if Path(text).suffix not in (".png", ".pdf"):
            raise argparse.ArgumentTypeError(f"{text!r} must end in .png or .pdf.")
        return Path(text)

    parser = argparse.ArgumentParser("python -m pipeline evaluate", description="Run a learned rule on your own data.")
    add = parser.add_argument
    add("--rule", type=Path, required=True, help="a rule.npz that meta_train wrote")
    add("--data", type=Path, required=True, help="an npz file with x [n, …] and y [n]")
    add("--episodes", type=at_least(1), default=16, help="random orders of the data (default: 16)")
    add("--length", type=at_least(2), help=f"examples of an episode (default: all, at most {LONGEST})")
    add("--seed", type=at_least(0), default=0, help="of the orders and the initial states (default: 0)")
    words = "show all learners N random functions of each example beside it (default: 0)"
    add("--random-features", type=at_least(0), default=0, metavar="N", help=words)
    add("--out", type=picture, default=Path("evaluate.png"), help="png or pdf (default: evaluate.png)")
    return parser.parse_args(args)


def _refuse(error: Exception) -> NoReturn:
    if isinstance(error, OSError) and error.strerror:
        error = OSError(f"{error.filename} cannot be opened: {error.strerror}.")
    print(f"evaluate: {error}", file=sys.stderr)
    raise SystemExit(2)
