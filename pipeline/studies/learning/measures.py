"""What the tables say: cumulative accuracies, the best learning rate in hindsight, and what a second look is worth.

Pure numpy, shared by the figures, the report and the README, so that each number has one source.

Axis letters: seed (of meta-training), rate (of learning), life (an episode of a test), time, class. A result is an
entry {"value", "sd", "n"} under a `Key`; `results` says what else it may have.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from pipeline.run.artifacts import Table
from pipeline.show.measures import Key, Results, moments, summary
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


class Lives(NamedTuple):
    """How one learner fared on one task: a learned rule once per meta-seed, a baseline at its best rate."""

    correct: Bool[np.ndarray, "seed life time"]
    rate: float | None


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
                key = Key(task, learner, "one_shot") if one_shot else Key(task, learner, "cumulative", moment)
                found[key] = summary(correct[..., :moment].mean(axis=-1)) | more
    return found


def _seen_before(what: Integer[np.ndarray, "*lives time"]) -> Bool[np.ndarray, "*lives time"]:
    same = what[..., :, None] == what[..., None, :]
    return np.tril(same, k=-1).any(axis=-1)
