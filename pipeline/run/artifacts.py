"""What stages leave behind: tables, learned rules and JSON, written atomically and the same byte for byte.

A table is an npz file of arrays with named axes. Nothing is pickled, and no clock, host or path gets in, so that
two machines that computed the same thing have the same file.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Table(NamedTuple):
    """Arrays and, for each, the names of its axes."""

    arrays: dict[str, np.ndarray]
    axes: dict[str, tuple[str, ...]]


class Rule(NamedTuple):
    """A learned rule: theta, the `learner` section that gives it its meaning, and where it comes from."""

    theta: dict[str, Any]
    learner: dict[str, Any]
    provenance: dict[str, Any]


def write_table(path: str | Path, arrays: Mapping[str, Any], axes: Mapping[str, Sequence[str]]) -> None:
    """Write `arrays`, each with the names of its axes.

    Raises:
      ValueError: an array without axes, axes without an array, or as many names as the array has not dimensions.
    """
    found = {name: np.asarray(array) for name, array in arrays.items()}
    if found.keys() != axes.keys():
        raise ValueError(f"{path}: arrays {sorted(found)} and axes {sorted(axes)} must have the same names.")
    for name, array in found.items():
        if array.ndim != len(axes[name]):
            raise ValueError(f"{path}: {name} has shape {array.shape}, but its axes are {tuple(axes[name])}.")
    write_arrays(path, {**found, "__axes__": _text({name: list(axes[name]) for name in sorted(axes)})})


def read_table(path: str | Path) -> Table:
    arrays = read_arrays(path)
    if "__axes__" not in arrays:
        raise ValueError(f"{path} is not a table of this pipeline: it has no __axes__. Remake it with `dvc repro`.")
    axes = json.loads(str(arrays.pop("__axes__")))
    return Table(arrays, {name: tuple(names) for name, names in axes.items()})


def write_rule(path: str | Path, theta: Mapping[str, Any], learner: Mapping, provenance: Mapping) -> None:
    arrays = {f"theta/{name}": value for name, value in _flat(theta).items()}
    write_arrays(path, {**arrays, "__learner__": _text(learner), "__provenance__": _text(provenance)})


def read_rule(path: str | Path) -> Rule:
    arrays = read_arrays(path)
    if "__learner__" not in arrays or "__provenance__" not in arrays:
        raise ValueError(f"{path} is not a learned rule: it has no __learner__. `meta_train` writes rule.npz files.")
    learner, provenance = (json.loads(str(arrays.pop(name))) for name in ("__learner__", "__provenance__"))
    theta: dict[str, Any] = {}
    for name, value in arrays.items():
        *folders, last = name.split("/")[1:]
        inner = theta
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[last] = value
    return Rule(theta, learner, provenance)


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write an uncompressed npz: its bytes depend on the arrays only, not on the version of zlib."""
    with atomic(path) as temporary, temporary.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(arrays[name]), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # its date is the constant 1980-01-01
            entry.create_system = 3  # of every system, for the same bytes
            # In one piece: what `archive.open` writes around a stream differs between versions of Python.
            archive.writestr(entry, member.getbuffer())


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing. `dvc repro` makes it.") from None
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"{path} is no npz file of plain arrays ({error}). Remake it with `dvc repro`.") from error


def write_json(path: str | Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode())


def sha256_file(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary file to write; move it to `path` at the end, or remove it if the block fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)  # it can only be read by being set, for all threads: files are written by one
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 would shut out colleagues
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _text(value: Any) -> np.ndarray:
    return np.array(json.dumps(value, sort_keys=True))


def _flat(theta: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    flat: dict[str, np.ndarray] = {}
    for name, value in theta.items():
        if "/" in name:
            raise ValueError(f"theta has an entry {name!r}; a name with a slash cannot be stored.")
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = np.asarray(value)
    return flat
