"""Where an item of a stage runs. The environment says so, and never the command, which DVC records and hashes.

PIPELINE_EXECUTOR is `local`, the default, `kubernetes`, or `pod`: what the pods of `kubernetes` have.
"""

import importlib
import json
import os

from pipeline.run import paths, repro

NAMES = ("local", "kubernetes", "pod")
DATA, DRAWN = ("train_data", "test_data"), ("figure", "report")


def execute(stage: str, item: tuple[str, ...]) -> None:
    """Run an item of a stage; its outs are in place when this returns."""
    name = chosen(stage, item)
    if name != "pod":  # where it is the first process of all
        repro.die_with_parent()
    importlib.import_module(f"pipeline.cluster.{name}").execute(stage, item)


def chosen(stage: str, item: tuple[str, ...]) -> str:
    """The executor of an item: drawing takes seconds, and pods have no way out of the cluster to download.

    Raises:
      ValueError: there is no such executor.
    """
    name = os.environ.get("PIPELINE_EXECUTOR") or "local"
    if name not in NAMES:
        raise ValueError(f"PIPELINE_EXECUTOR is {name!r}, which is none of {list(NAMES)}.")
    stays = stage in DRAWN or (stage in DATA and _downloads(*item))
    return "local" if name == "kubernetes" and stays else name


def _downloads(name: str) -> bool:
    """Whether a set comes from the net; the image holds those that ship inside packages."""
    known = json.loads(paths.DATASETS_LOCK.read_text(encoding="utf-8"))
    return any("wheel" not in file for file in known.get(name, {"files": {}})["files"].values())
