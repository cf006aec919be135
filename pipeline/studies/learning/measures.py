"""What the tables say: cumulative accuracies, the best learning rate in hindsight, and what a second look is worth.

Pure numpy, shared by the figures, the report and the README, so that each number has one source.

Axis letters: seed (of meta-training), rate (of learning), life (an episode of a test), time, class. A result is an
entry {"value", "sd", "n"} under a `Key`; `results` says what else it may have.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from pipeline.run.artifacts import Table
from pipeline.studies.learning.tables import (
    PAPER,
    PAPER_RATES,
    SYNTHETIC,
    Profile,
    Tables,
    Task,
    at_paper_rates,
    baselines,
    by_seed,
    experiments,
    tasks,
)


class Key(NamedTuple):
    """What a number is about. In results.json it is called `subject/learner/metric`, then `@at` and `@horizon`.

    The subject is a task or a set of examples, or a word for a whole comparison (recall, feedback, cloning, ...). The
    learner may be an experiment or a pair of algorithms. `at` says when: after so many examples, at that age, or for
    the last so many snippets; `horizon` is how many snippets a rule was trained to remember, where `at` is an age.
    """

    subject: str
    learner: str
    metric: str
    at: int | None = None
    horizon: int | None = None

    def __str__(self) -> str:
        numbers = (str(number) for number in (self.at, self.horizon) if number is not None)
        return "@".join((f"{self.subject}/{self.learner}/{self.metric}", *numbers))

    @classmethod
    def parse(cls, name: str) -> "Key":
        """The key that results.json calls `name`; a ValueError if no key is called so."""
        if not (match := re.fullmatch(r"([^/@]+)/([^/@]+)/([^/@]+)(?:@(\d+))?(?:@(\d+))?", name)):
            raise ValueError(f"{name!r} must be SUBJECT/LEARNER/METRIC and at most two numbers, as SET/sgd/gain@10.")
        *words, at, horizon = match.groups()
        return cls(*words, *(None if number is None else int(number) for number in (at, horizon)))


Entry = dict[str, Any]
Results = dict[Key, Entry]


def named(found: Results) -> dict[str, Entry]:
    """Results as results.json has them."""
    return {str(key): entry for key, entry in found.items()}


def parsed(found: Mapping[str, Entry]) -> Results:
    """Results from what results.json has."""
    return {Key.parse(name): entry for name, entry in found.items()}


class Lives(NamedTuple):
    """How one learner fared on one task: a learned rule once per meta-seed, a baseline at its best rate."""

    correct: Bool[np.ndarray, "seed life time"]
    rate: float | None


def cumulative(correct: Bool[np.ndarray, "*lives time"]) -> Float[np.ndarray, "*lives time"]:
    """The share of right predictions among the first 1, 2, ... examples of each episode."""
    return np.cumsum(correct, axis=-1) / np.arange(1, correct.shape[-1] + 1)


def lives(tables: Tables, task: str, learner: str, horizon: int | None = None) -> Lives:
    """The episodes of `learner` on `task`.

    The rate of a baseline is chosen in hindsight: the one with the highest mean accuracy over the first `horizon`
    examples (the whole if None) of these very episodes. That flatters the baselines. `sgd_paper` and `adam_paper`
    have the fixed rate of the paper.
    """
    baseline = learner.removesuffix(PAPER)
    if (path := f"baseline/{baseline}.npz") not in tables:
        seeds = by_seed(tables, "meta_test", learner).values()
        return Lives(np.stack([table.arrays[f"{task}/correct"] for table in seeds]), None)
    arrays = tables[path].arrays
    correct = arrays[f"{task}/correct"]
    fixed = np.isclose(arrays["rate"], PAPER_RATES[baseline]) if learner != baseline else None
    best = int(np.argmax(correct[:, :, :horizon].mean(axis=(1, 2)) if fixed is None else fixed))
    return Lives(correct[best][None], float(f"{arrays['rate'][best]:.6g}"))  # 0.003, not float32's 0.003000000026


def guessing(tables: Tables, task: Task) -> float:
    """The accuracy of always answering the commonest class of the test examples, which no learner knows."""
    if task.set in SYNTHETIC:
        return 1 / SYNTHETIC[task.set]
    if isinstance(task.classes, int):
        return 1 / task.classes
    counts = np.bincount(tables[f"test_data/{task.set}.npz"].arrays["y"])
    if task.classes is not None:
        counts = counts[list(task.classes)]
    return float(counts.max() / counts.sum())


def sd(values: Shaped[np.ndarray, "..."], axis: int | None = None) -> Any:
    """The standard deviation of a sample; nan if that is a single value, which has none."""
    many = (values.size if axis is None else values.shape[axis]) > 1
    return values.std(axis=axis, ddof=1) if many else np.full_like(values.mean(axis=axis), np.nan)


def moments(length: int, horizons: Iterable[int]) -> list[int]:
    """The examples after which the accuracy of an episode is reported: its end, and what is before it of `horizons`."""
    return sorted({*(horizon for horizon in horizons if horizon < length), length})


def smooth(values: Float[np.ndarray, " step"], window: int) -> Float[np.ndarray, " step"]:
    """A centred running mean over the finite values; nan where a window has none, shorter windows at the ends."""
    finite = np.isfinite(values)
    kernel = np.ones(min(window, len(values)))
    count = np.convolve(finite, kernel, "same")
    total = np.convolve(np.where(finite, values, 0.0), kernel, "same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0.5)


def final_loss(curve: Table) -> float:
    """The mean meta loss of the last twentieth of the meta-steps, in nats, without the skipped ones."""
    loss, skipped = curve.arrays["loss"], curve.arrays["skipped"]
    last = max(1, len(loss) // 20)
    kept = loss[-last:][~skipped[-last:]]
    if not len(kept):
        raise ValueError(f"All of the last {last} meta-steps were skipped: the run has no final loss; lower its rate.")
    return float(kept.mean(dtype=np.float64))


def sightings(
    label: Integer[np.ndarray, "*lives time"], image: Integer[np.ndarray, "*lives time"]
) -> dict[str, Bool[np.ndarray, "*lives time"]]:
    """What each example is to the learner, as masks.

    first_sighting: an image and a class never seen. second_image: an image never seen, of a class that was.
    second_sighting: an image that was seen before.
    """
    seen_image, seen_class = _seen_before(image), _seen_before(label)
    return {
        "first_sighting": ~seen_class,
        "second_image": seen_class & ~seen_image,
        "second_sighting": seen_image,
    }


def associations(tables: Tables, experiment: str) -> Iterator[tuple[str, str, Float[np.ndarray, "seed life"]]]:
    """What each learner knew at each kind of exposure: (learner, metric, mean over the exposures of each episode).

    The metrics are the probability of the right class and the accuracy. A baseline does not depend on the seed of
    meta-training, so only the first seed's table counts for it: its episodes must not be counted thrice.
    """
    seeds = [table.arrays for table in by_seed(tables, "introspect", experiment).values()]
    for index, learner in enumerate(seeds[0]["learner"].tolist()):
        name, own = (learner, seeds) if learner == experiment else (learner, seeds[:1])
        label, image = (np.stack([arrays[what] for arrays in own]) for what in ("label", "image"))
        probability = np.stack([arrays["probability"][index] for arrays in own])
        right = np.take_along_axis(probability, label[..., None], axis=-1)[..., 0]
        hit = probability.argmax(-1) == label
        for kind, mask in sightings(label, image).items():
            for what, value in (("probability", right), ("accuracy", hit)):
                yield name, f"{kind}_{what}", np.asarray(value.mean(axis=-1, where=mask, dtype=np.float64))
        # The other reading of the protocol: every second image is another one of the class that was just shown.
        label = np.stack([arrays["next_label"] for arrays in own])[..., 1::2]
        probability = np.stack([arrays["next_probability"][index] for arrays in own])[..., 1::2, :]
        right = np.take_along_axis(probability, label[..., None], axis=-1)[..., 0]
        yield name, "next_image_probability", right.mean(-1, dtype=np.float64)
        yield name, "next_image_accuracy", (probability.argmax(-1) == label).mean(-1, dtype=np.float64)


def results(tables: Tables, profile: Profile) -> Results:
    """The numbers of the report: {"value", "sd", "n"} and more, by `Key`.

    value is the mean and sd the standard deviation over the n episodes of all seeds; sd_seeds, where there are several
    seeds, is that of the seeds' means; rate is a baseline's, chosen in hindsight for this very metric; seen, of a
    learned rule, says whether meta-training drew from the set of the task (other examples of it).
    """
    found = accuracies(tables, profile)
    for experiment in experiments(tables):
        curves = by_seed(tables, "meta_train", experiment).values()
        found[Key("meta_train", experiment, "final_loss")] = summary(
            np.array([[final_loss(curve)] for curve in curves])
        )
    for experiment in experiments(tables, "introspect"):
        for name, metric, values in associations(tables, experiment):
            found[Key(profile.introspected, name, metric)] = summary(values)
    return found


def accuracies(tables: Tables, profile: Profile) -> Results:
    """The part of `results` that is about accuracy: cumulative, or of a one-shot task that of all its questions."""
    learned = experiments(tables)
    found: Results = {}
    for learner in (*learned, *baselines(tables), *at_paper_rates(tables)):
        for task in tasks(tables, learner):
            length = lives(tables, task, learner).correct.shape[-1]
            one_shot = profile.tasks[task].one_shot
            for moment in [length] if one_shot else moments(length, profile.horizons):
                correct, rate = lives(tables, task, learner, moment)
                more = {"seen": profile.seen(task, learner)} if rate is None else {"rate": rate}
                metric = ("one_shot",) if one_shot else ("cumulative", moment)
                found[Key(task, learner, *metric)] = summary(correct[..., :moment].mean(axis=-1)) | more
    return found


def summary(values: Shaped[np.ndarray, "seed life"]) -> Entry:
    """Mean, standard deviation and number of the values; with several seeds, the deviation of their means, too."""
    seeds = {"sd_seeds": float(sd(values.mean(axis=1)))} if len(values) > 1 else {}
    spread = float(sd(values)) if values.size > 1 else None  # JSON has no nan
    return {"value": float(values.mean()), "sd": spread, "n": values.size} | seeds


def single(value: float, n: int) -> Entry:
    """A number that stands for n episodes and has no spread: a worst case, a ratio of sums, or what was counted."""
    return {"value": value, "sd": None, "n": n}


def _seen_before(what: Integer[np.ndarray, "*lives time"]) -> Bool[np.ndarray, "*lives time"]:
    same = what[..., :, None] == what[..., None, :]
    return np.tril(same, k=-1).any(axis=-1)
