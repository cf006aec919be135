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
    """One of the two splits, each with its share of every class, and always the same."""
    x, y = _columns(gzip.decompress(path.read_bytes()).decode().splitlines())
    train = np.zeros(len(y), bool)
    train[_stratified(y, TRAIN_DIGITS)] = True
    chosen = train if split == "train" else ~train
    return x[chosen], y[chosen]


def _columns(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    found = np.loadtxt(lines, delimiter=",", dtype=np.float64)
    return found[:, :-1].astype(np.float32), found[:, -1].astype(np.int32)


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
