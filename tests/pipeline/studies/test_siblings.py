"""Rules of the sibling systems, from what is stored with them to learners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.run import paths
from pipeline.studies import params
from pipeline.studies.feedback import build as support
from pipeline.studies.feedback import card as feedback
from vsml.core.rollout import rollout
from vsml.core.types import Episode, Learner, RandomKey, Theta
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import Rules, neural_rules
from vsml.zoo.siblings import remembering, taught_by_feedback


def _program(learner: Learner, theta: Theta, key: RandomKey, episode: Episode) -> str:
    """What an episode computes, step by step: equal programs give equal predictions. Nothing is compiled."""
    return str(jax.make_jaxpr(lambda *lifetime: rollout(learner, *lifetime))(theta, key, episode))


GRAPH = {"name": "recurrent", "hidden": 2, "density": 1.0}


@pytest.fixture
def sections():
    return params.read(paths.ROOT / "profiles/smoke/params.yaml").feedback.experiments


@pytest.fixture
def stored():
    """Rules that remember 3 and 9 snippets, as they are stored: settings, and a theta with an axis [horizon]."""
    rules = Rules(width=4)
    graph = GRAPHS["recurrent"](4, 4, 2, 1.0)
    theta = jax.vmap(lambda key: rules.init_theta(graph, key))(jax.random.split(jax.random.key(0), 2))
    return {"graph": GRAPH, "rules": rules._asdict(), "horizons": [3, 9], "size": 4}, theta


@pytest.mark.parametrize(("horizon", "at"), [(3, 0), (9, 1), (None, 1)])
def test_a_rule_that_remembers_is_that_of_its_horizon_and_fits_every_size(stored, key, horizon, at):
    settings, thetas = stored
    theta, sized = remembering(settings, thetas, horizon)
    jax.tree.map(lambda own, every: np.testing.assert_array_equal(own, np.asarray(every)[at]), theta, thetas)
    own = neural_rules(GRAPHS["recurrent"](5, 5, 2, 1.0), Rules(width=4))
    episode = Episode(jnp.zeros((6, 5)), jnp.zeros((6, 5)))
    assert _program(sized(5, 5), theta, key, episode) == _program(own, theta, key, episode)


@pytest.mark.parametrize("name", ["flp_on_sines", "second_order_on_sines", "flp_on_glyphs", "second_order_on_glyphs"])
def test_a_network_that_learns_by_feedback_lives_as_the_one_that_was_meta_trained(sections, name, key):
    section = sections[name]
    system = support.system(section)
    theta = system.init_theta(key)
    not_empty = {group: part for group, part in theta.items() if jax.tree.leaves(part)}
    loaded, sized = taught_by_feedback(support.settings(section), not_empty, feedback.form(section))
    jax.tree.map(np.testing.assert_array_equal, loaded, theta)
    features, outputs = feedback.sizes(section)
    points = (4,) if section.task.name == "sines" else ()
    episode = Episode(jnp.zeros((3, *points, features)), jnp.zeros((3, *points, outputs)))
    program = _program(sized(features, outputs), loaded, key, episode)
    assert program == _program(system.whole(), theta, key, episode)


def test_another_horizon_and_another_size_of_a_network_of_one_are_refused(stored, sections, key):
    settings, thetas = stored
    with pytest.raises(ValueError, match=r"horizon \(=4\) must be one of \[3, 9\]"):
        remembering(settings, thetas, 4)
    section = sections["flp_on_glyphs"]
    theta = support.system(section).init_theta(key)
    _, sized = taught_by_feedback(support.settings(section), theta, feedback.form(section))
    with pytest.raises(ValueError, match=r"features \(=784\) and classes \(=10\) must be 784 and 3"):
        sized(784, 10)
