"""npz files of other people: what they hold is looked at before memory is taken for it, and what is wrong is said."""

import contextlib
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil

DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
MAGIC = b"\x93NUMPY"


def read(path: Path, choices: Sequence[tuple[str, ...]] = ()) -> dict[str, np.ndarray]:
    """The arrays of an npz file, or of the first of these choices of names that it has. Nothing is unpickled.

    Raises:
      OSError: the file cannot be opened.
      ValueError: it is no npz file of plain arrays, or no memory can hold them; the sentence says how to mend it.
    """
    with path.open("rb") as file:
        words = ", ".join(f"{name}={name}" for name in choices[0]) if choices else "…"
        again = f"save it with np.savez({path.name!r}, {words})"
        if not zipfile.is_zipfile(file):
            file.seek(0)
            kind = "a single array" if file.read(len(MAGIC)) == MAGIC else "no npz file, or but a part of one"
            raise ValueError(f"{path} is {kind}, it must be an npz file: {again}.")
        found, bytes_needed, free = {}, 0, psutil.virtual_memory().available
        try:
            with zipfile.ZipFile(file) as archive:
                members = {one.removesuffix(".npy"): one for one in archive.namelist()}
                names = next((names for names in choices if members.keys() >= set(names)), None)
                if choices and names is None:
                    must = f"it must have {' or '.join(map(' and '.join, choices))}"
                    raise ValueError(f"{path} has the arrays {sorted(members)}, {must}: {again}.")
                wanted = {name: members[name] for name in names or members}
                for name, member in wanted.items():
                    with archive.open(member) as content:
                        if content.read(len(MAGIC)) != MAGIC:
                            raise ValueError(f"{path}: {name} is no array of numpy, though it lies in a zip: {again}.")
                    with archive.open(member) as content, _damaged():
                        first = np.lib.format.read_magic(content) == (1, 0)
                        header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                        shape, _, dtype = header(content)
                    if dtype.hasobject:
                        plain = f"{name}={name}.astype(np.float32)" if name == "x" else f"{name}={name}.astype(str)"
                        raise ValueError(
                            f"{path}: {name} holds Python objects, it must be plain numbers or strings: save it as "
                            f"such, as by {plain}."
                        )
                    bytes_needed += math.prod(shape) * dtype.itemsize
                    if bytes_needed > free:
                        raise ValueError(
                            f"{path} needs at least {bytes_needed / 2**30:.3g} GiB of memory, but only "
                            f"{free / 2**30:.3g} GiB are free: save fewer examples."
                        )
                for name, member in wanted.items():
                    with archive.open(member) as content, _damaged():
                        found[name] = np.lib.format.read_array(content, allow_pickle=False)
                        while content.read(2**20):  # to the end, where the checksum is compared
                            pass
        except DAMAGED as error:
            raise ValueError(
                f"{path} is damaged ({error}): copy it again from where it is whole, or {again}."
            ) from error
        except (NotImplementedError, RuntimeError) as error:  # a compression of its own, or a password
            raise ValueError(f"{path} cannot be unpacked ({error}): {again}.") from error
    return found


@contextlib.contextmanager
def _damaged() -> Iterator[None]:
    """What numpy says of an array that is not as its header has it, as what zipfile says of a damaged file."""
    try:
        yield
    except ValueError as error:
        raise zipfile.BadZipFile(error) from error
