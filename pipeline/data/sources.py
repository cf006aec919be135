"""The raw data: a split of a set, from files that are those of datasets.lock."""

import importlib.metadata
import json
from pathlib import Path

import numpy as np

from pipeline.data import download, parsers
from pipeline.run import paths

AXES = {"x": ("example", "feature"), "y": ("example",)}


def read(name: str, split: str, lock: Path = paths.DATASETS_LOCK) -> tuple[np.ndarray, np.ndarray]:
    """Features x [example, feature] and labels y [example] of the `train` or the `test` split of a set.

    x is uint8 for images, flattened from [height, width, channel], and float32 for the sets of scikit-learn; y is
    int32. Only the files that the split needs are fetched.

    An entry of `lock` has `files` by name; `splits`, the names of the files that each split needs; where a split may
    also be read from files that have no URL of their own, their names in `instead`; and `folder`, if it is not named
    like the set.

    Raises:
      ValueError: no such set or split, or a wheel whose file is not the one that datasets.lock names.
      OSError: a file cannot be had, or not be kept.
    """
    entries = json.loads(lock.read_text(encoding="utf-8"))
    if name not in entries:
        raise ValueError(f"{name!r} is none of the data sets {sorted(entries)} of {lock.name}.")
    entry = {"folder": name, "instead": {}} | entries[name]
    if split not in entry["splits"]:
        raise ValueError(f"{name} has no {split!r} split, only {sorted(entry['splits'])}: name another set or split.")

    def locked(kind: str) -> list[download.File]:
        return [download.File(entry["folder"], one, **entry["files"][one]) for one in entry[kind].get(split, [])]

    found = [download.at_hand(file, paths.DOWNLOADS) for file in locked("instead")]
    if not found or None in found:
        found = [_from_wheel(one) if one.wheel else download.fetch(one, paths.DOWNLOADS) for one in locked("splits")]
    file, *more = (path for path in found if path)
    match name:
        case "wine" | "breast_cancer" | "iris":
            return parsers.table(file)
        case "mnist" | "fashion_mnist" | "kmnist":
            return parsers.idx_pair(file, *more)
        case "digits" | "emnist" | "cifar10":
            by_split = {"digits": parsers.digits, "emnist": parsers.emnist, "cifar10": parsers.cifar10}
            return by_split[name](file, split)
        case "svhn":
            return parsers.svhn(file)
        case "omniglot":
            return parsers.omniglot(file, first=0 if split == "train" else parsers.BACKGROUND)
        case "omniglot_small1" | "omniglot_small2":
            return parsers.omniglot(file, without=parsers.SMALL1 if name == "omniglot_small2" else ())
    raise ValueError(f"{name!r} is in {lock.name}, but nothing here can read it: add its parser to pipeline/data.")


def _from_wheel(file: download.File) -> Path:
    path = Path(str(importlib.metadata.distribution("scikit-learn").locate_file(str(file.wheel))))
    remedy = "reinstall the locked scikit-learn (`pip install --require-hashes --force-reinstall -r requirements.lock`)"
    if not path.exists():
        raise ValueError(f"{path} of datasets.lock is missing: {remedy}.")
    if (found := download.fault(path, file)) is not None:
        raise ValueError(f"{path} has {found}, but datasets.lock expects {file.expectation()}: {remedy}.")
    return path
