"""Learned rules that ship with the package, each as the pipeline left it and with a card that says where it is from.

import vsml
rule = vsml.load("mnist")
learner = rule.learner(features=64, classes=10)
predictions = rollout(learner, rule.theta, key, episode)
"""

import json
from collections.abc import Callable
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vsml.core.types import Learner, Theta
from vsml.learners.settings import learner


class Rule(NamedTuple):
    """A learned learning algorithm."""

    theta: Theta
    learner: Callable[[int, int], Learner]  # (features, classes): theta fits every size
    settings: dict[str, Any]  # of the learner
    provenance: dict[str, Any]  # experiment, seed, digests of its data and parameters
    card: str  # what it is, what it was trained on, how it fares; Markdown


def names() -> list[str]:
    """The rules that there are."""
    return sorted(file.name.removesuffix(".npz") for file in resources.files(__name__).iterdir() if _is_rule(file))


def load(name: str) -> Rule:
    """A rule of the zoo.

    Raises:
      ValueError: there is none of that name.
    """
    if name not in names():
        raise ValueError(f"{name!r} is none of the rules {names()}.")
    folder = resources.files(__name__)
    with (folder / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    settings, provenance = (json.loads(str(arrays.pop(key))) for key in ("__learner__", "__provenance__"))
    theta: dict[str, Any] = {}
    for key, value in arrays.items():
        *parents, leaf = key.removeprefix("theta/").split("/")
        inner = theta
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = jnp.asarray(value)
    card = (folder / f"{name}.md").read_text(encoding="utf-8")
    return Rule(theta, partial(learner, settings), settings, provenance, card)


def _is_rule(file: Any) -> bool:
    return file.name.endswith(".npz")
