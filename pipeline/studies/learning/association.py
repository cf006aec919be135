"""What introspection found, in numbers and words: one exposure, a wrong label, gradient steps, channels of the state.

`introspection` gives, besides what `results` of measures.py does, of a set and a learner and each with n and sd
over episodes (AGE: examples before; PROBE: the same image, another one of its class, a stranger of another class)

  gain_PROBE@AGE              rise of the probability of the right class by one exposure, as against none
  gain_own@AGE                gain_same less gain_stranger: what is tied to the image, and not said of everything
  gain_PROBE_after_GAP@AGE    what of the gain is left when so many further examples have been seen
  gain_…_less_BASELINE@AGE    gain of VSML less that of the baseline in the very same episode; lives: how many differ
  wrong_believed_PROBE@AGE    rise of the probability of a wrong label that was shown once
  wrong_lost_PROBE@AGE        the right class after the wrong label, less that after the right one (negative: lost)
  cosine, cosine_first, _last between a step's change of the function and a gradient step's; of all and of quarters
  lost_RESET_WAY              accuracy lost by resetting channels of the state after an episode
  follows_WHAT_KIND_CHANNEL   |correlation| of a channel's change in a step with input, error and their product

Numbers of single channels are under `SET/EXPERIMENT-SEED/…`: channel 3 of one seed is not channel 3 of another.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.show.looks import LOOKS
from pipeline.show.measures import Entry, Key, Results, summary
from pipeline.studies.learning.ranking import plus_minus
from pipeline.studies.learning.tables import RULE, Profile, Tables, by_seed, experiments

BASELINES = ("sgd", "sgd_paper", "adam", "adam_paper")
# Axes of the array `belief`, which holds probabilities.
PROBES = ("same", "other", "stranger")
NOTHING, TOLD_RIGHT, TOLD_WRONG = range(3)
RIGHT, WRONG = range(2)
KINDS = ("hidden", "memory")
SINGLE = re.compile(r"(hidden|memory)_\d+")  # a reset of one channel; others are of groups
LATER = (1, 5)  # examples after which a gain is reported; the last that was measured is one more
COSINES = ("cosine", "cosine_first", "cosine_last")
RIVALS = {name: LOOKS[name].words for name in ("sgd", "sgd_paper")}
SIGNS = {1: "larger", -1: "smaller", 0: "not clearly different"}
CLEAR = 2.0  # standard errors


def introspection(tables: Tables, profile: Profile) -> Results:
    found: Results = {}
    for experiment in experiments(tables, "introspect"):
        task = profile.introspected
        for learner, seeds in of_learners(tables, experiment):
            own = _of_learner(seeds)
            found |= {Key(task, learner, *metric): summary(values) for metric, values in own.items()}
            found |= {Key(task, learner, metric): entry for metric, entry in _cosines(seeds)}
        for metric, values in _leads(tables, experiment):
            found[Key(task, experiment, *metric)] = summary(values) | {"lives": values.shape[1]}
        found |= {Key(task, name, metric): entry for name, metric, entry in _channels(tables, experiment)}
    return found


def of_learners(tables: Tables, experiment: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Of each learner, its part of the tables of all seeds; of a baseline, which has no meta-seed, the first's only."""
    seeds = [table.arrays for table in by_seed(tables, "introspect", experiment).values()]
    per_learner = ("belief", "cosine", "change")
    for index, learner in enumerate(seeds[0]["learner"].tolist()):
        own = seeds if learner == experiment else seeds[:1]
        yield learner, [arrays | {name: arrays[name][index] for name in per_learner} for arrays in own]


