"""npz files of other people: what they hold is looked at before memory is taken for it, and what is wrong is said."""

import lzma
import math
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np
import psutil

# The last two are what numpy says of a header that is no Python.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, SyntaxError, TokenError)
MAGIC = b"\x93NUMPY"


class UnfitError(ValueError):
    """A file that is whole and of no use here."""


def must_be_file(path: Path) -> None:
    """Raise OSError for what is not there or may not be read, and ValueError for what is no file."""
    if not stat.S_ISREG(path.stat().st_mode):  # opened, a pipe may wait for ever, and a device have no end
        raise ValueError(f"{str(path)!r} is a folder, a device or a pipe: name a file.")
    path.open("rb").close()


def read(path: Path, choices: Sequence[tuple[str, ...]] = ()) -> dict[str, np.ndarray]:
    """The arrays of an npz file, or of the first of these choices of names that it has. Nothing is unpickled.

    Raises:
      OSError: the file cannot be opened.
      ValueError: it is no npz file of plain arrays, or no memory can hold them; the sentence says how to mend it.
    """
    must_be_file(path)
    with path.open("rb") as file:
        words = ", ".join(f"{name}={name}" for name in choices[0]) if choices else "…"
        again = f"save it with np.savez({path.name!r}, {words})"
        if not zipfile.is_zipfile(file):
            file.seek(0)
            kind = "a single array" if file.read(len(MAGIC)) == MAGIC else "no npz file, or but a part of one"
            raise ValueError(f"{path} is {kind}, it must be an npz file: {again}.")
        found: dict[str, np.ndarray] = {}
        bytes_needed, free = 0, psutil.virtual_memory().available
        try:
            with zipfile.ZipFile(file) as archive:
                members = {one.removesuffix(".npy"): one for one in archive.namelist()}
                names = next((names for names in choices if members.keys() >= set(names)), None)
                if choices and names is None:
                    must = f"it must have {' or '.join(map(' and '.join, choices))}"
                    raise UnfitError(f"{path} has the arrays {sorted(members)}, {must}: {again}.")
                for name in names or members:
                    with archive.open(members[name]) as content:
                        if content.read(len(MAGIC)) != MAGIC:
                            raise UnfitError(f"{path}: {name} is no array of numpy, though it lies in a zip: {again}.")
                    with archive.open(members[name]) as content:
                        first = np.lib.format.read_magic(content) == (1, 0)
                        header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                        shape, _, dtype = header(content)
                    if dtype.hasobject:
                        plain = f"{name}={name}.astype({'np.float32' if name == 'x' else 'str'})"
                        words = f"{name} holds Python objects, it must be plain numbers or strings"
                        raise UnfitError(f"{path}: {words}: save it as such, as by {plain}.")
                    bytes_needed += math.prod(shape) * dtype.itemsize
                    if bytes_needed > free:
                        needed, there = (f"{size / 2**30:.3g} GiB" for size in (bytes_needed, free))
                        words = f"needs at least {needed} of memory, but only {there} are free"
                        raise UnfitError(f"{path} {words}: save fewer examples.")
                    with archive.open(members[name]) as content:
                        found[name] = np.lib.format.read_array(content, allow_pickle=False)
                        while content.read(2**20):  # to the end, where the checksum is compared
                            pass
        except UnfitError:
            raise
        except (NotImplementedError, RuntimeError) as error:  # a compression of its own, or a password
            raise ValueError(f"{path} cannot be unpacked ({error}): {again}.") from error
        except DAMAGED as error:
            remedy = f"copy it again from where it is whole, or {again}"
            raise ValueError(f"{path} is damaged ({error}): {remedy}.") from error
    return found
