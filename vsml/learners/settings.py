"""Learners from plain settings, such as are stored with a learned rule."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

from vsml.core.layers import Image
from vsml.core.types import Learner
from vsml.learners.fast_memory import fast_memory
from vsml.learners.hebbian import hebbian
from vsml.learners.meta_rnn import meta_rnn
from vsml.learners.network import network
from vsml.learners.wrappers import conv_features, conv_front, padded

FIXED_SIZE = {"meta_rnn": meta_rnn, "hebbian": hebbian, "fast_memory": fast_memory}


def learner(settings: Mapping[str, Any], features: int, classes: int) -> Learner:
    """The learner of that `name` with these settings, sized for a task.

    vsml: the arguments of `network`, but `hidden_layers` instead of sizes; its theta fits every size. meta_rnn,
    hebbian, fast_memory: those of the function of that name, with `front`, the channels of a convolutional encoder or
    None; they have one size, and smaller tasks are padded.

    Raises:
      ValueError: no such learner, or a task that does not fit it.
    """
    rest = dict(settings)
    name = rest.pop("name")
    if name == "vsml":
        # stored settings are JSON, whose lists are no keys of a cache
        convolutions = tuple(map(tuple, rest.pop("convolutions")))
        image = image_of(features) if convolutions else None
        return network((features, *rest.pop("hidden_layers"), classes), image=image, convolutions=convolutions, **rest)
    if name not in FIXED_SIZE:
        raise ValueError(f"{name!r} is none of the learners {sorted(['vsml', *FIXED_SIZE])}.")
    inputs, outputs, front = (rest.pop(key) for key in ("inputs", "outputs", "front"))
    if front is None:
        whole = FIXED_SIZE[name](inputs, outputs, **rest)
    else:
        image = image_of(inputs)
        whole = conv_front(FIXED_SIZE[name](conv_features(image, front), outputs, **rest), image, front)
    return padded(whole, inputs, outputs, features, classes)


def image_of(features: int) -> Image:
    """The square grey or colour image of so many numbers.

    Raises:
      ValueError: there is none.
    """
    for channels in (1, 3):
        side = isqrt(features // channels)
        if side * side * channels == features:
            return side, side, channels
    raise ValueError(f"inputs (={features}) must be those of a square image, grey or of 3 colours, to convolve them.")
