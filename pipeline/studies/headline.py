"""The few numbers of an item and of a whole profile by which they are compared: metrics of MLflow, and those of DVC.

Whoever has a quantity has it under the same name: `digits/accuracy` of a rule and of SGD stand in one column. Means are
over all episodes; of a baseline's rates, the best in hindsight counts. Reads tables only.
"""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.run import paths
from pipeline.run.artifacts import read_table
from pipeline.show.measures import Results
from pipeline.studies.cloning.measures import CLONING, cloning
from pipeline.studies.feedback.measures import FEEDBACK, feedback
from pipeline.studies.learning import ranking
from pipeline.studies.learning.association import introspection
from pipeline.studies.learning.measures import FEATURES
from pipeline.studies.learning.tables import RULE, Profile, Tables
from pipeline.studies.recall.measures import RECALL, middle, recall
from pipeline.studies.unification.measures import UNIFICATION, unification

EARLY = 100  # examples after which accuracy is taken once more, in episodes that are longer
NAMES = {"learning": "deviation", "last": "accuracy_last"}  # of metrics that have another name among results


class Own(NamedTuple):
    """What a stage's table alone says, and which metrics of that are shown: of an item, and of a whole profile."""

    results: Callable[[Tables], Results]
    of_item: tuple[str, ...]
    subject: str = ""
    of_profile: tuple[str, ...] = ()


STAGES = {
    "introspect": Own(lambda tables: introspection(tables, Profile({}, {}, (), "")), ("gain_own", "cosine")),
    "clone_test": Own(cloning, ("clone", "improved", "sgd", "agreement"), CLONING, ("agreement", "improved")),
    "feedback_test": Own(
        feedback, ("accuracy", "mse", "initial", "interference", "forgetting"), FEEDBACK, ("accuracy", "mse")
    ),
    "recall_test": Own(recall, ("last",), RECALL, ("last",)),
    "unify": Own(unification, ("learning",), UNIFICATION, ("learning",)),
}


def of_item(stage: str, words: tuple[str, ...], profile: Path = Path()) -> dict[str, float]:
    """Of an item whose outs lie in a profile's folder; empty for a stage that measures nothing."""
    folder, item = profile / paths.ARTIFACTS, "-".join(words)
    if stage == "report":
        found = json.loads((profile / paths.report("metrics.json")).read_text(encoding="utf-8"))
        return {f"{section}/{name}": value for section, numbers in found.items() for name, value in numbers.items()}
    if stage in STAGES:
        place = f"{stage}/{item or 'unification'}.npz"
        return _shown(STAGES[stage].results({place: read_table(folder / place)}), STAGES[stage].of_item, words)
    if stage not in ("meta_test", "baseline", "zoo_test"):
        return {}
    accuracies = {}
    for name, correct in read_table(folder / stage / f"{item}.npz").arrays.items():
        *features, task = name.removesuffix("/correct").split("/")
        if name.endswith("/correct"):
            metric, length = f"{task}/accuracy{FEATURES if features else ''}", correct.shape[-1]
            accuracies[metric] = _short(correct.mean((-2, -1)).max())
            if length > EARLY and not features:
                accuracies[f"{metric}_{EARLY}"] = _short(correct[..., :EARLY].mean((-2, -1)).max())
    return accuracies


def of_profile(found: Results, tally: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Of a profile, from the numbers of its report and how many claims have each verdict."""
    every: dict[str, dict[str, float]] = {"claims": dict(tally), "accuracy": {}}
    for task in ranking.tasks(found):
        for who in (RULE, "sgd", "adam"):
            if entry := ranking.accuracy(found, task, who, None):
                every["accuracy"][f"{task}/{who}"] = _short(entry["value"])
    horizons = sorted({key.at for key in found if key.subject == RECALL and key.metric == "last" and key.at})
    for _, _, subject, metrics in STAGES.values():
        at = middle(horizons) if subject == RECALL and horizons else None
        own = {key: entry for key, entry in found.items() if key.subject == subject and key.at == at}
        every[subject] = _shown(own, metrics)
    if deviations := every[UNIFICATION].values():
        every[UNIFICATION] = {"deviation": max(deviations)}
    return {section: numbers for section, numbers in every.items() if numbers}


def _shown(found: Results, metrics: Collection[str], own: tuple[str, ...] = ()) -> dict[str, float]:
    """Some metrics of results, each as LEARNER/NAME_AT; a learner that the words of the item name is left out."""
    shown = {}
    for key, entry in found.items():
        if key.metric in metrics and key.horizon is None:
            learner, at = "" if key.learner in own else f"{key.learner}/", "" if key.at is None else f"_{key.at}"
            shown[f"{learner}{NAMES.get(key.metric, key.metric)}{at}"] = _short(entry["value"])
    return shown


def _short(value: float) -> float:
    """Without the last digits, in which processors differ and which only make columns wide."""
    return float(f"{value:.6g}")
