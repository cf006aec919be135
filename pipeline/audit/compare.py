"""How alike two results are, in four steps: the same bytes, equal but for rounding, alike as samples, different.

Rounding: every number within 1e-5 of the other, relative to the largest of its array, and all else the same. It is what
another order of sums leaves of single precision. Alike as samples: where arrays have an axis `life` or `seed`, so that
each entry of it is a sample, the means over the other axes differ by no more than chance would have it: a paired
two-sided test on each array by flipping signs, at 1 % for all of them together (Bonferroni), with so many samples that
it can fail. It is no proof of equality, so n is said with it: a difference below the noise of n samples passes.
"""

from pathlib import Path

import numpy as np
from scipy.stats import permutation_test

from pipeline.run.artifacts import read_arrays, read_table

IDENTICAL, EQUAL, ALIKE, DIFFERENT = "bit-identical", "equal within tolerance", "statistically equivalent", "different"
TOLERANCE, LEVEL = 1e-5, 0.01
FLIPS = 40_000  # at most
SAMPLES = ("life", "seed")


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
    by_so_much = DIFFERENT, f"{worst} by {off[worst]:.1e} of its largest number"
    if off.get("__axes__") != 0:
        return by_so_much

    axes, names = read_table(first).axes, [name for name in off if off[name] > TOLERANCE]
    tested = []
    for name in names:
        one, other = left[name], right[name]
        sampled = [axis for axis, of in enumerate(axes[name]) if of in SAMPLES]
        if one.shape != other.shape or one.dtype.kind not in "bif" or not sampled:
            return by_so_much
        if (np.isfinite(one) != np.isfinite(other)).any():
            return by_so_much
        size = int(np.prod([one.shape[axis] for axis in sampled]))
        if 2.0 ** (1 - size) > LEVEL / len(names):  # the least p that there can be
            return DIFFERENT, f"{name}, of which {size} samples are too few to call them alike"
        samples = np.moveaxis(one.astype(np.float64) - other, sampled, range(len(sampled))).reshape(size, -1)
        # All flips of signs are tried of up to 15 samples; of more, FLIPS at random, which are always the same.
        # `batch` bounds what memory it takes.
        test = permutation_test(
            (np.nanmean(samples, axis=1),),
            np.sum,
            permutation_type="samples",
            n_resamples=FLIPS,
            batch=1000,
            rng=np.random.default_rng(0),
        )
        tested.append((float(test.pvalue), name, size))
    p, name, size = min(tested)
    words = f"n = {size}, p = {p:.2g} in {name}, the least of {len(tested)} arrays"
    return (ALIKE if p >= LEVEL / len(tested) else DIFFERENT), words


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
