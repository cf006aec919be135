"""How the rules that ship with the package fare on the tasks of a profile. Reads tables only."""

from collections.abc import Iterator
from typing import Any

from pipeline.comparison import title
from pipeline.results import Results, cumulative, moments, summary
from pipeline.tables import Profile, Tables, in_order

FOLDER = "zoo_test/"


def names(tables: Tables) -> list[str]:
    return sorted(path.removeprefix(FOLDER).removesuffix(".npz") for path in tables if path.startswith(FOLDER))


def shipped(tables: Tables, profile: Profile) -> Results:
    """`task/zoo_<rule>/cumulative@examples` -> {"value", "sd", "n"}, over lives."""
    found: Results = {}
    for name in names(tables):
        for task, correct in _correct(tables, name):
            if profile.tasks[task].one_shot:
                found[f"{task}/zoo_{name}/one_shot"] = summary(correct.mean(-1)[None])
                continue
            for moment in moments(correct.shape[-1], profile.horizons):
                accuracy = cumulative(correct)[..., moment - 1]
                found[f"{task}/zoo_{name}/cumulative@{moment}"] = summary(accuracy[None])
    return found


def table(found: Results, tables: Tables, profile: Profile) -> dict[str, Any]:
    """The table of the report: a row for each rule and task, a column for each horizon, and the end of the lives."""
    return {"moments": list(profile.horizons), "rows": list(_rows(found, tables, profile))}


def _rows(found: Results, tables: Tables, profile: Profile) -> Iterator[dict[str, Any]]:
    for name in names(tables):
        lived = dict(_correct(tables, name))
        for task in in_order(lived, ()):
            of, examples = _under(found, f"{task}/zoo_{name}/"), lived[task].shape[-1]
            yield {
                "rule": title(name),
                "task": title(task),
                "cells": [of.get(f"cumulative@{moment}") for moment in profile.horizons],
                "end": of["one_shot"] if profile.tasks[task].one_shot else of[f"cumulative@{examples}"],
                "examples": "one shot" if profile.tasks[task].one_shot else f"{examples:,}",
            }


def _under(found: Results, prefix: str) -> Results:
    return {name.removeprefix(prefix): entry for name, entry in found.items() if name.startswith(prefix)}


def _correct(tables: Tables, name: str) -> list[tuple[str, Any]]:
    arrays = tables[f"{FOLDER}{name}.npz"].arrays
    return [(key.removesuffix("/correct"), values) for key, values in arrays.items() if key.endswith("/correct")]
