"""One module a figure: NEEDS (patterns of tables under artifacts/), draw(tables, profile), CAPTION and ALT.

A figure draws tables and never runs a model. It lies in the folder figures/ of its study, and is found by its name.
"""

import importlib
from fnmatch import fnmatchcase
from types import ModuleType

from pipeline.run.artifacts import Table, read_table
from pipeline.run.flow import ARTIFACTS, Flow

UNREAD = ("x", "*/loss")  # arrays that no figure and no number needs, and nine tenths of the bytes


def module(name: str) -> ModuleType:
    return importlib.import_module(importlib.import_module("pipeline.studies.stages").figure_module(name))


def read(needs: tuple[str, ...]) -> dict[str, Table]:
    """The tables of the profile in this folder that match any pattern of `needs`, by their path under artifacts/."""
    return {name: _read(name) for name in needed(needs)}


def needed(needs: tuple[str, ...]) -> list[str]:
    """Their paths under artifacts/."""
    return [path.relative_to(ARTIFACTS).as_posix() for path in Flow().matching(*needs)]


def _read(name: str) -> Table:
    arrays, axes = read_table(ARTIFACTS / name)
    kept = {key: array for key, array in arrays.items() if not any(fnmatchcase(key, pattern) for pattern in UNREAD)}
    return Table(kept, axes)
