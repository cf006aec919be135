"""How general a learned rule is: the paper's figures 7 (changed tasks) and 8 (changed data sets), in numbers and words.

`generality` gives, besides what `results` of measures.py does,

  TASK/EXPERIMENT/difference          mean accuracy on a changed task less that on the unchanged one of its set
  varying_data/METHOD/seen, unseen    mean accuracy on sets that meta-training drew from, and on all others
  varying_data/METHOD/gap             seen less unseen

over whole episodes, each with n, the number of meta-seeds, and sd, that over the seeds' own values; within says if a
difference is at most 0.05 either way, cells how many pairs of mix and task a mean is over: those that all methods have.
Seen and unseen sets differ in difficulty too. How much, SGD tells, which is meta-trained on nothing: it has a gap over
the same pairs, and what a method's gap exceeds it by is over-fitting to the sets of meta-training.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from pipeline.show.looks import called
from pipeline.show.measures import Key, Results, sd
from pipeline.studies.learning.measures import lives
from pipeline.studies.learning.ranking import TITLES, accuracy, title, verdict, verdict_at_paper_rates
from pipeline.studies.learning.tables import (
    RULE,
    Profile,
    Tables,
    baselines,
    experiments,
    settings,
    tasks,
    without_settings,
)

VARYING = "varying_data"  # the subject of means over data sets
ROBUST = "robust"  # the experiment of figure 7; where there is none, it is the main one
METHODS = (RULE, "meta_rnn", "fast_memory", "hebbian")  # the experiments of figure 8 are `<method>_on_<mix>`
UNTRAINED = "sgd"
MEANS = ("seen", "unseen", "gap")
CHANGES = {
    "unchanged": "unchanged",
    "classes": "five classes",
    "48px": "48\u00d748 pixels",
    "21px": "21\u00d721 pixels",
    "projected": "random projection",
    "shuffled": "shuffled pixels",
}
TOLERANCE = 0.05  # of accuracy: what still counts as comparable


def generality(tables: Tables, profile: Profile) -> Results:
    found = {Key(task, robust(tables), "difference"): entry for task, entry in differences(tables).items()}
    for learner, values in over_fitting(tables, profile).items():
        found |= {Key(VARYING, learner, metric): entry for metric, entry in values.items()}
    return found


def robust(tables: Tables) -> str:
    """The experiment of figure 7."""
    return ROBUST if ROBUST in experiments(tables) else RULE


def changed_tasks(tables: Tables) -> dict[str, dict[str, str]]:
    """By set and setting, the tasks of figure 7 that its experiment was tested on; none without that experiment."""
    experiment = robust(tables)
    return settings(tasks(tables, experiment)) if experiment in experiments(tables) else {}


def differences(tables: Tables, moment: int | None = None) -> dict[str, dict]:
    """By changed task, how much better the rule of figure 7 does on it than on the unchanged one of its set.

    Over the first `moment` examples, or as many as the shorter of the two episodes has.
    """
    experiment, found = robust(tables), {}
    for of_setting in changed_tasks(tables).values():
        first, *others = of_setting.values()
        reference = lives(tables, first, experiment).correct
        for task in others:
            changed = lives(tables, task, experiment).correct
            end = min(moment or changed.shape[-1], changed.shape[-1], reference.shape[-1])
            values = _by_seed(changed[..., :end]) - _by_seed(reference[..., :end])
            within = abs(float(values.mean())) <= TOLERANCE + 1e-9  # 0.85 - 0.8 is a little more than 0.05
            found[task] = _over_seeds(values) | {"within": within}
    return found


def by_method(trained_on: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """By method and mix, the names of the experiments of figure 8: single sets first, then all, then all but one.

    The main experiment is VSML on its set where no other is.
    """
    named = {name: name for name in trained_on if name.partition("_on_")[0] in METHODS and "_on_" in name}
    if named and len(sets := trained_on.get(RULE, ())) == 1:
        named.setdefault(f"{RULE}_on_{sets[0]}", RULE)
    found: dict[str, dict[str, str]] = {method: {} for method in METHODS}
    for name in sorted(named, key=lambda name: ("_on_all_but_" in name, name.endswith("_on_all"), name)):
        method, _, mix = name.partition("_on_")
        found[method][mix] = named[name]
    return {method: of_mix for method, of_mix in found.items() if of_mix}


def mix_title(mix: str) -> str:
    base = mix.removeprefix("all_but_")
    return title(mix) if base == mix else f"All but {title(base) if base in TITLES else title(base).lower()}"


def over_fitting(tables: Tables, profile: Profile) -> dict[str, dict[str, dict]]:
    """By learner, its accuracy on seen and on unseen sets, and the gap between the two; see the top of the file."""
    methods = by_method(profile.trained_on)
    if not methods:
        return {}
    tested = {method: _tested(tables, of_mix) for method, of_mix in methods.items()}
    cells = sorted(set.intersection(*tested.values()))
    found = {}
    for method, of_mix in methods.items():
        seen = [profile.seen(task, of_mix[mix]) for mix, task in cells]
        found[method] = _seen_and_unseen(seen, [_by_seed(lives(tables, t, of_mix[mix]).correct) for mix, t in cells])
    if UNTRAINED in baselines(tables) and {task for _, task in cells} <= set(tasks(tables, UNTRAINED)):
        of_mix = next(iter(methods.values()))
        seen = [profile.seen(task, of_mix[mix]) for mix, task in cells]
        found[UNTRAINED] = _seen_and_unseen(seen, [_by_seed(lives(tables, t, UNTRAINED).correct) for _, t in cells])
    return found


def verdicts(results: Results) -> list[str]:
    """All that the numbers say in words, a paragraph each."""
    every = (verdict, verdict_at_paper_rates, verdict_robust, verdict_varying)
    return [words for one in every if (words := one(results))]


def verdict_robust(results: Results) -> str:
    """For each set, on how many changed tasks the rule does as on the unchanged one; then the paper's claim."""
    found = {key.subject: entry for key, entry in results.items() if key.metric == "difference"}
    experiment = next((key.learner for key in results if key.metric == "difference"), ROBUST)
    sentences = []
    for base, of_setting in settings(key.subject for key in results).items():
        reference = accuracy(results, of_setting["unchanged"], experiment, None)
        entries = {CHANGES[key]: found[task] for key, task in of_setting.items() if task in found}
        if reference is None or not entries:
            continue
        far = [f"{name} ({signed(entry['value'], 3)})" for name, entry in entries.items() if not entry["within"]]
        sentences.append(
            f"{title(base)}: within {TOLERANCE} of the reference ({reference['value']:.3f}) on "
            f"{len(entries) - len(far)} of {len(entries)} settings" + (f"; not on {', '.join(far)}." if far else ".")
        )
    if not sentences:
        return ""
    if all(entry["within"] for entry in found.values()):
        claim = "is reproduced here."
    elif all(entry["within"] or entry["value"] > 0 for entry in found.values()):
        claim = "is reproduced here in that none is worse by more."
    else:
        claim = "is not reproduced here."
    head = "Changed tasks, at the end of the life:"
    return " ".join([head, *sentences, f"The paper\u2019s claim, that all changed tasks fare comparably, {claim}"])


