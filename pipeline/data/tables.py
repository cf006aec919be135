"""The csv files of scikit-learn's wheel: small tables, and digits, which have a split of our own."""

import gzip
from pathlib import Path

import numpy as np

TRAIN_DIGITS = 1197  # examples that meta-training may see; of the other sets it sees none
SPLIT_SEED = 0


def table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and, from the last column, labels; the first line has other facts."""
    return _columns(path.read_text().splitlines()[1:])


def digits(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """One of the two splits, each with its share of every class (largest remainders first), and always the same."""
    x, y = _columns(gzip.decompress(path.read_bytes()).decode().splitlines())
    classes, sizes = np.unique(y, return_counts=True)
    share = TRAIN_DIGITS * sizes / len(y)
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: TRAIN_DIGITS - quota.sum()]] += 1
    # RandomState is frozen by numpy's policy: the same split under every version
    random = np.random.RandomState(SPLIT_SEED)
    train = np.zeros(len(y), bool)
    for label, count in zip(classes, quota, strict=True):
        train[random.permutation(np.flatnonzero(y == label))[:count]] = True
    chosen = train if split == "train" else ~train
    return x[chosen], y[chosen]


def _columns(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    found = np.loadtxt(lines, delimiter=",", dtype=np.float64)
    return found[:, :-1].astype(np.float32), found[:, -1].astype(np.int32)
