"""Rules that learned to remember: what is said of them, on made-up tables, and what they make of images."""

import json

import jax
import numpy as np
import pytest

from pipeline.run import paths
from pipeline.run.artifacts import Rule, write_table
from pipeline.run.params import plain
from pipeline.show import figures
from pipeline.show.measures import Key, named
from pipeline.studies.learning.params import Introspect
from pipeline.studies.learning.ranking import plus_minus
from pipeline.studies.recall import measures as recall
from pipeline.studies.recall import recall_testing as recall_test
from pipeline.studies.recall.params import Recall
from vsml.recall.fixed import GRID
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import Rules


@pytest.fixture
def tables(enter):
    enter("default")
    return figures.read(("recall_test/*.npz",))


@pytest.fixture
def results(tables):
    return recall.recall(tables)


@pytest.fixture
def found(results):
    """The same by their names in results.json."""
    return named(results)


def test_recall_is_over_the_last_snippets_of_each_horizon_once_an_episode_has_settled(tables, found):
    table = tables["recall_test/direct-1.npz"]
    settled, index, horizon = int(table.arrays["settled"]), 1, int(table.arrays["horizon"][1])
    right = table.arrays["right"][index, :, settled:, :horizon]
    assert right.min() >= 0
    by_hand = right.mean() / 8
    assert recall.last(tables, "direct")[horizon][1].mean() == pytest.approx(by_hand)
    entry = found[f"recall/direct/last@{horizon}"]
    assert (entry["n"], entry["value"]) == (12, pytest.approx(recall.last(tables, "direct")[horizon].mean()))
    assert entry["sd_seeds"] > 0 and found["recall/direct/last@4"]["value"] > 0.7
    assert found["recall/frozen/last@4"]["value"] == pytest.approx(0.5, abs=0.02), "what cannot learn is at chance"


def test_the_best_fixed_rule_is_chosen_in_hindsight_for_each_kind(tables, found):
    arrays = tables["recall_test/direct-0.npz"].arrays
    assert recall.best_fixed(arrays, "hebb", 4) == pytest.approx(0.7, abs=1e-3)
    assert recall.best_fixed(arrays, "delta", 4) == pytest.approx(0.95, abs=1e-3)
    # Another Hebb, which is better.
    more = arrays | {"fixed": arrays["fixed"][[0, 1, 0]] * [[[1]], [[1]], [[2]]], "rule": arrays["rule"][[0, 1, 0]]}
    assert recall.best_fixed(more, "hebb", 4) == pytest.approx(1.4, abs=1e-2)
    assert recall.best_fixed(more, "delta", 4) == pytest.approx(0.95, abs=1e-3)
    at_noise = recall.best_fixed(arrays, "delta", 4, "noise/fixed")
    np.testing.assert_allclose(at_noise, 0.95 * (1 - arrays["noise"]), atol=1e-3)
    assert found["recall/delta/last@4"]["value"] == pytest.approx(0.95, abs=1e-3)


def test_a_rule_that_is_the_delta_rule_is_found_to_be_it(tables, found, results):
    assert found["recall/direct/fresh_like_hebb@4"]["value"] == pytest.approx(1)
    assert found["recall/direct/fresh_held@4"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["recall/direct/stored_like_delta@4"]["value"] == pytest.approx(1)
    assert found["recall/direct/stored_held@4"]["value"] == pytest.approx(1, abs=1e-5)
    assert found["recall/direct/stored_like_hebb@4"]["value"] < 0.9
    _, four, _, _ = recall.page(results, tables, "digits")["synapse"]
    assert four[:2] == ["4", plus_minus(found["recall/direct/fresh_like_hebb@4"], "sd_seeds")] and len(four) == 5


def test_moves_count_bits_of_their_own_size(tables):
    assert recall.moves(tables, "direct") == ["size_4", "size_16", "transfer_recurrent"]
    small, large, other = (recall.changed(tables, "direct", move) for move in recall.moves(tables, "direct"))
    for horizon, same in large.items():
        np.testing.assert_allclose(same, small[horizon], atol=1e-2)
        assert (other[horizon] < 0.61 * 1.001 * same / 0.99).all()


def test_every_row_of_the_page_has_a_name_and_every_kind_of_fixed_rule_is_known(tables, results):
    rows = recall.page(results, tables, "digits")["rows"]
    names = ("Direct", "Hidden layer with feedback", "Recurrent", "Direct, synapses never change")
    assert [row[0] for row in rows][:4] == list(names)
    assert [row[-2:] for row in rows] == [["64", "500"]] * 4 + [["\u2013", "\u2013"]] * 3
    assert {kind for kind, _, _ in GRID} == set(recall.FIXED)


def test_an_exposure_counts_less_what_strangers_gain_and_as_long_as_it_is_remembered(tables, results, found):
    last = tables["recall_test/direct-0.npz"].arrays["query_probability"].shape[4] - 1
    for horizon in (2, 4, 8, 16):
        at_once, later = (found[f"recall/direct/gain_own{gap}@0@{horizon}"] for gap in ("", f"_after_{last}"))
        assert 0.49 < at_once["value"] < 0.57 and at_once["sd_seeds"] > 0
        assert later["value"] == pytest.approx(at_once["value"] if last < horizon else -0.1, abs=0.02)
    vsml = {"value": 0.25, "sd": 0.1, "n": 24, "sd_seeds": 0.01}
    own = results | {Key("digits", "vsml", "gain_own", 0): vsml}
    row, *_ = recall.page(own, tables, "digits")["sighted"]
    assert row[0] == "0" and row[1].startswith("0.5") and row[5:] == ["0.25 \u00b1 0.01"]
    assert all(row[5:] == ["\u2013"] for row in recall.page(results, tables, "digits")["sighted"])


@pytest.mark.parametrize(
    ("where", "value", "complaint"),
    [
        (("defaults", "training", "window"), 7, r"window \(=7\) must divide length \(=\d+\) of recall's training"),
        (("tests", "lags"), 99, r"settled \(=\d+\) must be at least lags \(=99\) and less than length"),
        (("tests", "lags"), 2, r"recall\.experiments\.direct: the longest horizon \(=16\) must be at most recall"),
        (("tests", "thorough"), ["dirct"], r"'dirct' is none of the recall\.experiments that recall\.tests\.thorough"),
    ],
)
def test_tests_that_ask_what_cannot_be_known_are_refused(enter, where, value, complaint):
    tree = plain(enter("default").recall)
    (section, *folders), last = where[:-1], where[-1]
    inner = tree[section]
    for folder in folders:
        inner = inner[folder]
    inner[last] = value
    with pytest.raises(ValueError, match=complaint):
        Recall.model_validate_json(json.dumps(tree))


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
