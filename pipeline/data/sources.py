"""The raw data: a split of a set, from files that are those of datasets.lock."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data import download, images, omniglot, tables
from pipeline.run import paths

AXES = {"x": ("example", "feature"), "y": ("example",)}


def read(name: str, split: str, lock: Path = paths.DATASETS_LOCK) -> tuple[np.ndarray, np.ndarray]:
    """Features x [example, feature] and labels y [example] of the `train` or the `test` split of a set.

    x is uint8 for images, flattened from [height, width, channel], and float32 for the sets of scikit-learn; y is
    int32. Only the files that the split needs are fetched.

    Raises:
      ValueError: no such set or split, or a wheel whose file is not the one that datasets.lock names.
      OSError: a file cannot be had, or not be kept.
    """
    file, *more = _files(_entry(name, split, lock), split)
    match name:
        case "digits":
            return tables.digits(file, split)
        case "wine" | "breast_cancer" | "iris":
            return tables.table(file)
        case "mnist" | "fashion_mnist" | "kmnist":
            return images.idx_pair(file, *more)
        case "emnist":
            return images.emnist(file, split)
        case "cifar10":
            return images.cifar10(file, split)
        case "svhn":
            return images.svhn(file)
        case "omniglot":
            return omniglot.characters(file, first=0 if split == "train" else omniglot.BACKGROUND)
        case "omniglot_small1":
            return omniglot.characters(file)
        case "omniglot_small2":
            return omniglot.characters(file, without=omniglot.SMALL1)
    raise ValueError(f"{name!r} is in {lock.name}, but nothing here can read it: add its parser to pipeline/data.")


def _entry(name: str, split: str, lock: Path) -> dict[str, Any]:
    """What `lock` says of a set.

    It has `files` by name; `splits`, the names of the files that each split needs; where a split may also be read from
    files that have no URL of their own, their names in `instead`; and `folder`, if it is not named like the set.
    """
    entries = json.loads(lock.read_text(encoding="utf-8"))
    if name not in entries:
        raise ValueError(f"{name!r} is none of the data sets {sorted(entries)} of {lock.name}.")
    entry = {"folder": name, "instead": {}} | entries[name]
    if split not in entry["splits"]:
        raise ValueError(f"{name} has no {split!r} split, only {sorted(entry['splits'])}: name another set or split.")
    return entry


def _files(entry: dict[str, Any], split: str) -> list[Path]:
    """The files of a split, verified; those that may stand in for them are taken where they are at hand."""

    def locked(names: list[str]) -> list[download.File]:
        return [download.File(entry["folder"], name, **entry["files"][name]) for name in names]

    stand_ins = [download.at_hand(file, paths.DOWNLOADS) for file in locked(entry["instead"].get(split, []))]
    if stand_ins and (found := [path for path in stand_ins if path]) == stand_ins:
        return found
    files = locked(entry["splits"][split])
    return [_from_wheel(file) if file.wheel else download.fetch(file, paths.DOWNLOADS) for file in files]


def _from_wheel(file: download.File) -> Path:
    path = Path(str(importlib.metadata.distribution("scikit-learn").locate_file(str(file.wheel))))
    remedy = "reinstall the locked scikit-learn (`pip install --require-hashes --force-reinstall -r requirements.lock`)"
    if not path.exists():
        raise ValueError(f"{path} of datasets.lock is missing: {remedy}.")
    if (found := download.fault(path, file)) is not None:
        raise ValueError(f"{path} has {found}, but datasets.lock expects {file.expectation()}: {remedy}.")
    return path
