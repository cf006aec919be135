"""How alike two results are, in four steps: the same bytes, equal but for rounding, alike as samples, different.

Rounding: every number within 1e-5 of the other, relative to the largest of its array, and all else the same. It is what
another order of sums leaves of single precision. Alike as samples: where arrays have an axis `episode` or `seed`, each
entry of which is a sample, the means over the other axes differ by no more than chance would have it: a paired
two-sided test on each array by flipping signs, at 1 % for all of them together (Bonferroni), with so many samples that
it can fail. It is no proof of equality, so n is said with it: a difference below the noise of n samples passes.
"""

from pathlib import Path

import numpy as np
from scipy.stats import permutation_test

from pipeline.run.artifacts import Table, read_arrays, read_table

IDENTICAL, EQUAL, ALIKE, DIFFERENT = "bit-identical", "equal within tolerance", "statistically equivalent", "different"
TOLERANCE, LEVEL = 1e-5, 0.01
FLIPS = 40_000  # at most
SAMPLES = ("episode", "seed")


def compare(first: Path, second: Path) -> tuple[str, str]:
    """How alike two files are, and in words what differs."""
    if first.read_bytes() == second.read_bytes():
        return IDENTICAL, ""
    if first.suffix != ".npz":
        return DIFFERENT, "other bytes"
    left, right = read_arrays(first), read_arrays(second)
    if left.keys() != right.keys():
        return DIFFERENT, f"arrays {sorted(left.keys() ^ right.keys())} are in one only"
    off = {name: _distance(left[name], right[name]) for name in left}
    worst = max(off, key=lambda name: off[name])
    if off[worst] <= TOLERANCE:
        return EQUAL, f"at most {off[worst]:.1e} of the largest number apart, in {worst}"
    if off.get("__axes__") == 0:
        verdict = _as_samples(read_table(first), read_table(second), [name for name in off if off[name] > TOLERANCE])
        if verdict is not None:
            return verdict
    return DIFFERENT, f"{worst} by {off[worst]:.1e} of its largest number"


def _distance(left: np.ndarray, right: np.ndarray) -> float:
    """The largest difference relative to the largest number; infinity if they are not of one kind or shape."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return np.inf
    if left.dtype.kind != "f":
        return 0.0 if (left == right).all() else np.inf
    if (np.isfinite(left) != np.isfinite(right)).any():
        return np.inf
    here = np.isfinite(left)
    largest = np.abs(left[here]).max(initial=0.0)
    return float(np.abs(left[here] - right[here]).max(initial=0.0) / (largest or 1.0))


def _as_samples(left: Table, right: Table, names: list[str]) -> tuple[str, str] | None:
    """The verdict on arrays that differ, if each can be seen as samples."""
    found = []
    for name in names:
        axes, one, other = left.axes[name], left.arrays[name], right.arrays[name]
        sampled = [axis for axis, of in enumerate(axes) if of in SAMPLES]
        if one.shape != other.shape or one.dtype.kind not in "bif" or not sampled:
            return None
        if (np.isfinite(one) != np.isfinite(other)).any():
            return None
        means = [np.moveaxis(a.astype(np.float64), sampled, range(len(sampled))) for a in (one, other)]
        size = int(np.prod([one.shape[axis] for axis in sampled]))
        apart = np.nanmean((means[0] - means[1]).reshape(size, -1), axis=1)
        if 2.0 ** (1 - size) > LEVEL / len(names):  # the least p that there can be
            return DIFFERENT, f"{name}, of which {size} samples are too few to call them alike"
        found.append((name, size, _p_value(apart)))
    name, size, p = min(found, key=lambda one: one[2])
    words = f"n = {size}, p = {p:.2g} in {name}, the least of {len(found)} arrays"
    return (ALIKE if p >= LEVEL / len(found) else DIFFERENT), words


def _p_value(apart: np.ndarray) -> float:
    """Of the two-sided test that differences [samples] are symmetric about zero, by flipping signs (Fisher).

    All flips are tried of up to 15 samples; of more, FLIPS at random, which are always the same.
    """
    given = {"n_resamples": FLIPS, "batch": 1000, "rng": np.random.default_rng(0)}  # batch: bounds what memory it takes
    return float(permutation_test((apart,), np.sum, permutation_type="samples", **given).pvalue)
