"""The episodes that the report's page shows one example at a time, packed so that the page needs no other file.

Numbers are bytes in base64: a probability p is round(255 p), a pixel is what it is. An image that is shown twice is
packed once; `image` says which one an example is.
"""

import base64
from typing import Any

import numpy as np

from pipeline.show.looks import called
from pipeline.studies.learning.tables import RULE, Tables, by_seed

READINGS = {"": "The same image twice in a row", "next_": "Two images of a class in a row"}


def replayed(tables: Tables) -> dict[str, Any]:
    """The first episodes of the first seed, in both readings of the protocol, as every learner predicted them."""
    arrays = next(iter(by_seed(tables, "introspect", RULE).values())).arrays
    learners = zip(arrays["learner"].tolist(), arrays["rate"].tolist(), strict=True)
    return {
        "learners": [
            {"name": called(name), "rate": None if np.isnan(rate) else f"{rate:g}"} for name, rate in learners
        ],
        "readings": [_reading(arrays, prefix, title) for prefix, title in READINGS.items()],
    }


def _reading(arrays: dict[str, Any], prefix: str, title: str) -> dict[str, Any]:
    pixels, probability = arrays[f"{prefix}pixels"], arrays[f"{prefix}probability"]
    shown = len(pixels)
    image = arrays[f"{prefix}image"][:shown]
    height, width, colours = pixels.shape[2:]
    packed = [images[np.unique(numbers, return_index=True)[1]] for images, numbers in zip(pixels, image, strict=True)]
    return {
        "title": title,
        "label": arrays[f"{prefix}label"][:shown].tolist(),
        "image": image.tolist(),
        "shape": [height, width, colours],
        "pixels": [_base64(images) for images in packed],
        "classes": probability.shape[-1],
        "probability": [[_base64(np.round(255 * episode)) for episode in own[:shown]] for own in probability],
    }


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()
