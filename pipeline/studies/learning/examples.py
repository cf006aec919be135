"""Labelled examples of a user: read in the forms that people have, with one clear sentence on what is wrong."""

import importlib
from inspect import signature
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from pipeline.run import npz
from pipeline.run.params import known_or_raise
from vsml.tasks.datasets import Facts, standardise

PAIRS = (("x", "y"), ("X", "y"), ("data", "target"), ("X", "Y"), ("images", "labels"))  # names in an npz file
LABELS = ("y", "target", "label", "labels", "class")  # names of a table's column of labels; else it is the last
TABLES = (".csv", ".tsv", ".parquet")
NUMBERS = "biuf"  # kinds of dtypes


class Examples(NamedTuple):
    """Labelled examples; labels are numbered in their sorted order, in which `names` has them."""

    x: Float[Array, "example features"]  # each feature at zero mean and unit variance
    y: Int[np.ndarray, " example"]
    names: tuple[str, ...]


def read_examples(data: str, labels: str | None = None) -> Examples:
    """Read examples, flatten each and standardise each feature over all of them.

    Raises:
      OSError: the file cannot be read.
      ValueError: it has no such examples; the sentence says what was found, what is needed, and how to mend it.
    """
    path, names = Path(data), None
    kind = "sklearn" if data.startswith("sklearn:") else path.suffix.lower()
    if labels and kind not in (".npy", *TABLES):
        raise ValueError(f"--labels (={labels!r}) is for npy files and tables, which {data} is not: leave it out.")
    if kind == "sklearn":
        sets = vars(importlib.import_module("sklearn.datasets"))
        load = {name[5:]: one for name, one in sets.items() if name.startswith("load_")}
        known = {name: one for name, one in load.items() if "return_X_y" in signature(one).parameters}
        bunch = known_or_raise(known, data.removeprefix("sklearn:"), "sets of scikit-learn")()
        x, y, names = bunch.data, bunch.target, bunch.get("target_names")
    elif kind in TABLES:
        x, y = _columns(path, labels)
    elif Path(path.stem).suffix.lower() in TABLES:
        raise ValueError(f"{path} is a table that is packed: unpack it, and name what comes out.")
    elif kind != ".npy":
        x, y = npz.read(path, PAIRS).values()
    elif labels:
        x, y = _npy(path), _npy(Path(labels))
    else:
        raise ValueError(f"{path} has no labels beside the examples: name their file, --labels y.npy.")
    if problem := _problem(x, y):
        raise ValueError(f"{data}: {problem}")
    x = x.reshape(len(x), -1)
    found, y = np.unique(y, return_inverse=True)
    names = tuple(map(str, found if names is None else names))
    return Examples(standardise(Facts(x.shape[1], len(names)), x), y.astype(np.int32), names)


def _npy(path: Path) -> np.ndarray:
    npz.must_be_file(path)
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, TokenError) as error:  # the last of a header that is no Python
        plain = "Object arrays" in str(error)
        remedy = "make it plain first, as by y.astype(str)" if plain else "save it with np.save"
        raise ValueError(f"{path} is not an npy file of a plain array: {remedy}.") from error
    except MemoryError as error:
        raise ValueError(f"{path} asks for more memory than there is ({error}): save it anew with np.save.") from error


