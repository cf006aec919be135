"""Omniglot's zips of PNG files, 28 x 28 in the end as in the code of arXiv 2012.14905. Ink is 0, paper is 255."""

import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

SIZE = 28
BACKGROUND = 964  # characters of the background set
SMALL1 = ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")  # alphabets of the first small background set


def characters(archive: Path, first: int = 0, without: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """x uint8 [example, 784] and y int32 [example]: all drawings of all characters, `without` some alphabets.

    The files are SET/ALPHABET/CHARACTER/DRAWING.png. Characters are sorted by alphabet and number, and numbered from
    `first` on; drawings are sorted within each.
    """
    x, y, classes = [], [], {}
    with zipfile.ZipFile(archive) as members:
        for member in sorted(members.namelist()):
            place = PurePosixPath(member)
            if place.suffix != ".png" or place.parts[1] in without:
                continue
            with members.open(member) as file, Image.open(file) as image:
                x.append(np.asarray(image.convert("L")))
            y.append(classes.setdefault(place.parent, first + len(classes)))
    return _resized(np.stack(x)).reshape(len(x), -1), np.array(y, np.int32)


def _resized(x: np.ndarray) -> np.ndarray:
    """`x` [example, height, width] in SIZE x SIZE, by bilinear interpolation between the four nearest pixels.

    Centres of pixels are aligned and nothing is smoothed first, as `tf.image.resize` does it. From 105 pixels all
    weights are multiples of 1/64, so that no rounding but the last, half to even, depends on a machine.
    """
    for axis in (1, 2):
        old = x.shape[axis]
        centre = (np.arange(SIZE, dtype=np.float32) + 0.5) * (old / SIZE) - 0.5
        below = np.floor(centre).astype(int)
        share = (centre - below).astype(np.float32).reshape((SIZE, 1) if axis == 1 else SIZE)
        x = (1 - share) * np.take(x, below, axis) + share * np.take(x, below + 1, axis)
    return np.rint(x).astype(np.uint8)
