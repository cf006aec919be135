"""Learned rules that ship with the package, each as the pipeline left it and with a card that says where it is from.

import vsml
rule = vsml.load("mnist")
learner = rule.learner(features=64, classes=10)
predictions = rollout(learner, rule.theta, key, episode)

A rule NAME is NAME.npz, and its card NAME.md. A network that learns by feedback has a NAME.json too: what its theta
does not say of its form. Rules that others made, or you, lie in files of the same kind: see `save`.
"""

import io
import json
import os
import zipfile
import zlib
from functools import partial
from importlib import resources
from numbers import Integral
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vsml.core.types import Learner, Theta
from vsml.learners.settings import FIXED_SIZE, learner
from vsml.zoo.siblings import Sized, cloned, remembering, taught_by_feedback

# What Python and numpy say of an archive, an array or a text that is none.
DAMAGED = (ValueError, EOFError, LookupError, AttributeError, TypeError, OSError, SyntaxError, TokenError)
DAMAGED += (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError)


class Rule(NamedTuple):
    """A learned learning algorithm."""

    name: str
    theta: Theta
    learner: Sized  # (features, classes): of an example, and of what is predicted of it
    settings: dict[str, Any]  # of the learner
    provenance: dict[str, Any]  # experiment, seed, digests of its data and parameters
    card: str  # what it is, what it was trained on, how it fares; Markdown


def names() -> list[str]:
    """The names of the rules that ship, sorted."""
    return sorted(file.name.removesuffix(".npz") for file in resources.files(__name__).iterdir() if _is_rule(file))


def load(name: str | os.PathLike[str], horizon: int | None = None) -> Rule:
    """A rule of the zoo or of a file; see `vsml.load`.

    Raises:
      ValueError: there is none of that name, the file is no rule, or it was not meta-trained for that horizon.
    """
    ships = name in names()
    folder, file = (resources.files(__name__), f"{name}.npz") if ships else (Path(name).parent, Path(name).name)
    if not (folder / file).is_file():
        raise ValueError(f"{str(name)!r} is none of the rules {names()}, and no file either: correct the name.")
    name = file.removesuffix(".npz")
    try:
        with (folder / file).open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        settings, provenance = (json.loads(str(arrays.pop(key))) for key in ("__learner__", "__provenance__"))
        theta, kind = _nested(arrays), settings["name"]
    except DAMAGED as error:
        raise ValueError(f"{folder / file} is no learned rule: use one of `vsml.save` or of `meta_train`.") from error
    if horizon is not None and kind != "recall":
        raise ValueError(f"horizon (={horizon}) is for rules that remember, which {name!r} is not: leave it out.")
    if kind == "recall":
        theta, sized = remembering(settings, theta, horizon)
    elif kind in ("local_plasticity", "descent"):
        if not (form := folder / f"{name}.json").is_file():
            raise ValueError(f"{form} is missing, which says the form of the network: put the rule's into its place.")
        form = json.loads(form.read_text(encoding="utf-8"))
        theta, sized = taught_by_feedback(settings, theta, form)
    else:
        sized = partial(cloned if kind == "clone" else learner, settings)
    card = folder / f"{name}.md"
    words = card.read_text(encoding="utf-8") if card.is_file() else ""
    return Rule(name, theta, partial(_checked, sized), settings, provenance, words)


def save(rule: Rule, path: str | os.PathLike[str]) -> None:
    """Write a rule to a file NAME.npz that `load` reads, and its card to NAME.md beside it, over what was there.

    The same rule gives the same bytes, and an older NAME.npz stays whole until the new one is complete.

    Raises:
      ValueError: the path does not end in .npz, or the rule is of a kind that `vsml.meta_train` does not make.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path (={path}) must end in .npz, as {path.with_suffix('.npz').name}.")
    if rule.settings["name"] not in ("vsml", *FIXED_SIZE):
        raise ValueError(
            f"The rule {rule.name!r} is of the kind {rule.settings['name']!r}, which is not saved from here: copy the "
            "files that `load` has read."
        )
    arrays = {f"theta/{'/'.join(key.key for key in keys)}": z for keys, z in jax.tree.leaves_with_path(rule.theta)}
    texts = {"__learner__": rule.settings, "__provenance__": rule.provenance}
    whole = {**arrays, **{key: np.array(json.dumps(value, sort_keys=True)) for key, value in texts.items()}}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{key: np.asarray(whole[key]) for key in sorted(whole)})
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content.getvalue())
    part.replace(path)
    card = path.with_suffix(".md")
    if rule.card or card.exists():  # that of another rule must not stay
        card.write_text(rule.card, encoding="utf-8")


def _checked(sized: Sized, features: int, classes: int) -> Learner:
    """The learner of that size, which refuses examples of another one in words."""
    learner = sized(whole("features", features), whole("classes", classes))

    def step(theta: Theta, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        if x.shape[-1:] != (features,) or y.shape[-1:] != (classes,):
            raise ValueError(
                f"An example has x of shape {x.shape} and y of shape {y.shape}, this learner takes {features} features "
                f"and {classes} classes: labels are one-hot, as by jax.nn.one_hot(labels, {classes})."
            )
        return learner.step(theta, state, x, y)

    return learner._replace(step=step)


def whole(name: str, value: Any, least: int = 1) -> int:
    """An argument that must be a whole number and so many at least.

    Raises:
      ValueError: it is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} (={value!r}) must be a whole number, {least} or more.")
    return int(value)


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
