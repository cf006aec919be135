"""Data sets as their publishers pack them: csv, idx, zip, Python 2 pickles, MATLAB files, drawings as PNG.

All parsers give x [example, feature] and y int32 [example]. x is float32 for the tables of scikit-learn, and else
uint8, flattened from [height, width, channel].
"""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import loadmat

TRAIN_DIGITS = 1197  # examples that meta-training may see; of the other tables it sees none
SPLIT_SEED = 0
OMNIGLOT_SIZE = 28  # of height and width, as in the code of arXiv 2012.14905
BACKGROUND = 964  # characters of Omniglot's background set
SMALL1 = ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")  # alphabets of the first small background set
Examples = tuple[np.ndarray, np.ndarray]


def table(path: Path) -> Examples:
    """A csv file: features and, in the last column, labels; the first line has other facts."""
    return _columns(path.read_text().splitlines()[1:])


def digits(path: Path, split: str) -> Examples:
    """One of two splits of our own, each with its share of every class (largest remainders first), always the same."""
    x, y = _columns(gzip.decompress(path.read_bytes()).decode().splitlines())
    classes, sizes = np.unique(y, return_counts=True)
    share = TRAIN_DIGITS * sizes / len(y)
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: TRAIN_DIGITS - quota.sum()]] += 1
    # RandomState is frozen by numpy's policy: the same split under every version
    random = np.random.RandomState(SPLIT_SEED)
    train = np.zeros(len(y), bool)
    for label, count in zip(classes, quota, strict=True):
        train[random.permutation(np.flatnonzero(y == label))[:count]] = True
    chosen = train if split == "train" else ~train
    return x[chosen], y[chosen]


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
    batches = {path.name: path.read_bytes()} if path.name in wanted else {}
    if not batches:
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


def omniglot(archive: Path, first: int = 0, without: tuple[str, ...] = ()) -> Examples:
    """All drawings of all characters, `without` some alphabets. Ink is 0, paper is 255.

    The files are SET/ALPHABET/CHARACTER/DRAWING.png. Characters are sorted by alphabet and number, and numbered from
    `first` on; drawings are sorted within each.
    """
    x, y, classes = [], [], {}
    with zipfile.ZipFile(archive) as members:
        for member in sorted(members.namelist()):
            place = PurePosixPath(member)
            if place.suffix == ".png" and place.parts[1] not in without:
                with members.open(member) as file, Image.open(file) as image:
                    x.append(np.asarray(image.convert("L")))
                y.append(classes.setdefault(place.parent, first + len(classes)))
    return _flat(_resized(np.stack(x))), np.array(y, np.int32)


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
    shape = np.frombuffer(raw, ">u4", raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + shape.nbytes).reshape(shape)


def _resized(x: np.ndarray) -> np.ndarray:
    """`x` [example, height, width] in OMNIGLOT_SIZE, by bilinear interpolation between the four nearest pixels.

    Centres of pixels are aligned and nothing is smoothed first, as `tf.image.resize` does it. From 105 pixels all
    weights are multiples of 1/64, so that no rounding but the last, half to even, depends on a machine.
    """
    for axis in (1, 2):
        centre = (np.arange(OMNIGLOT_SIZE, dtype=np.float32) + 0.5) * (x.shape[axis] / OMNIGLOT_SIZE) - 0.5
        below = np.floor(centre).astype(int)
        share = np.expand_dims((centre - below).astype(np.float32), 2 - axis)
        x = (1 - share) * np.take(x, below, axis) + share * np.take(x, below + 1, axis)
    return np.rint(x).astype(np.uint8)


def _columns(lines: list[str]) -> Examples:
    found = np.loadtxt(lines, delimiter=",", dtype=np.float64)
    return found[:, :-1].astype(np.float32), found[:, -1].astype(np.int32)


def _flat(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(len(x), -1)
