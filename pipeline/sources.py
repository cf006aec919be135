"""The raw data: csv files inside the wheel of scikit-learn, checked against datasets.lock before they are read."""

import gzip
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import paths

TRAIN = {"digits": 1197}  # examples that meta-training may see; of the other sets it sees none
SPLIT_SEED = 0


class Split(NamedTuple):
    """Raw features [example, feature] and labels [example] for meta-training and, apart from them, for tests."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def read(name: str) -> Split:
    """Read a set and split it, by class and always in the same way.

    Raises:
      ValueError: no such set, or a file that is not the one that datasets.lock names.
    """
    x, y = _parse(name, _verified(name))
    train = np.zeros(len(y), bool)
    train[_stratified(y, TRAIN.get(name, 0))] = True
    return Split(x[train], y[train], x[~train], y[~train])


def _verified(name: str, lock: Path = paths.DATASETS_LOCK) -> bytes:
    """The bytes of a set's file, once they have the size and the sha256 of the lock."""
    entries = json.loads(lock.read_text(encoding="utf-8"))
    if name not in entries:
        raise ValueError(f"{name!r} is none of the data sets {sorted(entries)} of {lock.name}.")
    entry = entries[name]
    path = Path(str(importlib.metadata.distribution("scikit-learn").locate_file(entry["file"])))
    remedy = "reinstall the locked scikit-learn (`pip install --require-hashes --force-reinstall -r requirements.lock`)"
    if not path.exists():
        raise ValueError(f"{path} of {lock.name} is missing: {remedy}.")
    found = path.read_bytes()
    digest = hashlib.sha256(found).hexdigest()
    if digest != entry["sha256"] or len(found) != entry["bytes"]:
        raise ValueError(
            f"{path} has {len(found)} bytes with sha256 {digest}, "
            f"but {lock.name} expects {entry['bytes']} with {entry['sha256']}: {remedy}."
        )
    return found


def _parse(name: str, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Features and, from the last column, labels. All files but that of digits begin with a line of facts."""
    text = (gzip.decompress(raw) if name == "digits" else raw).decode().splitlines()
    table = np.loadtxt(text if name == "digits" else text[1:], delimiter=",", dtype=np.float64)
    return table[:, :-1].astype(np.float32), table[:, -1].astype(np.int32)


def _stratified(y: np.ndarray, count: int) -> np.ndarray:
    """`count` examples, each class by its share (largest remainders first), drawn at random within the class."""
    classes, sizes = np.unique(y, return_counts=True)
    share = count * sizes / len(y)
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: count - quota.sum()]] += 1
    # RandomState is frozen by numpy's policy: the same split under every version
    random = np.random.RandomState(SPLIT_SEED)
    drawn = [random.permutation(np.flatnonzero(y == c))[:n] for c, n in zip(classes, quota, strict=True)]
    return np.concatenate(drawn)
