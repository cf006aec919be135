"""Images as their publishers pack them: idx, zip, Python 2 pickles, MATLAB files.

All parsers give x uint8 [example, feature], flattened from [height, width, channel], and y int32 [example].
"""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

Examples = tuple[np.ndarray, np.ndarray]


def idx_pair(images: Path, labels: Path) -> Examples:
    """MNIST and its kin: two gzip files in the idx format."""
    return _flat(_idx(images.read_bytes())), _idx(labels.read_bytes()).astype(np.int32)


def emnist(archive: Path, split: str) -> Examples:
    """The byclass split of EMNIST. Its images are stored transposed, and put upright here."""
    with zipfile.ZipFile(archive) as members:
        stem = f"gzip/emnist-byclass-{split}"
        x = _idx(members.read(f"{stem}-images-idx3-ubyte.gz")).transpose(0, 2, 1)
        return _flat(x), _idx(members.read(f"{stem}-labels-idx1-ubyte.gz")).astype(np.int32)


def cifar10(path: Path, split: str) -> Examples:
    """CIFAR-10 from the archive of its Python version, or from the one member `test_batch` of it."""
    wanted = {f"data_batch_{i}" for i in range(1, 6)} if split == "train" else {"test_batch"}
    if path.name in wanted:
        batches = {path.name: path.read_bytes()}
    else:
        batches = {}
        with tarfile.open(path, "r|gz") as members:
            for member in members:
                name, content = Path(member.name).name, members.extractfile(member)
                if name in wanted and content is not None:
                    batches[name] = content.read()
    if missing := wanted - batches.keys():
        raise ValueError(f"{path} must have the batches {sorted(wanted)}, it lacks {sorted(missing)}.")
    found = [_Arrays(io.BytesIO(batches[name]), encoding="bytes").load() for name in sorted(wanted)]
    x = np.concatenate([batch[b"data"] for batch in found]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return _flat(x), np.concatenate([batch[b"labels"] for batch in found]).astype(np.int32)


def svhn(path: Path) -> Examples:
    """SVHN's cropped digits; the label of zero is 10 there."""
    found = loadmat(path, variable_names=("X", "y"))
    return _flat(found["X"].transpose(3, 0, 1, 2)), found["y"].ravel().astype(np.int32) % 10


class _Arrays(pickle.Unpickler):
    """Unpickles arrays of numpy in plain containers and nothing else: a pickle could run any code."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        match module_name, global_name:
            case "numpy.core.multiarray", "_reconstruct":  # its name in files that are older than numpy 2
                return np.zeros(0).__reduce__()[0]
            case "numpy", "ndarray" | "dtype":
                return getattr(np, global_name)
        raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in a file of arrays.")


def _idx(packed: bytes) -> np.ndarray:
    """An array of bytes: two zeros, 8 for bytes, the number of axes, their sizes (big-endian), and the content."""
    raw = gzip.decompress(packed)
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"An idx file of bytes must begin with 00 00 08, not with {raw[:3].hex(' ')}.")
    axes = raw[3]
    shape = np.frombuffer(raw, ">u4", axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _flat(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(len(x), -1)
