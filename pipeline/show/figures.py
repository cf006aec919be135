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


def needed(needs: tuple[str, ...]) -> list[str]:
    """The tables of the profile in this folder that match any pattern of `needs`: their paths under artifacts/."""
    return [path.relative_to(ARTIFACTS).as_posix() for path in Flow().matching(*needs)]


def read(needs: tuple[str, ...]) -> dict[str, Table]:
    """The same tables by their paths; of arrays that are `UNREAD` the first row only, which has their sizes."""
    found = {name: read_table(ARTIFACTS / name) for name in needed(needs)}
    for table in found.values():
        for key in [key for key in table.arrays if any(fnmatchcase(key, pattern) for pattern in UNREAD)]:
            table.arrays[key] = table.arrays[key][:1].copy()
    return found
