"""One module a figure: NEEDS (patterns of tables under artifacts/), draw(tables, profile), CAPTION and ALT.

A figure draws tables and never runs a model. It lies in the folder figures/ of its study, and is found by its name.
"""

import importlib
from fnmatch import fnmatchcase
from types import ModuleType

from pipeline.run.artifacts import Table, read_table
from pipeline.run.flow import ARTIFACTS, Flow

UNREAD = "*/loss"  # arrays that no figure and no number needs; together with images nine tenths of the bytes


def module(name: str) -> ModuleType:
    return importlib.import_module(importlib.import_module("pipeline.studies.stages").figure_module(name))


def needed(needs: tuple[str, ...]) -> list[str]:
    """The tables of the profile in this folder that match any pattern of `needs`: their paths under artifacts/."""
    return [path.relative_to(ARTIFACTS).as_posix() for path in Flow().matching(*needs)]


def read(needs: tuple[str, ...]) -> dict[str, Table]:
    """The same tables by their paths; without `UNREAD`, and of images only the first, which has their size."""
    found = {name: read_table(ARTIFACTS / name) for name in needed(needs)}
    for table in found.values():
        for key in [key for key in table.arrays if fnmatchcase(key, UNREAD)]:
            del table.arrays[key]
        if "x" in table.arrays:
            table.arrays["x"] = table.arrays["x"][:1].copy()
    return found
