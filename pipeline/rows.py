"""The tables of the report's page, row by row: from results to what the templates lay out."""

from collections.abc import Iterator
from typing import Any

from pipeline import comparison, generality, introspection, paths
from pipeline.artifacts import read_rule
from pipeline.params import Items, Params
from pipeline.results import Results, final_loss, guessing
from pipeline.tables import RULE, Profile, Tables, at_paper_rates, by_seed, in_order, settings, tasks

SIGHTINGS = {
    "first_sighting": "First image of a class",
    "second_image": "Second image of a class",
    "second_sighting": "Same image again",
    "next_image": "Another image of the class, right after the first",
}
GAINS = {
    "gain_same": "Same image",
    "gain_other": "Another image of the class",
    "gain_stranger": "Images of other classes",
    "gain_own": "Same less other classes",
}
GROUPS = {
    "hidden": "All hidden",
    "memory": "All memory",
    "memory_born_random": "Memory that is born random",
    "memory_born_zero": "Memory that is born zero",
}


def accuracies(found: Results, tables: Tables, profile: Profile, items: Items) -> Iterator[dict[str, Any]]:
    """One table for each moment: a row for each task whose lives are long enough, a column for each learner.

    The experiments of figures 7 and 8 have tables of their own.
    """
    names = comparison.tasks(found)
    mixed = [name for of_mix in generality.by_method(profile.trained_on).values() for name in of_mix.values()]
    own = [name for name in items.experiments if name == RULE or name not in (*mixed, generality.ROBUST)]
    learners = [
        name
        for name in (*own, *items.baselines, *at_paper_rates(tables))
        if any(comparison.accuracy(found, task, name, None) for task in names)
    ]
    for moment in comparison.moments(found):
        rows = []
        for task in names:
            cells = [comparison.accuracy(found, task, learner, moment) for learner in learners]
            values = [cell["value"] for cell in cells if cell is not None]
            if values:
                row = {
                    "title": comparison.title(task),
                    "kinship": comparison.kinship(found, task),
                    "length": moment or comparison.length(found, task),
                    "guessing": guessing(tables, profile.tasks[task]),
                    "cells": [cell and cell | {"best": cell["value"] == max(values)} for cell in cells],
                }
                rows.append(row)
        if rows:
            yield {
                "moment": comparison.when(moment),
                "learners": [_name(learner) for learner in learners],
                "rows": rows,
            }


def one_shot(found: Results, tables: Tables, profile: Profile) -> Iterator[dict[str, Any]]:
    for name, entry in found.items():
        task, learner, metric = name.split("/")
        if metric == "one_shot":
            guess = guessing(tables, profile.tasks[task])
            yield {"task": comparison.title(task), "learner": _name(learner), "guessing": guess, "accuracy": entry}


def robustness(found: Results, tables: Tables) -> Iterator[dict[str, Any]]:
    """A row for each set and setting of figure 7."""
    robust, early = generality.robust(tables), comparison.early(found)
    for base, of_setting in settings(tasks(tables, robust)).items():
        for setting, task in of_setting.items():
            yield {
                "set": comparison.title(base),
                "setting": generality.CHANGES[setting],
                "early": comparison.accuracy(found, task, robust, early),
                "early_when": comparison.when(early),
                "end": comparison.accuracy(found, task, robust, None),
                "difference": found.get(f"{task}/{robust}/difference"),
            }


def varying_data(found: Results, profile: Profile) -> dict[str, Any]:
    """A row for each experiment of figure 8, a column for each task; the means over seen and unseen sets."""
    methods = generality.by_method(profile.trained_on)
    names = [name for of_mix in methods.values() for name in of_mix.values()]
    columns = in_order((task for name in names for task in comparison.tasks(found, name)), ())
    rows = [
        {
            "method": _name(method),
            "mix": generality.mix_title(mix),
            "cells": [comparison.accuracy(found, task, name, None) for task in columns],
        }
        for method, of_mix in methods.items()
        for mix, name in of_mix.items()
    ]
    means = [
        {"name": _name(learner)} | {what: found.get(f"varying_data/{learner}/{what}") for what in generality.MEANS}
        for learner in (*methods, generality.UNTRAINED)
        if f"varying_data/{learner}/gap" in found
    ]
    return {"tasks": [comparison.title(task) for task in columns], "rows": rows, "means": means}


def associations(found: Results, profile: Profile, items: Items) -> Iterator[dict[str, Any]]:
    for learner in (*items.introspect, "sgd", "sgd_paper", "adam", "adam_paper"):
        for kind, words in SIGHTINGS.items():
            name = f"{profile.introspected}/{learner}/{kind}"
            if f"{name}_probability" in found:
                probability, accuracy = (found[f"{name}_{what}"] for what in ("probability", "accuracy"))
                yield {"learner": _name(learner), "kind": words, "probability": probability, "accuracy": accuracy}


def introspected(found: Results, profile: Profile, own: Params) -> dict[str, Any]:
    """The verdict on fast association, and the rows of its tables."""
    task, section = profile.introspected, own.introspect
    learners = (*own.items.introspect, *introspection.BASELINES)
    sighting = [
        {
            "learner": _name(learner),
            "age": age,
            "gains": [found[f"{task}/{learner}/{what}@{age}"] for what in GAINS],
            "later": found[f"{task}/{learner}/gain_same_after_{section.gaps}@{age}"],
            "believed": found[f"{task}/{learner}/wrong_believed_same@{age}"],
            "lost": found[f"{task}/{learner}/wrong_lost_same@{age}"],
        }
        for age in section.ages
        for learner in learners
        if f"{task}/{learner}/gain_own@{age}" in found
    ]
    cosines = [
        {"learner": _name(learner)} | {part: found.get(f"{task}/{learner}/{part}") for part in introspection.COSINES}
        for learner in learners
        if f"{task}/{learner}/cosine" in found
    ]
    channels = [
        {"group": words, "intact": found[f"{task}/{name}/intact_accuracy"]}
        | {way: found[f"{task}/{name}/lost_{group}_{way}"] for way in ("newborn", "mean")}
        for name in own.items.introspect
        if f"{task}/{name}/intact_accuracy" in found
        for group, words in GROUPS.items()
    ]
    return {
        "verdict": introspection.verdict(found, profile) if RULE in own.items.introspect else None,
        "details": introspection.details(found, profile),
        "gains": list(GAINS.values()),
        "gaps": section.gaps,
        "length": section.length,
        "sighting": sighting,
        "cosines": cosines,
        "channels": channels,
    }


def learned(items: Items, tables: Tables) -> Iterator[dict[str, Any]]:
    """What meta-training made, from the rules themselves."""
    for experiment in items.experiments:
        for seed, curve in by_seed(tables, "meta_train", experiment).items():
            rule = read_rule(paths.rule(experiment, seed))
            yield {
                "experiment": experiment,
                "seed": seed,
                "numbers": size(rule.theta),
                "learner": rule.learner,
                "provenance": rule.provenance,
                "loss": final_loss(curve),
                "skipped": int(curve.arrays["skipped"].sum()),
            }


def size(theta: dict[str, Any]) -> int:
    return sum(size(part) if isinstance(part, dict) else part.size for part in theta.values())


def _name(learner: str) -> str:
    return comparison.NAMES.get(learner, learner)
