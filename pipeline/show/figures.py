"""One module a figure: NEEDS (patterns of tables under artifacts/), draw(tables, profile), CAPTION and ALT.

A figure draws tables and never runs a model. This file knows which tables a profile has: exactly those of its items,
so that a file left over from an earlier choice of seeds is never drawn.
"""

import importlib
from fnmatch import fnmatchcase
from types import ModuleType

from pipeline.run import paths
from pipeline.run.artifacts import Table, read_table
from pipeline.studies.params import Items, known_or_raise

UNREAD = ("x", "*/loss")  # arrays that no figure and no number needs, and nine tenths of the bytes


def module(name: str, items: Items) -> ModuleType:
    known = {known: f"pipeline.figures.{known}" for known in items.figures}
    return importlib.import_module(known_or_raise(known, name, "figures"))


def read(needs: tuple[str, ...], items: Items) -> dict[str, Table]:
    """Read the profile's tables that match any pattern of `needs`, by their path under artifacts/."""
    return {name: _read(name) for name in needed(needs, items)}


def needed(needs: tuple[str, ...], items: Items) -> list[str]:
    """The profile's tables that match any pattern of `needs`: their paths under artifacts/."""
    trained = [(experiment, seed) for experiment in items.experiments for seed in items.seeds]
    every = [paths.test_data(name) for name in items.test_sets] + [paths.baseline(name) for name in items.baselines]
    every += [path(*item) for path in (paths.curve, paths.meta_test) for item in trained]
    every += [paths.introspect(experiment, seed) for experiment in items.introspect for seed in items.seeds]
    every += [paths.unify()] if items.experiments else []  # unification is about VSML
    every += [paths.clone_test(seed) for seed in items.clones] + [paths.zoo_test(name) for name in items.zoo]
    every += [paths.recall_test(experiment, seed) for experiment in items.recall for seed in items.recall_seeds]
    every += [paths.feedback_test(experiment, seed) for experiment in items.feedback for seed in items.feedback_seeds]
    names = [path.relative_to(paths.ARTIFACTS).as_posix() for path in every]
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in needs)]


def _read(name: str) -> Table:
    arrays, axes = read_table(paths.ARTIFACTS / name)
    kept = {key: array for key, array in arrays.items() if not any(fnmatchcase(key, pattern) for pattern in UNREAD)}
    return Table(kept, axes)
