"""What introspection found of VSML and its rivals, in numbers. `results` of measures.py takes them in.

Of a set and a learner, each with n and sd over episodes. `associations` (two images of each class, each shown twice in
a row; KIND: what an example is to the learner, see `exposures`):

  KIND_probability, KIND_accuracy   of the right class, before its label is shown

`introspection` (AGE: examples before; QUERY: the same image, another one of its class, a stranger of another class):

  gain_QUERY@AGE              rise of the probability of the right class by one exposure, as against none
  gain_own@AGE                gain_same less gain_stranger: what is tied to the image, and not said of everything
  gain_QUERY_after_GAP@AGE    what of the gain is left when so many further examples have been seen
  told_apart@AGE              share of episodes in which a wrong label, shown once, is then more probable for that image
                              than for strangers: sizes of gains do not count. 0.5 is chance
  wrong_gained_QUERY@AGE    rise of the probability of a wrong label that was shown once
  wrong_lost_QUERY@AGE        the right class after the wrong label, less that after the right one (negative: lost)
  cosine, cosine_first, _last between a step's change of the function and a gradient step's; of all and of quarters
  lost_RESET_WAY              accuracy lost by resetting channels of the state after an episode
  follows_WHAT_KIND_CHANNEL   |correlation| of a channel's change in a step with input, error and their product

Numbers of single channels are under `SET/EXPERIMENT-SEED/…`: channel 3 of one seed is not channel 3 of another.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from pipeline.show.measures import Entry, Key, Results, summary
from pipeline.studies.learning.tables import Profile, Tables, by_seed, experiments

BASELINES = ("sgd", "sgd_paper", "adam", "adam_paper")
# Axes of the array `query_probability`, which holds probabilities: which query, label shown and class.
QUERIES = ("same", "other", "stranger")
NO_LABEL, RIGHT_LABEL, WRONG_LABEL = range(3)
RIGHT, WRONG = range(2)
KINDS = ("hidden", "memory")
SINGLE = re.compile(r"(hidden|memory)_\d+")  # a reset of one channel; others are of groups
LATER = (1, 5)  # examples after which a gain is reported; the last that was measured is one more
COSINES = ("cosine", "cosine_first", "cosine_last")


def of_learners(tables: Tables, experiment: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Of each learner, its part of the tables of all seeds; of a baseline, which has no meta-seed, the first's only."""
    seeds = [table.arrays for table in by_seed(tables, "introspect", experiment).values()]
    per_learner = {"probability", "next_probability", "query_probability", "cosine"} & seeds[0].keys()
    for index, learner in enumerate(seeds[0]["learner"].tolist()):
        own = seeds if learner == experiment else seeds[:1]
        yield learner, [arrays | {name: arrays[name][index] for name in per_learner} for arrays in own]


def masks_of_exposures(
    label: Integer[np.ndarray, "*episodes time"], image: Integer[np.ndarray, "*episodes time"]
) -> dict[str, Bool[np.ndarray, "*episodes time"]]:
    """What each example is to the learner, as masks.

    first_exposure: an image and a class never seen. second_image: an image never seen, of a class that was.
    second_exposure: an image that was seen before.
    """
    seen_class, seen_image = (
        np.tril(what[..., :, None] == what[..., None, :], k=-1).any(axis=-1) for what in (label, image)
    )
    return {
        "first_exposure": ~seen_class,
        "second_image": seen_class & ~seen_image,
        "second_exposure": seen_image,
    }


def associations(tables: Tables, experiment: str) -> Iterator[tuple[str, str, Float[np.ndarray, "seed episode"]]]:
    """What each learner knew at each kind of exposure: (learner, metric, mean over the exposures of each episode)."""
    for learner, seeds in of_learners(tables, experiment):
        label, probability = _stack(seeds, "label"), _stack(seeds, "probability")
        masks = masks_of_exposures(label, _stack(seeds, "image"))
        exposures: list[tuple] = [(kind, label, probability, mask) for kind, mask in masks.items()]
        # The other reading of the protocol: every second image is another one of the class that was just shown.
        label, probability = _stack(seeds, "next_label"), _stack(seeds, "next_probability")
        exposures.append(("next_image", label[..., 1::2], probability[..., 1::2, :], True))
        for kind, label, probability, mask in exposures:
            right = np.take_along_axis(probability, label[..., None], axis=-1)[..., 0]
            hit = probability.argmax(-1) == label
            for what, value in (("probability", right), ("accuracy", hit)):
                yield learner, f"{kind}_{what}", np.asarray(value.mean(axis=-1, where=mask, dtype=np.float64))