def gains(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed age life gap probe"]:
    """What one exposure adds to the probability of the right class, against the same episode without it."""
    belief = _stack(seeds, "belief")
    return belief[:, :, :, TOLD_RIGHT, :, :, RIGHT] - belief[:, :, :, NOTHING, :, :, RIGHT]


def wrong_believed(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed age life gap probe"]:
    """What one wrong label adds to the probability of the wrong class."""
    belief = _stack(seeds, "belief")
    return belief[:, :, :, TOLD_WRONG, :, :, WRONG] - belief[:, :, :, NOTHING, :, :, WRONG]


def wrong_lost(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed age life gap probe"]:
    """What the wrong label instead of the right one does to the probability of the right class."""
    belief = _stack(seeds, "belief")
    return belief[:, :, :, TOLD_WRONG, :, :, RIGHT] - belief[:, :, :, TOLD_RIGHT, :, :, RIGHT]


def accuracy_lost(seeds: list[dict[str, Any]]) -> Float[np.ndarray, "seed life way reset"]:
    """Accuracy on the probes after an episode, less that after a reset of channels."""
    return _stack(seeds, "intact_accuracy")[:, :, None, None] - _stack(seeds, "reset_accuracy")


def has_channels(tables: Tables, experiment: str = RULE) -> bool:
    """Whether the learner of the experiment has channels that could be looked at: one dense layer of cells."""
    return "follows" in next(iter(by_seed(tables, "introspect", experiment).values())).arrays


def verdict(found: Results, profile: Profile) -> str:
    """One sentence on the paper's claim of fast association, both ways: by what is tied to the image itself."""
    task = profile.introspected
    clauses = []
    for baseline, rival in RIVALS.items():
        leads = {age: found[Key(task, RULE, f"gain_own_less_{baseline}", age)] for age in ages(found, profile)}
        by_sign = {sign: [when(age) for age in leads if _sign(leads[age]) == sign] for sign in SIGNS}
        parts = [f"{SIGNS[sign]} {_listed(whens)}" for sign, whens in by_sign.items() if whens]
        clauses.append(f"that of {rival} it is {', '.join(parts)}")
    return (
        "What one sighting adds to the right class of that image, less what it adds there to images of other "
        f"classes, is VSML\u2019s fast association. Against {'; against '.join(clauses)}."
    )


def details(found: Results, profile: Profile) -> list[str]:
    """The numbers behind the verdict, a sentence or two for each age."""
    return [_at_age(found, profile.introspected, age) for age in ages(found, profile)]


def ages(found: Results, profile: Profile) -> list[int]:
    """How many examples VSML had seen before it was looked at."""
    own = (profile.introspected, RULE, "gain_own")
    return [key.at for key in found if key[:3] == own and key.at is not None]


def when(age: int) -> str:
    return "at birth" if age == 0 else f"after {age:,} example{'s' * (age > 1)}"


def _at_age(found: Results, task: str, age: int) -> str:
    clauses = []
    for what in ("same", "own"):
        gain = {name: plus_minus(found[Key(task, name, f"gain_{what}", age)]) for name in (RULE, *RIVALS)}
        by = ", ".join(f"{value} ({LOOKS[name].name})" for name, value in gain.items())
        leads = {rival: found[Key(task, RULE, f"gain_{what}_less_{name}", age)] for name, rival in RIVALS.items()}
        words = " and ".join(f"{_than(lead)} that of {rival} ({_far(lead)})" for rival, lead in leads.items())
        clauses.append(f"{by}; VSML\u2019s is {words}")
    first, own = clauses
    return (
        f"{when(age).capitalize()}, one sighting adds to the probability of the right class of that image {first}. "
        f"Less what it adds to images of other classes: {own}."
    )


def _sign(lead: dict[str, Any]) -> int:
    """Of a lead of VSML; 0 if it is within so many standard errors, or of one episode.

    Seeds share the episodes of the baselines, so an episode counts once, whatever the number of seeds.
    """
    clear = lead["lives"] > 1 and abs(lead["value"]) > CLEAR * lead["sd"] / lead["lives"] ** 0.5
    return int(np.sign(lead["value"])) if clear else 0


def _than(lead: dict[str, Any]) -> str:
    return {1: "larger than", -1: "smaller than", 0: "not clearly different from"}[_sign(lead)]


def _far(lead: dict[str, Any]) -> str:
    """How far, in standard deviations over episodes of the difference in the very same episode."""
    return f"by {abs(lead['value']):.2f}" + (f", {abs(lead['value']) / lead['sd']:.1f} sd" if lead["sd"] else "")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _of_learner(seeds: list[dict[str, Any]]) -> dict[tuple[str, int], Float[np.ndarray, "seed life"]]:
    """By metric and age."""
    ages = seeds[0]["age"].tolist()
    gain, believed, lost = gains(seeds), wrong_believed(seeds), wrong_lost(seeds)
    gaps = gain.shape[3]
    found = {}
    for a, age in enumerate(ages):
        for p, probe in enumerate(PROBES):
            found[f"gain_{probe}", age] = gain[:, a, :, 0, p]
            for gap in (*(later for later in LATER if later < gaps - 1), gaps - 1):
                found[f"gain_{probe}_after_{gap}", age] = gain[:, a, :, gap, p]
            found[f"wrong_believed_{probe}", age] = believed[:, a, :, 0, p]
            found[f"wrong_lost_{probe}", age] = lost[:, a, :, 0, p]
        found["gain_own", age] = gain[:, a, :, 0, 0] - gain[:, a, :, 0, 2]
    return found


def _cosines(seeds: list[dict[str, Any]]) -> Iterator[tuple[str, Entry]]:
    """Means over moments whose change has a direction; `clear` is their share; episodes without any do not count."""
    cosine = _stack(seeds, "cosine")
    quarter = max(1, cosine.shape[-1] // 4)
    for name, part in zip(COSINES, (cosine, cosine[..., :quarter], cosine[..., -quarter:]), strict=True):
        clear = np.isfinite(part)
        some = clear.any(-1)
        if some.any():
            means = part.sum(-1, where=clear, dtype=np.float64)[some] / clear.sum(-1)[some]
            shaped = means.reshape(len(part), -1) if some.all() else means[None]
            yield name, summary(shaped) | {"clear": float(clear.mean())}


def _leads(tables: Tables, experiment: str) -> Iterator[tuple[tuple[str, int], Float[np.ndarray, "seed life"]]]:
    """By metric and age; episode by episode, since all learners have the same."""
    every = dict(of_learners(tables, experiment))
    own = _of_learner(every[experiment])
    for baseline in (name for name in BASELINES if name in every):
        theirs = _of_learner(every[baseline])
        for what, age in own:
            if what in ("gain_same", "gain_other", "gain_own"):
                yield (f"{what}_less_{baseline}", age), own[what, age] - theirs[what, age]


def _channels(tables: Tables, experiment: str) -> Iterator[tuple[str, str, Entry]]:
    """Learner, metric and number: of groups over all seeds, of single channels seed by seed, which numbers its own."""
    if not has_channels(tables, experiment):
        return
    seeds = {seed: table.arrays for seed, table in by_seed(tables, "introspect", experiment).items()}
    for name, own in {experiment: [*seeds.values()], **{f"{experiment}-{s}": [seeds[s]] for s in seeds}}.items():
        lost = accuracy_lost(own)
        yield name, "intact_accuracy", summary(_stack(own, "intact_accuracy"))
        for w, way in enumerate(own[0]["way"].tolist()):
            for r, reset in enumerate(own[0]["reset"].tolist()):
                if (name != experiment) == bool(SINGLE.fullmatch(reset)):
                    yield name, f"lost_{reset}_{way}", summary(lost[:, :, w, r])
    for seed, arrays in seeds.items():
        follows = arrays["follows"]
        for f, what in enumerate(arrays["followed"].tolist()):
            for k, kind in enumerate(KINDS):
                for channel in range(follows.shape[-1]):
                    metric = f"follows_{what}_{kind}_{channel}"
                    yield f"{experiment}-{seed}", metric, summary(follows[None, :, f, k, channel])


def _stack(seeds: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.stack([np.asarray(arrays[name]) for arrays in seeds])
