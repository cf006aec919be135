"""A user's data set: an npz file of x [n, …] and y [n], checked and made ready to be lived."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from vsml.tasks.datasets import Facts, standardise


class Examples(NamedTuple):
    """Labelled examples; labels are numbered in their sorted order."""

    x: Float[jax.Array, "example features"]  # each feature at zero mean and unit variance
    y: Int[np.ndarray, " example"]
    classes: int


def read_examples(path: Path) -> Examples:
    """Read `path`, flatten each example and standardise each feature over all of them.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not such a file; the sentence says what was found, what is needed, and how to mend it.
    """
    x, y = _read(path)
    if problem := _problem_of_x(x) or _problem_of_y(y, len(x)):
        raise ValueError(f"{path}: {problem}")
    x = x.reshape(len(x), -1)
    names, y = np.unique(y, return_inverse=True)
    return Examples(standardise(Facts(x.shape[1], len(names)), x), y.astype(np.int32), len(names))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    remedy = f"save it with np.savez({path.name!r}, x=x, y=y)."
    with path.open("rb") as file:  # np.load would leave a broken file open
        try:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("It is a single array.")
            arrays = {name: archive[name] for name in ("x", "y") if name in archive}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not an npz file of plain arrays: {remedy}") from error
    if len(arrays) < 2:
        raise ValueError(f"{path} has the arrays {sorted(archive)}, it must have x and y: {remedy}")
    return arrays["x"], arrays["y"]


def _problem_of_x(x: np.ndarray) -> str | None:
    if x.dtype.kind not in "biuf":
        return f"x has the dtype {x.dtype}, it must be of real numbers: convert it, as by x.astype(np.float32)."
    if x.ndim < 2 or not x.size:
        return f"x has the shape {x.shape}, it must be [n, …], the features of each of n examples: reshape it."
    limit = np.finfo(np.float32).max
    usable = (np.abs(x.reshape(len(x), -1).astype(np.float64)) <= limit).all(axis=1)  # nan is not
    if usable.all():
        return None
    return (
        f"x has NaN, infinite or too large values in {(~usable).sum()} of {len(x)} examples, the first of them "
        f"x[{usable.argmin()}]: replace the values or remove the examples."
    )


def _problem_of_y(y: np.ndarray, examples: int) -> str | None:
    if y.ndim != 1:
        return f"y has the shape {y.shape}, it must be [n], one label an example: if it is one-hot, take y.argmax(1)."
    if y.dtype.kind not in "biuSU":
        return f"y has the dtype {y.dtype}, labels must be integers or strings: convert it, as by y.astype(int)."
    if len(y) != examples:
        return f"x has {examples} examples but y has {len(y)} labels, each example must have one: align them."
    if (y == y[0]).all():
        return f"y has the one label {y[0].item()!r} only, there must be at least 2: add examples of another class."
    return None