def _columns(path: Path, labels: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The columns of numbers of a table and the one of labels; a csv file may have a row of names or not."""
    npz.must_be_file(path)
    try:
        pandas = importlib.import_module("pandas")
        if path.suffix.lower() == ".parquet":
            table = pandas.read_parquet(path)
        else:
            with path.open(encoding="utf-8-sig") as file:
                first = file.readline()
            separator = max(",;\t", key=first.count)
            cells = [cell.strip("\"' \r\n") for cell in first.split(separator)]
            numbers = [cell for cell in cells if not pandas.isna(pandas.to_numeric(cell, errors="coerce"))]
            named = not {labels, *LABELS}.isdisjoint(cells) or numbers == [str(n) for n in range(len(numbers))]
            if not named:  # names of columns can be numbers; then a class that nothing else has is no class
                last = pandas.read_csv(path, sep=separator, header=None, dtype=str).iloc[:, -1]
                counts = last[1:].value_counts()
                alone = last.iloc[0] not in counts.index and len(counts) > 0 and counts.min() > 1
                named = alone and bool(pandas.isna(pandas.to_numeric(last.iloc[0], errors="coerce")))
            table = pandas.read_csv(path, sep=separator, header=0 if named else None)
    except ImportError as error:
        raise ValueError(f"{path} needs pandas, and parquet pyarrow ({error}): pip install pandas pyarrow.") from error
    except ValueError as error:
        again = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else "save it again"
        message = f"{path} is not a table that pandas can read ({str(error).strip()}): {again}."
        raise ValueError(message) from error
    table.columns = [str(name) for name in table.columns]
    table = table[[name for name in table if not name.startswith("Unnamed: ")]]  # the index of another table
    known = list(table)
    label = labels or next((name for name in known if name.lower() in LABELS), known[-1])
    column, features = table[known_or_raise(known, label, "columns of the table")], table.drop(columns=label)
    if column.isna().any():
        raise ValueError(f"{path}: {column.isna().sum()} examples have no label in {label!r}: remove them.")
    if text := [name for name in features if features[name].dtype.kind not in NUMBERS]:
        if not len(table):
            raise ValueError(f"{path} has names of columns, and no examples below them: add some.")
        commas = table[text[0]].astype(str).str.fullmatch(r"-?\d+,\d+").all()
        coded = "code them, as by pandas.get_dummies, or drop them"
        remedy = "write decimal points for the commas" if commas else coded
        raise ValueError(f"{path}: the columns {text} have no numbers: {remedy}.")
    print(f"{path}: the labels are the column {label!r}.")
    y = column.to_numpy()
    return features.to_numpy(dtype=np.float64), y if y.dtype.kind in NUMBERS else y.astype(str)


def _problem(x: np.ndarray, y: np.ndarray) -> str | None:
    if x.dtype.kind not in NUMBERS:
        return f"x has the dtype {x.dtype}, it must be of real numbers: convert it, as by x.astype(np.float32)."
    if x.ndim < 2 or not x.size:
        return f"x has the shape {x.shape}, it must be [n, …], the features of each of n examples: reshape it."
    usable = (np.abs(x.reshape(len(x), -1).astype(np.float64)) <= np.finfo(np.float32).max).all(axis=1)  # nan is not
    if not usable.all():
        found = f"x has NaN, infinite or too large values in {(~usable).sum()} of {len(x)} examples"
        return f"{found}, the first of them x[{usable.argmin()}]: replace the values or remove the examples."
    if y.ndim != 1:
        one_hot = y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in NUMBERS and ((y != 0).sum(axis=1) == 1).all()
        take = "take y.ravel()" if y.size == len(x) else "take y.argmax(1)" if one_hot else "give each one label"
        return f"y has the shape {y.shape}, it must be [n], one label an example: {take}."
    if y.dtype.kind == "f" and (broken := y[y != np.floor(y)]).size:  # nan is one
        return f"y has fractions or NaN, as {broken[0]:g}: a rule learns classes, so give each a label."
    if y.dtype.kind not in f"{NUMBERS}SU":
        return f"y has the dtype {y.dtype}, labels must be integers or strings: convert it, as by y.astype(str)."
    if len(y) != len(x) and x.shape[-1] == len(y):
        first = "examples must come first: take np.moveaxis(x, -1, 0)"
        return f"x has the shape {x.shape} and y {len(y)} labels; {first}."
    if len(y) != len(x):
        return f"x has {len(x)} examples but y has {len(y)} labels, each example must have one: align them."
    if 3 * (count := len(np.unique(y))) > len(y) > count:
        return f"y has {count} labels for {len(y)} examples, it must have 3 of each or more: take classes, no quantity."
    if count == 1:
        return f"y has the one label {y[0].item()!r} only, there must be at least 2: add examples of another class."
    return None
