"""Writes results and verdicts on the papers' claims as JSON, and the report: one page that needs no other file."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import jinja2

from pipeline import (
    bootstrap,
    claims,
    cloning,
    comparison,
    feedback,
    figures,
    generality,
    introspection,
    lives,
    params,
    paths,
    provenance,
    recall,
    shipped,
    unification,
)
from pipeline.artifacts import read_rule, sha256_file, write_json, write_text
from pipeline.effects import Made
from pipeline.flow import STAGES, Flow
from pipeline.params import Items, Params, digest
from pipeline.results import (
    RULE,
    Profile,
    Results,
    Tables,
    at_paper_rates,
    by_seed,
    final_loss,
    guessing,
    in_order,
    results,
    settings,
    tasks,
)

TABLES = (
    "test_data/*.npz",
    "meta_train/*/curve.npz",
    "meta_test/*.npz",
    "baseline/*.npz",
    "introspect/*.npz",
    "unify/*.npz",
    "clone_test/*.npz",
    "zoo_test/*.npz",
    "recall_test/*.npz",
    "feedback_test/*.npz",
)
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


def main(item: list[str]) -> None:
    own = params.read()
    items, profile = own.items, Profile.of(own)
    tables = figures.read(TABLES, items)
    found = results(tables, profile) | generality.generality(tables, profile)
    found |= introspection.introspection(tables, profile) | unification.unification(tables) | cloning.cloning(tables)
    found |= shipped.shipped(tables, profile) | recall.recall(tables) | feedback.feedback(tables)
    write_json(paths.report("results.json"), found)
    judged = claims.judge(claims.read(), Made(tables, profile, comparison.early(found), own.improve.set))
    verdicts = {"level": bootstrap.LEVEL, "counts": claims.counts(judged), "claims": judged}
    write_json(paths.report("claims.json"), verdicts)
    loader = jinja2.FileSystemLoader(paths.ROOT / "pipeline")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plus_minus": comparison.plus_minus, "signed": generality.signed}
    environment.filters |= {"interval": claims.words_of_interval, "expected": claims.words_of_expected}
    page = environment.get_template("page.html").render(
        stamp=_stamp(own, tables),
        trained_on=_trained_on(profile),
        introspected=comparison.title(profile.introspected),
        verdicts=generality.verdicts(found),
        headline=_headline(found),
        figures=list(_figures(own, found, judged)),
        claims=list(_claims(judged, items)),
        tally=claims.counts(judged),
        marks=claims.MARKS,
        level=bootstrap.LEVEL,
        least_seeds=claims.SEEDS,
        parameters=json.dumps(_drawn(own).params, indent=1, ensure_ascii=False),
        accuracies=list(_accuracies(found, tables, profile, items)),
        one_shot=list(_one_shot(found, tables, profile)),
        robustness=list(_robustness(found, tables)),
        varying_data=_varying_data(found, profile),
        associations=list(_associations(found, profile, items)),
        introspection=_introspection(found, profile, own),
        lives=lives.lives(tables) if RULE in items.introspect else None,
        learned=list(_learned(items, tables)),
        unification={"rows": list(unification.rows(found)), "matrix": unification.words_of_matrix(found)},
        shipped=shipped.table(found, tables, profile),
        cloning={
            "rows": list(cloning.rows(found, tables)),
            "terms": list(cloning.TERMS.values()),
            "rate": own.clone.rate,
            "improvement": list(cloning.improvement(found, tables)),
            "improved_on": comparison.title(own.improve.set),
            "improved_by": own.improve.steps,
            "early": min(cloning.LOOKED_AT, own.clone_test.stretches * own.clone_test.length),
        },
        recall=recall.page(found, tables) if items.recall else None,
        feedback=feedback.page(found, tables, own.of_feedback.tests.lives) if items.feedback else None,
    )
    write_text(paths.report("index.html"), page)


def _stamp(own: Params, tables: Tables) -> str:
    drawn = [paths.ARTIFACTS / name for name in tables] + [paths.figure(name) for name in own.items.figures]
    return provenance.stamp("report", (), own, drawn)


def _trained_on(profile: Profile) -> str:
    return " and ".join(comparison.title(name) for name in profile.trained_on[RULE])


def _headline(found: Results) -> dict[str, Any]:
    """How all fare on the first task of the main experiment, which is that of its meta-training if it was tested."""
    task = comparison.tasks(found)[0]
    families = {moment: comparison.best(found, task, moment) for moment in comparison.moments(found)}
    return {
        "task": comparison.title(task),
        "families": {moment: family for moment, family in families.items() if family},
        "length": comparison.length(found, task),
    }


def _claims(judged: list[dict[str, Any]], items: Items) -> Iterator[dict[str, Any]]:
    """As judged, with the numbers of the figures that show them, and their place in claims.yaml."""
    for number, claim in enumerate(judged):
        drawn = [
            {"name": name, "number": items.figures.index(name) + 1}
            for name in claim["figures"]
            if name in items.figures
        ]
        yield claim | {"number": number, "drawn": drawn}


def _drawn(own: Params) -> Flow:
    """What all figures depend on."""
    return STAGES["figure"](own, own.items.figures[0])


def _figures(own: Params, found: Results, judged: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each figure with its words, the claims that it shows, and all that is needed to draw it again.

    No clock, no commit and no run: the same tables give the same page.
    """
    profile = Profile.of(own)
    seeds = len(own.items.seeds)
    words = {
        "seeds": _counted(seeds, "meta-seed"),
        "lives": own.tests.lives,
        "length": f"{own.tests.length:,}",
        "looks": own.introspect.lives,
        "tasks": len(comparison.tasks(found)),
        "early": comparison.when(comparison.early(found)),
        "trained_on": _trained_on(profile),
        "introspected": comparison.title(profile.introspected),
        "clones": _counted(len(own.items.clones), "clone"),
        "improved_on": comparison.title(own.improve.set),
        "clone_lives": own.clone_test.lives,
        "clone_probes": own.clone_test.probes,
        "recall_seeds": _counted(len(own.items.recall_seeds), "meta-seed"),
    }
    if own.items.recall:
        first = own.of_recall.experiments[own.items.recall[0]]
        words |= {"recall_bits": own.of_recall.size, "recall_middle": recall.middle(first.training.horizons)}
    if own.items.feedback:
        words["taught"] = own.of_feedback.tests.lives
        words["feedback_seeds"] = _counted(len(own.items.feedback_seeds), "meta-seed")
    digest_of_params = digest(_drawn(own).params)
    for name in own.items.figures:
        module, path = figures.module(name, own.items), paths.figure(name)
        png, code = path.read_bytes(), f"pipeline/figures/{name}.py"
        width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
        title, _, caption = module.CAPTION.format(**words).partition(". ")
        tables = [paths.ARTIFACTS / table for table in figures.needed(module.NEEDS, own.items)]
        yield {
            "name": name,
            "title": title,
            "alt": module.ALT.format(**words),
            "caption": caption,
            "claims": claims.of_figure(judged, name),
            "png": base64.b64encode(png).decode(),
            "width": width * 3 // 4,  # so that all have letters of one size, sharp on fine screens
            "height": height * 3 // 4,
            "run": f"dvc repro --single-item --force figure@{name}",
            "search": f"tags.stage = 'figure' and tags.figure = '{name}' and tags.params_digest = '{digest_of_params}'",
            "params": digest_of_params,
            "code": {"name": code, "sha256": sha256_file(paths.ROOT / code)},
            "sha256": sha256_file(path),
            "tables": [{"name": table.as_posix(), "sha256": sha256_file(table)} for table in tables],
        }


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def _accuracies(found: Results, tables: Tables, profile: Profile, items: Items) -> Iterator[dict[str, Any]]:
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


