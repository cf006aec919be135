"""One module a figure: NEEDS (patterns of tables under artifacts/), draw(tables), CAPTION and ALT.

A figure draws tables and never runs a model. This file knows which tables a profile has: exactly those of its items,
so that a file left over from an earlier choice of seeds is never drawn.
"""

import importlib
from fnmatch import fnmatchcase
from types import ModuleType

from pipeline import paths
from pipeline.artifacts import Table, read_table
from pipeline.params import Items, known_or_raise


def module(name: str, items: Items) -> ModuleType:
    known = {known: f"pipeline.figures.{known}" for known in items.figures}
    return importlib.import_module(known_or_raise(known, name, "figures"))


def read(needs: tuple[str, ...], items: Items) -> dict[str, Table]:
    """Read the profile's tables that match any pattern of `needs`, by their path under artifacts/."""
    made = [(experiment, seed) for experiment in items.experiments for seed in items.seeds]
    every = [paths.data(name) for name in items.sets] + [paths.baseline(name) for name in items.baselines]
    every += [path(*item) for path in (paths.curve, paths.meta_test, paths.introspect) for item in made]
    names = [path.relative_to(paths.ARTIFACTS).as_posix() for path in every]
    wanted = [name for name in names if any(fnmatchcase(name, pattern) for pattern in needs)]
    return {name: read_table(paths.ARTIFACTS / name) for name in wanted}
