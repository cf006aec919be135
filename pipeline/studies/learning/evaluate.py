"""`python -m pipeline evaluate --rule NAME --data FILE` runs a learned rule on your own data.

It learns from the examples one by one, in random orders. On the very same episodes go the other rules that ship, online
SGD and Adam, simple learners such as the nearest class mean, and who says the class that was the commonest so far.
NAME is a rule that ships (digits, mnist) or a rule.npz. Data are an npz file of a pair x and y (or X and y, data and
target), an npy file with its labels in another (--labels), a table (csv, parquet) with a column of labels, or a set of
scikit-learn (sklearn:wine).

Axis letters: rate (of learning; one, not a number, where there is none), episode (an episode), time.
"""

import importlib
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jaxtyping import Array, Bool, Float, Int
from tqdm import tqdm

from pipeline.__main__ import XLA_FLAGS
from pipeline.run import npz
from pipeline.run.artifacts import read_rule, write_json
from pipeline.run.params import known_or_raise
from pipeline.run.plan import settings
from pipeline.show.intervals import LEVEL, Interval, interval
from pipeline.show.looks import GREY, LOOKS, Look, growing
from pipeline.show.measures import cumulative, sd, summary
from pipeline.show.style import COLUMN, Figure, accuracy_axis, curve, direct_labels, example_axis, save
from pipeline.studies.learning.build import OPTIMIZERS, SIMPLE
from pipeline.studies.learning.params import PAPER_RATES, learner_section
from vsml import zoo
from vsml.core.rollout import rollout
from vsml.core.scores import correct
from vsml.core.types import Learner, RandomKey, Theta
from vsml.learners.gradient import gradient
from vsml.learners.settings import learner
from vsml.random_features import with_random_features
from vsml.tasks.datasets import Facts, standardise
from vsml.tasks.episodes import test_episode

RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
HIDDEN = 160  # units of the paper's networks with a hidden layer
LONGEST = 2000  # examples of an episode unless --length says more; the paper's meta-test is as long
BYTES_PER_NUMBER = 32  # of the state of one episode: 22 measured
BUDGET = 2**30  # bytes of episodes side by side
AT_ONCE = 4  # episodes side by side at most: more are no faster on a CPU, and progress is shown after each few
NOT_CLASSIFIERS = ("recall", "local_plasticity", "descent", "clone")
PAIRS = (("x", "y"), ("X", "y"), ("data", "target"), ("X", "Y"), ("images", "labels"))  # names in an npz file
LABELS = ("y", "target", "label", "labels", "class")  # names of a table's column of labels; else it is the last

Sized = Callable[[int, int], Learner]  # (features, classes) -> the learner


class Entrant(NamedTuple):
    """Who goes through the episodes: a learner for each of its learning rates or strengths."""

    look: Look
    at: Callable[[Float[Array, ""], int], Sized]  # of a rate, for episodes of so many examples
    rates: tuple[float, ...] = (math.nan,)
    usual: float = math.nan  # the rate that is not chosen in hindsight
    theta: Theta = ()


class Row(NamedTuple):
    """An entrant at one of its rates, or at the best for each number of examples."""

    name: str
    found: Bool[np.ndarray, "rate episode time"]
    rates: tuple[float, ...]

    def best(self, mark: int) -> int:
        """Which rate is the best after so many examples."""
        return int(self.found[:, :, :mark].mean(axis=(1, 2)).argmax())

    def accuracy(self, mark: int) -> Float[np.ndarray, " episode"]:
        """After so many examples."""
        return self.found[self.best(mark), :, :mark].mean(axis=1)


class Examples(NamedTuple):
    """Labelled examples; labels are numbered in their sorted order."""

    x: Float[Array, "example features"]  # each feature at zero mean and unit variance
    y: Int[np.ndarray, " example"]
    classes: int


def commonest(features: int, classes: int) -> Learner:
    """Guesses the class that was shown most often so far; the state counts."""
    return Learner(
        init_theta=lambda key: (),
        init_state=lambda theta, key: jnp.zeros(classes),
        step=lambda theta, state, x, y: (state + y, state),
    )


