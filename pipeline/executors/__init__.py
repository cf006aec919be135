"""Where an item of a stage runs. The environment says so, and never the command, which DVC records and hashes.

PIPELINE_EXECUTOR is `local`, the default, `kubernetes`, or `pod`: what the pods of `kubernetes` have.
"""

import importlib
import os

from pipeline import process

NAMES = ("local", "kubernetes", "pod")


def execute(stage: str, item: tuple[str, ...]) -> None:
    """Run an item of a stage; its outs are in place when this returns."""
    name = os.environ.get("PIPELINE_EXECUTOR") or "local"
    if name not in NAMES:
        raise ValueError(f"PIPELINE_EXECUTOR is {name!r}, which is none of {list(NAMES)}.")
    if name != "pod":  # where it is the first process of all
        process.die_with_parent()
    importlib.import_module(f"pipeline.executors.{name}").execute(stage, item)
