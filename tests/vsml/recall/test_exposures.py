"""What the stage recall_test sees of rules that learn to classify images."""

import jax
import numpy as np
import pytest

from pipeline.run import paths
from pipeline.run.artifacts import Rule, write_table
from pipeline.studies.learning.params import Introspect
from pipeline.studies.recall import recall_testing as recall_test
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import Rules

GRAPH = {"name": "direct", "hidden": 0, "density": 1.0}
SECTION = Introspect(
    set="digits", episodes=3, seed=5, ages=(0, 2), gaps=2, others=2, length=6, every=2, queries=2, shown=1
)


@pytest.fixture
def digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    x, y = random.integers(0, 17, (60, 64)).astype(np.float64), np.repeat(np.arange(10), 6).astype(np.int32)
    write_table(paths.test_data("digits"), {"x": x, "y": y}, {"x": ("example", "feature"), "y": ("example",)})


def _probabilities(plastic: bool) -> np.ndarray:
    rules = Rules(width=4, plastic=plastic)
    made = rules.init_theta(GRAPHS["direct"](8, 8, 0, 1.0), jax.random.key(0))
    theta = jax.tree.map(lambda z: z[None], made)
    settings = {"graph": GRAPH, "rules": rules._asdict(), "horizons": [4]}
    found = {name: array for name, array, _ in recall_test._exposures(SECTION, Rule(theta, settings, {}))}
    return found["query_probability"]


def test_without_plasticity_an_exposure_changes_nothing_and_with_it_something(digits):
    frozen, plastic = _probabilities(False), _probabilities(True)
    assert frozen.shape == plastic.shape == (1, 2, 3, 3, 3, 3, 2)
    np.testing.assert_array_equal(frozen[:, :, :, 1], frozen[:, :, :, 0])
    assert np.abs(plastic[:, :, :, 1] - plastic[:, :, :, 0]).max() > 1e-5  # a rule before meta-training does little
