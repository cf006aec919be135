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
    arrays, readings = next(iter(by_seed(tables, "introspect", RULE).values())).arrays, []
    rates = [None if np.isnan(rate) else f"{rate:g}" for rate in arrays["rate"].tolist()]
    for prefix, title in READINGS.items():
        names = ("pixels", "image", "label", "probability")
        pixels, image, label, probability = (arrays[f"{prefix}{name}"] for name in names)
        shown = len(pixels)
        firsts = [np.unique(numbers, return_index=True)[1] for numbers in image[:shown]]
        reading = {
            "title": title,
            "label": label[:shown].tolist(),
            "image": image[:shown].tolist(),
            "shape": list(pixels.shape[2:]),  # height, width, colours
            "pixels": [_base64(images[first]) for images, first in zip(pixels, firsts, strict=True)],
            "classes": probability.shape[-1],
            "probability": [[_base64(np.round(255 * episode)) for episode in own[:shown]] for own in probability],
        }
        readings.append(reading)
    learners = zip(map(called, arrays["learner"].tolist()), rates, strict=True)
    return {"learners": [{"name": name, "rate": rate} for name, rate in learners], "readings": readings}


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()