def introspection(tables: Tables, profile: Profile) -> Results:
    """All that the top of this file says, but for `associations`."""
    found: Results = {}
    task = profile.introspected
    for experiment in experiments(tables, "introspect"):
        for learner, seeds in of_learners(tables, experiment):
            found |= {Key(task, learner, *metric): summary(values) for metric, values in exposures(seeds).items()}
            # Means over moments whose change has a direction; `clear` is their share. Episodes without do not count.
            cosine = _stack(seeds, "cosine")
            quarter = max(1, cosine.shape[-1] // 4)
            for metric, part in zip(COSINES, (cosine, cosine[..., :quarter], cosine[..., -quarter:]), strict=True):
                clear = np.isfinite(part)
                some = clear.any(-1)
                if some.any():
                    means = part.sum(-1, where=clear, dtype=np.float64)[some] / clear.sum(-1)[some]
                    shaped = means.reshape(len(part), -1) if some.all() else means[None]
                    found[Key(task, learner, metric)] = summary(shaped) | {"clear": float(clear.mean())}
        found |= {Key(task, name, metric): entry for name, metric, entry in _channels(tables, experiment)}
    return found


def gains(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed age episode gap query"]:
    """What one exposure adds to the probability of the right class, against the same episode without it."""
    query_probability = _stack(seeds, "query_probability")
    return query_probability[:, :, :, RIGHT_LABEL, :, :, RIGHT] - query_probability[:, :, :, NO_LABEL, :, :, RIGHT]


def wrong_gained(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed age episode gap query"]:
    """What one wrong label adds to the probability of the wrong class."""
    query_probability = _stack(seeds, "query_probability")
    return query_probability[:, :, :, WRONG_LABEL, :, :, WRONG] - query_probability[:, :, :, NO_LABEL, :, :, WRONG]


def wrong_lost(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed age episode gap query"]:
    """What the wrong label instead of the right one does to the probability of the right class."""
    query_probability = _stack(seeds, "query_probability")
    return query_probability[:, :, :, WRONG_LABEL, :, :, RIGHT] - query_probability[:, :, :, RIGHT_LABEL, :, :, RIGHT]


def accuracy_lost(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed episode way reset"]:
    """Accuracy on the queries after an episode, less that after a reset of channels."""
    return _stack(seeds, "intact_accuracy")[:, :, None, None] - _stack(seeds, "reset_accuracy")


def when(age: int) -> str:
    """The age of a learner in words."""
    return "at the start" if age == 0 else f"after {age:,} example{'s' * (age > 1)}"


def exposures(seeds: list[dict[str, Any]]) -> dict[tuple[str, int], Float[np.ndarray, "seed episode"]]:
    """What one exposure does, by metric and age."""
    gain, gained_wrong, lost = gains(seeds), wrong_gained(seeds), wrong_lost(seeds)
    last = gain.shape[3] - 1
    found = {}
    for a, age in enumerate(seeds[0]["age"].tolist()):
        for p, query in enumerate(QUERIES):
            found[f"gain_{query}", age] = gain[:, a, :, 0, p]
            for gap in (*(later for later in LATER if later < last), last):
                found[f"gain_{query}_after_{gap}", age] = gain[:, a, :, gap, p]
            found[f"wrong_gained_{query}", age] = gained_wrong[:, a, :, 0, p]
            found[f"wrong_lost_{query}", age] = lost[:, a, :, 0, p]
        same, _, stranger = np.moveaxis(_stack(seeds, "query_probability")[:, a, :, WRONG_LABEL, 0, :, WRONG], -1, 0)
        found["told_apart", age] = (np.sign(same - stranger) + 1) / 2  # a draw is a half
        found["gain_own", age] = found["gain_same", age] - found["gain_stranger", age]
    return found


def _channels(tables: Tables, experiment: str) -> Iterator[tuple[str, str, Entry]]:
    """Learner, metric and number: of groups over all seeds, of single channels seed by seed, which numbers its own.

    None of a learner that is not one dense layer of cells: it has no channels that could be looked at.
    """
    seeds = {seed: table.arrays for seed, table in by_seed(tables, "introspect", experiment).items()}
    if any("follows" not in arrays for arrays in seeds.values()):
        return
    for name, own in {experiment: [*seeds.values()], **{f"{experiment}-{s}": [seeds[s]] for s in seeds}}.items():
        lost = accuracy_lost(own)
        yield name, "intact_accuracy", summary(_stack(own, "intact_accuracy"))
        for w, way in enumerate(own[0]["way"].tolist()):
            for r, reset in enumerate(own[0]["reset"].tolist()):
                if (name != experiment) == bool(SINGLE.fullmatch(reset)):
                    yield name, f"lost_{reset}_{way}", summary(lost[:, :, w, r])
    for seed, arrays in seeds.items():
        follows, followed = arrays["follows"], arrays["followed"].tolist()
        for f, k, channel in np.ndindex(follows.shape[1:]):
            metric = f"follows_{followed[f]}_{KINDS[k]}_{channel}"
            yield f"{experiment}-{seed}", metric, summary(follows[None, :, f, k, channel])


def _stack(seeds: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.stack([np.asarray(arrays[name]) for arrays in seeds])
