"""From what is stored with a rule of a sibling system to a theta and a learner like any other."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

from vsml.cloning.clone import Form, clone
from vsml.core.scores import cross_entropy
from vsml.core.types import Learner, Theta
from vsml.feedback.descent import Descent, descent
from vsml.feedback.lifetime import squared_error
from vsml.feedback.local_plasticity import Rule, local_plasticity
from vsml.feedback.network import System, Trunk
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import Rules, neural_rules

Sized = Callable[[int, int], Learner]  # (features, classes)


def remembering(settings: Mapping[str, Any], theta: Theta, horizon: int | None) -> tuple[Theta, Sized]:
    """Of rules with an axis [horizon], that for one horizon, by default the longest; it fits every size.

    Raises:
      ValueError: there is none for that horizon.
    """
    horizons = settings["horizons"]
    chosen = max(horizons) if horizon is None else horizon
    if chosen not in horizons:
        raise ValueError(f"horizon (={horizon}) must be one of {horizons}, for which there are rules.")
    at = horizons.index(chosen)
    return jax.tree.map(lambda leaf: leaf[at], theta), partial(_remembering, settings["graph"], settings["rules"])


def _remembering(graph: Mapping[str, Any], rules: Mapping[str, Any], features: int, classes: int) -> Learner:
    network = GRAPHS[graph["name"]](features, classes, graph["hidden"], graph["density"])
    return neural_rules(network, Rules(**rules))


def cloned(settings: Mapping[str, Any], features: int, classes: int) -> Learner:
    """A network of one layer whose cells run gradient descent, as they learned to."""
    form = {name: value for name, value in settings.items() if name in Form._fields}
    return clone((features, classes), Form(**form))


def taught_by_feedback(settings: Mapping[str, Any], theta: Theta, form: Mapping[str, Any]) -> tuple[Theta, Sized]:
    """Feedback with local plasticity, or its baseline by gradient: a network of the one size that its theta has.

    `form` has `classifies`, and `trunk`: None, or the `image` and `convolutions` of `vsml.feedback.network.Trunk`.
    """
    layers = [theta["forward"][str(number)]["w"].shape for number in range(len(theta["forward"]))]
    sizes = (layers[0][0], *(above for _, above in layers))
    own = {name: value for name, value in settings.items() if name != "name"}
    if settings["name"] == "descent":
        learner = descent(sizes, Descent(**own), cross_entropy if form["classifies"] else squared_error)
    else:
        learner = local_plasticity(sizes, Rule(**own), classifies=form["classifies"])
    trunk = form["trunk"] and Trunk(tuple(form["trunk"]["image"]), tuple(map(tuple, form["trunk"]["convolutions"])))
    system = System(learner, trunk)
    groups = jax.eval_shape(system.init_theta, jax.random.key(0))
    whole = {name: theta.get(name, {}) for name in groups}  # what is empty is not stored
    return whole, partial(_of_one_size, system, sizes)


def _of_one_size(system: System, sizes: tuple[int, ...], features: int, classes: int) -> Learner:
    own = math.prod(system.trunk.image) if system.trunk else sizes[0], sizes[-1]
    if (features, classes) != own:
        raise ValueError(
            f"features (={features}) and classes (={classes}) must be {own[0]} and {own[1]}: this rule is a network "
            "of one size."
        )
    return system.whole()
