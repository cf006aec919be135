"""Writes the results as JSON, and the report: one HTML page that needs no other file."""

import base64
from collections.abc import Iterator
from typing import Any

import jinja2

from pipeline import comparison, figures, params, paths
from pipeline.artifacts import read_rule, write_json, write_text
from pipeline.params import Items
from pipeline.results import RULE, Results, Tables, at_paper_rates, by_seed, datasets, final_loss, guessing, results

TABLES = ("data/*.npz", "meta_train/*/curve.npz", "meta_test/*.npz", "baseline/*.npz", "introspect/*.npz")
SIGHTINGS = {
    "first_sighting": "First image of a class",
    "second_image": "Second image of a class",
    "second_sighting": "Same image again",
}


def main(item: list[str]) -> None:
    items = params.read().items
    tables = figures.read(TABLES, items)
    found = results(tables)
    write_json(paths.report("results.json"), found)
    loader = jinja2.FileSystemLoader(paths.ROOT / "pipeline")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plus_minus"] = comparison.plus_minus
    page = environment.get_template("page.html").render(
        verdict=comparison.verdict(found),
        verdict_at_paper_rates=comparison.verdict_at_paper_rates(found),
        headline=_headline(found),
        figures=list(_figures(items, tables)),
        accuracies=list(_accuracies(found, tables, items)),
        associations=list(_associations(found, items)),
        learned=list(_learned(items, tables)),
        items=items,
    )
    write_text(paths.report("index.html"), page)


def _headline(found: Results) -> dict[str, Any]:
    families = {moment: comparison.best(found, "digits", moment) for moment in comparison.MOMENTS}
    return {"families": {m: f for m, f in families.items() if f}, "length": comparison.length(found, "digits")}


def _figures(items: Items, tables: Tables) -> Iterator[dict[str, Any]]:
    lives = next(iter(by_seed(tables, "meta_test", RULE).values())).arrays
    numbers = {
        "seeds": len(items.seeds),
        "lives": len(lives["digits/correct"]),
        "length": max(lives[f"{name}/correct"].shape[-1] for name in datasets(tables)),
        "looks": len(next(iter(by_seed(tables, "introspect", RULE).values())).arrays["label"]),
    }
    for name in items.figures:
        module = figures.module(name, items)
        png = paths.figure(name).read_bytes()
        yield {
            "name": name,
            "alt": module.ALT,
            "caption": module.CAPTION.format(**numbers),
            "png": base64.b64encode(png).decode(),
            "width": int.from_bytes(png[16:20]) * 2 // 3,  # so that all have letters of one size, sharp on fine screens
        }


def _accuracies(found: Results, tables: Tables, items: Items) -> Iterator[dict[str, Any]]:
    """One table for each moment: a row for each set whose lives are long enough, a column for each learner."""
    learners = (*items.experiments, *items.baselines, *at_paper_rates(tables))
    for moment in comparison.MOMENTS:
        rows = []
        for name in comparison.datasets(found):
            entries = [comparison.accuracy(found, name, learner, moment) for learner in learners]
            cells = [entry for entry in entries if entry is not None]
            if not cells:
                continue
            top = max(cell["value"] for cell in cells)
            row = {
                "title": comparison.title(name),
                "kinship": comparison.kinship(name),
                "length": moment or comparison.length(found, name),
                "guessing": guessing(tables, name),
                "cells": [cell | {"best": cell["value"] == top} for cell in cells],
            }
            rows.append(row)
        if rows:
            counts = [cell["n"] for cell in rows[0]["cells"]]
            columns = [{"name": _name(learner), "n": n} for learner, n in zip(learners, counts, strict=True)]
            yield {"moment": comparison.when(moment), "learners": columns, "rows": rows}


def _associations(found: Results, items: Items) -> Iterator[dict[str, Any]]:
    for learner in (*items.experiments, "sgd", "adam"):
        for kind, words in SIGHTINGS.items():
            probability, accuracy = (found[f"digits/{learner}/{kind}_{what}"] for what in ("probability", "accuracy"))
            yield {"learner": _name(learner), "kind": words, "probability": probability, "accuracy": accuracy}


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
