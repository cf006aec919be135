"""How the rules that ship with the package fare on the tasks of a profile. Reads tables only."""

from collections.abc import Iterator
from typing import Any

from pipeline.comparison import title
from pipeline.results import Profile, Results, Tables, cumulative, in_order, moments, summary

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


def rows(found: Results, tables: Tables) -> Iterator[dict[str, Any]]:
    """The table of the report: a row for each rule and task."""
    for name in names(tables):
        for task in in_order([task for task, _ in _correct(tables, name)], ()):
            prefix = f"{task}/zoo_{name}/"
            cells = [
                {"after": key.removeprefix(prefix).rpartition("@")[2], "accuracy": entry}
                for key, entry in found.items()
                if key.startswith(prefix)
            ]
            yield {"rule": title(name), "task": title(task), "cells": cells}


def _correct(tables: Tables, name: str) -> list[tuple[str, Any]]:
    arrays = tables[f"{FOLDER}{name}.npz"].arrays
    return [(key.removesuffix("/correct"), values) for key, values in arrays.items() if key.endswith("/correct")]