def _gradient(name: str, hidden: tuple[int, ...], rate: Float[Array, ""], length: int) -> Sized:
    """SGD or Adam."""
    return lambda features, classes: gradient((features, *hidden, classes), OPTIMIZERS[name](rate))


def _simple(name: str, strength: Float[Array, ""], length: int) -> Sized:
    """A learner of `vsml.learners.rivals`."""
    return lambda features, classes: SIMPLE[name](features, classes, length, strength)


GUESSING = Look("guessing", "guessing", GREY, ":")
STRENGTHS = {  # of the simple learners; none has no number to choose
    "nearest_mean": (math.nan,),
    "ridge": (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0),
    "naive_bayes": (0.001, 0.01, 0.1, 1.0, 10.0),
    "nearest_neighbour": (math.nan,),
}
RIVALS = (  # all that rules are compared with
    Entrant(GUESSING, lambda rate, length: commonest),
    *(Entrant(LOOKS[name], partial(_gradient, name, ()), RATES, rate) for name, rate in PAPER_RATES.items()),
    *(
        Entrant(LOOKS[f"{name}_hidden"], partial(_gradient, name, (HIDDEN,)), (rate,), rate)
        for name, rate in PAPER_RATES.items()
    ),
    *(Entrant(LOOKS[name], partial(_simple, name), strengths) for name, strengths in STRENGTHS.items()),
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
    own = rules[0]
    examples = read_examples(data, labels)
    (total, features), classes = examples.x.shape, examples.classes
    if length and length > total:
        raise ValueError(f"--length (={length}) must be at most the number of examples (={total}): lower it.")
    sized = _widened(own.at(jnp.array(jnp.nan), len(examples.x)), examples, random_features)
    needed = jax.eval_shape(sized.init_theta, jax.random.key(0))
    theirs, ours = (jax.tree.map(lambda z: list(z.shape), theta) for theta in (own.theta, needed))
    if theirs != ours:
        raise ValueError(f"The rule has theta {theirs}, this version needs {ours}: meta-train it again.")
    length = length or min(total, LONGEST)
    size, free = _bytes(own, examples, random_features, length), psutil.virtual_memory().available
    if size > free:
        raise ValueError(
            f"{features} features and {classes} classes need about {size / 2**30:.1f} GiB of memory, "
            f"but only {free / 2**30:.1f} GiB are free: make the examples smaller or take fewer classes."
        )
    print(
        f"{data}: {total} examples, {features} features, {classes} classes.\n"
        f"{episodes} episodes of {length} examples in random order, no example twice; seed {seed}.\n"
        "Each feature is standardised by its mean and standard deviation over all examples, labels unseen."
    )
    if random_features:
        print(f"All learners see {random_features} random features beside these.")
    usual = {"XLA_FLAGS": " ".join(sorted(f"{name}={value}" for name, value in XLA_FLAGS.items()))}
    if own_settings := " ".join(f"{name}={value}" for name, value in settings().items() - usual.items()):
        print(f"Set in this environment, which may change numbers: {own_settings}.")
    keys = jax.random.split(jax.random.key(seed), episodes)
    rows, looks = [], {}
    with tqdm(total=(len(rules) + len(RIVALS)) * episodes, unit=" episodes", disable=None, leave=False) as progress:
        for entrant in (*rules, *RIVALS):
            progress.set_description(entrant.look.name)
            size = _bytes(entrant, examples, random_features, length)
            if size > free:
                lacks = f"needs about {size / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free"
                progress.write(f"{entrant.look.name} is left out: it {lacks}.")
                continue
            # As many episodes side by side as the budget holds, so that memory does not grow with their number.
            at_once = max(1, min(AT_ONCE, BUDGET // size, episodes))
            found = run(entrant, examples, random_features, keys, length, at_once, progress.update)
            rows += rows_of(entrant, found)
            if entrant.look.colour:
                looks[rows[-1].name] = entrant.look
    print(
        f"\n{table(rows, length)}\n\n"
        f"Cumulative accuracy: mean ± standard deviation over {episodes} episodes. Guessing says the class that was\n"
        "the commonest so far. SGD and Adam are online, at the paper's rate; linear ones also at the best of "
        f"{len(RATES)}. That\nand the strength of ridge and naive Bayes are chosen in hindsight for each column, which "
        f"favours them.\n{growing(entrant.look.key for entrant in RIVALS)}\n\n"
        f"{advice(rows, length)}"
    )
    save(draw(rows, looks, length), out)
    facts = {"data": data, "rule": rule, "examples": total, "features": features, "classes": classes, "seed": seed}
    facts |= {"episodes": episodes, "length": length, "random_features": random_features}
    facts["accuracy"] = {row.name: {str(mark): entry(row, mark) for mark in marks(length)} for row in rows}
    if episodes > 1:
        facts["ahead"] = {row.name: ahead(rows[0], row, length)._asdict() for row in rows[1:]}
    write_json(out.with_suffix(".json"), facts)
    print(f"\nLearning curves: {out}. All numbers: {out.with_suffix('.json')}.")


def _rules(rule: str) -> list[Entrant]:
    """The rule, then the others that ship and classify."""
    names = zoo.names()
    files = {name: Path(str(resources.files(zoo) / f"{name}.npz")) for name in names}
    path = files.get(rule, Path(rule))
    if not path.exists():
        raise ValueError(f"{rule!r} is neither a file nor one of the rules that ship, {names}: correct its name.")
    npz.read(path)  # for what it refuses
    given = read_rule(path)
    if given.learner.get("name") in NOT_CLASSIFIERS:
        raise ValueError(f"The rule is of the kind {given.learner['name']!r}: use one that classifies, like digits.")
    section, theta = learner_section(given.learner), jax.tree.map(jnp.asarray, given.theta)
    called = f"rule {rule if rule in files else path.name}"
    look = LOOKS["vsml"]._replace(name=called)
    found = [Entrant(look, lambda rate, length: partial(learner, section), theta=theta)]
    for other in (zoo.load(name) for name in names if files[name].read_bytes() != path.read_bytes()):
        if other.settings["name"] not in NOT_CLASSIFIERS:
            look = Look(other.name, f"rule {other.name}")
            found.append(Entrant(look, lambda rate, length, sized=other.learner: sized, theta=other.theta))
    return found


def read_examples(data: str, labels: str | None = None) -> Examples:
    """Read examples, flatten each and standardise each feature over all of them.

    Raises:
      OSError: the file cannot be read.
      ValueError: it has no such examples; the sentence says what was found, what is needed, and how to mend it.
    """
    path = Path(data)
    kind = "sklearn" if data.startswith("sklearn:") else path.suffix.lower()
    if labels and kind not in (".npy", ".csv", ".tsv", ".parquet"):
        raise ValueError(f"--labels (={labels!r}) is for npy files and tables, which {data} is not: leave it out.")
    match kind:
        case "sklearn":
            sets = importlib.import_module("sklearn.datasets")
            load = {name.removeprefix("load_"): getattr(sets, name) for name in dir(sets) if name.startswith("load_")}
            known = {name: one for name, one in load.items() if "return_X_y" in signature(one).parameters}
            x, y = known_or_raise(known, data.removeprefix("sklearn:"), "sets of scikit-learn")(return_X_y=True)
        case ".csv" | ".tsv" | ".parquet":
            x, y = _columns(path, labels)
        case ".npy":
            if not labels:
                raise ValueError(f"{path} has no labels beside the examples: name their file, --labels y.npy.")
            x, y = _npy(path), _npy(Path(labels))
        case _:
            x, y = npz.read(path, PAIRS).values()
    if problem := _problem(x, y):
        raise ValueError(f"{data}: {problem}")
    x = x.reshape(len(x), -1)
    names, y = np.unique(y, return_inverse=True)
    return Examples(standardise(Facts(x.shape[1], len(names)), x), y.astype(np.int32), len(names))


def _npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is not an npy file of a plain array: save it with np.save.") from error


def _columns(path: Path, labels: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The columns of numbers of a table and the one of labels; a csv file may have a row of names or not."""
    try:
        pandas = importlib.import_module("pandas")
        if path.suffix.lower() == ".parquet":
            table = pandas.read_parquet(path)
        else:
            with path.open(encoding="utf-8-sig") as file:
                first = file.readline()
            separator = max(",;\t", key=first.count)
            cells = [cell.strip("\"' \r\n") for cell in first.split(separator)]
            numbers = [cell for cell in cells if not pandas.isna(pandas.to_numeric(cell, errors="coerce"))]
            named = not {labels, *LABELS}.isdisjoint(cells) or numbers == [str(n) for n in range(len(numbers))]
            table = pandas.read_csv(path, sep=separator, header=0 if named else None)
    except ImportError as error:
        raise ValueError(f"{path} needs pandas, and parquet pyarrow ({error}): pip install pandas pyarrow.") from error
    except ValueError as error:
        raise ValueError(
            f"{path} is not a table that pandas can read ({str(error).strip()}): save it again."
        ) from error
    table.columns = [str(name) for name in table.columns]
    table = table[[name for name in table if not name.startswith("Unnamed: ")]]  # the index of another table
    known = list(table)
    label = labels or next((name for name in known if name.lower() in LABELS), known[-1])
    column = table[known_or_raise(known, label, "columns of the table")]
    if column.isna().any():
        raise ValueError(f"{path}: {column.isna().sum()} examples have no label in {label!r}: remove them.")
    features = table.drop(columns=label)
    if text := [name for name in features if features[name].dtype.kind not in "biuf"]:
        raise ValueError(
            f"{path}: the columns {text} have no numbers: code them, as by pandas.get_dummies, or drop them."
        )
    y = column.to_numpy()
    print(f"{path}: the labels are the column {label!r}.")
    return features.to_numpy(dtype=np.float64), y if y.dtype.kind in "biuf" else y.astype(str)


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
    if y.dtype.kind == "f" and not (y == np.floor(y)).all():  # nan is not
        value = y[y != np.floor(y)][0]
        return f"y has fractions or NaN, as {value:g}: a rule learns classes, so give each a label."
    if y.dtype.kind not in "biufSU":
        return f"y has the dtype {y.dtype}, labels must be integers or strings: convert it, as by y.astype(str)."
    if len(y) != len(x):
        if x.shape[-1] == len(y):
            first = "examples must come first: take np.moveaxis(x, -1, 0)"
            return f"x has the shape {x.shape} and y {len(y)} labels; {first}."
        return f"x has {len(x)} examples but y has {len(y)} labels, each example must have one: align them."
    if 3 * (count := len(np.unique(y))) > len(y) > count:
        return f"y has {count} labels for {len(y)} examples, it must have 3 of each or more: take classes, no quantity."
    if (y == y[0]).all():
        return f"y has the one label {y[0].item()!r} only, there must be at least 2: add examples of another class."
    return None


def _widened(sized: Sized, examples: Examples, random_features: int) -> Learner:
    widened = with_random_features(sized, random_features) if random_features else sized
    return widened(examples.x.shape[1], examples.classes)


def _bytes(entrant: Entrant, examples: Examples, random_features: int, length: int) -> int:
    """What the states of an episode take, at all rates."""
    learner = _widened(entrant.at(jnp.array(entrant.rates[0]), length), examples, random_features)
    state = jax.eval_shape(learner.init_state, entrant.theta, jax.random.key(0))
    return sum(z.size for z in jax.tree.leaves(state)) * BYTES_PER_NUMBER * len(entrant.rates)


def run(
    entrant: Entrant,
    examples: Examples,
    random_features: int,
    keys: Array,
    length: int,
    at_once: int,
    done: Callable[[int], Any] = lambda episodes: None,
) -> Bool[np.ndarray, "rate episode time"]:
    """Whether each prediction was right, each made before its label was shown, at each of the rates.

    The order of an episode depends on its key alone, so that all have the same episodes. Each time that `at_once` more
    episodes are over, `done` is told how many.
    """

    def one(rate: Float[Array, ""], key: RandomKey) -> Bool[Array, " time"]:
        order_key, init_key = jax.random.split(key)
        episode = test_episode(order_key, examples.x, examples.y, examples.classes, length)
        sized = _widened(entrant.at(rate, length), examples, random_features)
        return correct(rollout(sized, entrant.theta, init_key, episode), episode.y)

    some = jax.jit(jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None)))
    found = []
    for first in range(0, len(keys), at_once):
        left = min(at_once, len(keys) - first)
        these = jnp.arange(first, first + at_once) % len(keys)  # all batches have one size, and compile once
        found.append(np.asarray(some(jnp.array(entrant.rates), keys[these]))[:, :left])
        done(left)
    return np.concatenate(found, axis=1)


def rows_of(entrant: Entrant, found: Bool[np.ndarray, "rate episode time"]) -> Iterator[Row]:
    """The rows of the table: with several rates, at the usual one, and at the best."""
    name = entrant.look.name
    if len(entrant.rates) == 1:
        yield Row(name, found, entrant.rates)
    else:
        if not math.isnan(entrant.usual):
            usual = entrant.rates.index(entrant.usual)
            yield Row(f"{name} at {entrant.usual:g}", found[[usual]], (entrant.usual,))
        yield Row(f"{name} at its best {'strength' if math.isnan(entrant.usual) else 'rate'}", found, entrant.rates)


def marks(length: int) -> list[int]:
    """The numbers of examples that are reported: 10, 30, 100, … and all."""
    steps = (step * 10**power for power in itertools.count(1) for step in (1, 3))
    return [*itertools.takewhile(lambda step: step < length, steps), length]


def entry(row: Row, mark: int) -> dict[str, Any]:
    """What the JSON has of a row after so many examples."""
    rate = {"rate": row.rates[row.best(mark)]} if np.isfinite(row.rates).all() else {}
    return summary(row.accuracy(mark)[None]) | rate


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
    (given, *others), episodes = rows, rows[0].found.shape[1]
    if episodes == 1:
        return "One episode does not tell skill from luck: --episodes 16 does."
    found = {row.name: ahead(given, row, length) for row in others}
    wide = max(map(len, found))
    lines = [f"After {length} examples, the {given.name} is ahead by (mean and {LEVEL:.0%} interval)"]
    lines += [f"  {name:<{wide}}  {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for name, one in found.items()]
    behind = [name for name, one in found.items() if one.high < 0]
    level = [name for name, one in found.items() if one.low <= 0 <= one.high]
    if GUESSING.name in (*behind, *level):
        lines.append("It has learned nothing that is of use: so much does guessing get right.")
    if level:
        lines.append(f"It is no better than {', '.join(level)}.")
    if behind:
        lines.append(f"It is worse than {', '.join(behind)}.")
    if better := [name for name in behind if name.startswith("rule ")]:
        best = min(better, key=lambda name: found[name].mean)
        lines.append(f"Of the rules that ship, this one suits these data better: --{best}.")
    return "\n".join(lines if behind or level else [*lines, "It is ahead of all of them."])


def ahead(given: Row, other: Row, length: int) -> Interval:
    """By how much one is ahead of another after so many examples, in the same episodes."""
    return interval((given.accuracy(length) - other.accuracy(length))[None])


def draw(rows: list[Row], looks: dict[str, Look], length: int) -> Figure:
    """Learning curves with ± 1 standard deviation over episodes; baselines at their best rate for the whole episode."""
    figure = Figure((COLUMN, 2.6))
    axes = figure.add_subplot(xlabel="examples seen", ylabel="cumulative accuracy")
    title = f"mean over n = {rows[0].found.shape[1]} episodes; shaded: ± 1 sd of the rule"
    axes.set_title(title, fontweight="normal", fontsize=6.5)
    first, ends = (5 if length > 10 else 1), []  # a share of the first few examples is noise
    for row in rows:
        if look := looks.get(row.name):
            best = row.best(length)
            accuracy = cumulative(row.found[best])[:, first - 1 :]
            curve(axes, np.arange(first, length + 1), accuracy, look.style, shade=0.16 if row is rows[0] else 0.0)
            shown = look if len(row.rates) == 1 else look._replace(name=f"{look.name} at {row.rates[best]:g}")
            ends.append((float(accuracy[:, -1].mean()), shown))
    accuracy_axis(axes, "y")
    example_axis(axes, first, length)
    direct_labels(axes, ends, gap=0.08)
    return figure