def verdict_varying(results: Results) -> str:
    """What each method reaches on seen and on unseen sets; then the paper's claim about who over-fits."""
    values = {
        learner: {what: results[Key(VARYING, learner, what)]["value"] for what in MEANS}
        for learner in (*METHODS, UNTRAINED)
        if Key(VARYING, learner, "gap") in results
    }
    methods = [learner for learner in values if learner in METHODS]
    if not methods:
        return ""
    parts = [
        f"{called(learner)} {value['seen']:.2f} and {value['unseen']:.2f} (gap {signed(value['gap'])})"
        for learner, value in values.items()
    ]
    head = "Mean cumulative accuracy at the end of the life, on sets of meta-training and on others:"
    words = [f"{head} {', '.join(parts)}."]
    if UNTRAINED in values:
        words.append("SGD is meta-trained on nothing: its gap is what the sets differ in difficulty.")
    if {"vsml", "meta_rnn"} <= set(methods):
        largest, ahead = (max(methods, key=lambda method: values[method][what]) for what in ("gap", "unseen"))
        holds = "holds" if (largest, ahead) == ("meta_rnn", "vsml") else "does not hold"
        words.append(
            f"The largest gap is that of {called(largest)}, the best on other sets is {called(ahead)}: the "
            f"paper\u2019s claim, that the meta RNN over-fits most and VSML generalises best, {holds} here."
        )
    return " ".join(words)


def signed(value: float, digits: int = 2) -> str:
    """With a true minus; a value that rounds to nothing has no sign."""
    nothing = f"{0:.{digits}f}"
    return nothing if f"{abs(value):.{digits}f}" == nothing else f"{value:+.{digits}f}".replace("-", "\u2212")


def _tested(tables: Tables, of_mix: Mapping[str, str]) -> set[tuple[str, str]]:
    """The cells of one method: its mixes, and the tasks of each."""
    return {(mix, task) for mix, name in of_mix.items() for task in without_settings(tasks(tables, name))}


def _by_seed(correct: Bool[np.ndarray, "seed life time"]) -> Float[np.ndarray, " seed"]:
    return correct.mean(axis=(1, 2))


def _over_seeds(values: Float[np.ndarray, " seed"]) -> dict:
    spread = float(sd(values)) if len(values) > 1 else None  # JSON has no nan
    return {"value": float(values.mean()), "sd": spread, "n": len(values)}


def _seen_and_unseen(seen: list[bool], values: list[Float[np.ndarray, " seed"]]) -> dict[str, dict]:
    """Means over the cells that are seen and over those that are not, if there are any, and what lies between."""
    found, means = {}, {}
    for what, wanted in (("seen", True), ("unseen", False)):
        own = [value for known, value in zip(seen, values, strict=True) if known is wanted]
        if own:
            means[what] = np.mean(own, axis=0)
            found[what] = _over_seeds(means[what]) | {"cells": len(own)}
    if len(means) == 2:
        found["gap"] = _over_seeds(means["seen"] - means["unseen"]) | {"cells": len(values)}
    return found
