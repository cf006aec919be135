"""Learned rules that ship with the package, each as the pipeline left it and with a card that says where it is from.

import vsml
rule = vsml.load("mnist")
learner = rule.learner(features=64, classes=10)
predictions = rollout(learner, rule.theta, key, episode)

A rule NAME is NAME.npz, and its card NAME.md. A network that learns by feedback has a NAME.json too: what its theta
does not say of its form.
"""

import json
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vsml.core.types import Theta
from vsml.learners.settings import learner
from vsml.zoo.siblings import Sized, cloned, remembering, taught_by_feedback


class Rule(NamedTuple):
    """A learned learning algorithm."""

    name: str
    theta: Theta
    learner: Sized  # (features, classes): of an example, and of what is predicted of it
    settings: dict[str, Any]  # of the learner
    provenance: dict[str, Any]  # experiment, seed, digests of its data and parameters
    card: str  # what it is, what it was trained on, how it fares; Markdown


def names() -> list[str]:
    """The rules that there are."""
    return sorted(file.name.removesuffix(".npz") for file in resources.files(__name__).iterdir() if _is_rule(file))


def load(name: str, horizon: int | None = None) -> Rule:
    """A rule of the zoo; see `vsml.load`.

    Raises:
      ValueError: there is none of that name, or it was not meta-trained for that horizon.
    """
    if name not in names():
        raise ValueError(f"{name!r} is none of the rules {names()}.")
    folder = resources.files(__name__)
    with (folder / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    settings, provenance = (json.loads(str(arrays.pop(key))) for key in ("__learner__", "__provenance__"))
    theta, kind = _nested(arrays), settings["name"]
    if horizon is not None and kind != "recall":
        raise ValueError(f"horizon (={horizon}) is for rules that remember, which {name!r} is not: leave it out.")
    if kind == "recall":
        theta, sized = remembering(settings, theta, horizon)
    elif kind in ("local_plasticity", "descent"):
        form = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        theta, sized = taught_by_feedback(settings, theta, form)
    else:
        sized = partial(cloned if kind == "clone" else learner, settings)
    card = (folder / f"{name}.md").read_text(encoding="utf-8")
    return Rule(name, theta, sized, settings, provenance, card)


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    theta: dict[str, Any] = {}
    for key, value in arrays.items():
        *parents, leaf = key.removeprefix("theta/").split("/")
        inner = theta
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = jnp.asarray(value)
    return theta


def _is_rule(file: Any) -> bool:
    return file.name.endswith(".npz")