def _one_shot(found: Results, tables: Tables, profile: Profile) -> Iterator[dict[str, Any]]:
    for name, entry in found.items():
        task, learner, metric = name.split("/")
        if metric == "one_shot":
            guess = guessing(tables, profile.tasks[task])
            yield {"task": comparison.title(task), "learner": _name(learner), "guessing": guess, "accuracy": entry}


def _robustness(found: Results, tables: Tables) -> Iterator[dict[str, Any]]:
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


def _varying_data(found: Results, profile: Profile) -> dict[str, Any]:
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


def _associations(found: Results, profile: Profile, items: Items) -> Iterator[dict[str, Any]]:
    for learner in (*items.introspect, "sgd", "sgd_paper", "adam", "adam_paper"):
        for kind, words in SIGHTINGS.items():
            name = f"{profile.introspected}/{learner}/{kind}"
            if f"{name}_probability" in found:
                probability, accuracy = (found[f"{name}_{what}"] for what in ("probability", "accuracy"))
                yield {"learner": _name(learner), "kind": words, "probability": probability, "accuracy": accuracy}


def _introspection(found: Results, profile: Profile, own: Params) -> dict[str, Any]:
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


def _learned(items: Items, tables: Tables) -> Iterator[dict[str, Any]]:
    """What meta-training made, from the rules themselves."""
    for experiment in items.experiments:
        for seed, curve in by_seed(tables, "meta_train", experiment).items():
            rule = read_rule(paths.rule(experiment, seed))
            yield {
                "experiment": experiment,
                "seed": seed,
                "numbers": _size(rule.theta),
                "learner": rule.learner,
                "provenance": rule.provenance,
                "loss": final_loss(curve),
                "skipped": int(curve.arrays["skipped"].sum()),
            }


def _size(theta: dict[str, Any]) -> int:
    return sum(_size(part) if isinstance(part, dict) else part.size for part in theta.values())


def _name(learner: str) -> str:
    return comparison.NAMES.get(learner, learner)
