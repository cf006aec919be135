"""What is said of rules that learned to remember, on made-up tables."""

import numpy as np
import pytest

from pipeline.show import figures
from pipeline.show.measures import Key, named
from pipeline.studies.recall import measures as recall
from pipeline.studies.recall import sighted, synapse
from vsml.recall.fixed import GRID


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


def test_recall_is_over_the_last_snippets_of_each_horizon_once_a_life_has_settled(tables, found):
    table = tables["recall_test/direct-1.npz"]
    settled, index, horizon = int(table.arrays["settled"]), 1, int(table.arrays["horizon"][1])
    right = table.arrays["right"][index, :, settled:, :horizon]
    assert right.min() >= 0
    by_hand = right.mean() / 8
    assert recall.last(tables, "direct")[index, 1].mean() == pytest.approx(by_hand)
    entry = found[f"recall/direct/last@{horizon}"]
    assert (entry["n"], entry["value"]) == (12, pytest.approx(recall.last(tables, "direct")[index].mean()))
    assert entry["sd_seeds"] > 0


def test_rules_that_cannot_learn_are_at_chance_and_the_others_are_above(found):
    assert found["recall/frozen/last@4"]["value"] == pytest.approx(0.5, abs=0.02)
    assert found["recall/direct/last@4"]["value"] > 0.7


def test_the_best_fixed_rule_is_chosen_in_hindsight_for_each_kind(tables, found):
    table = tables["recall_test/direct-0.npz"]
    assert recall.best_fixed(table, "hebb", 4) == (pytest.approx(0.7, abs=1e-3), 0.0, pytest.approx(0.9))
    assert recall.best_fixed(table, "delta", 4)[0] == pytest.approx(0.95, abs=1e-3)
    better = table.arrays["fixed"].copy()
    better[0] *= 2
    other = table._replace(arrays=table.arrays | {"fixed": better})
    assert recall.best_fixed(other, "hebb", 4)[0] == pytest.approx(1.4, abs=1e-2)
    assert recall.best_fixed(other, "delta", 4)[0] == pytest.approx(0.95, abs=1e-3)
    at_noise = recall.best_fixed(table, "delta", 4, "noise/fixed", at=1)[0]
    assert at_noise == pytest.approx(0.95 * (1 - table.arrays["noise"][1]), abs=1e-3)
    assert found["recall/delta/last@4"]["value"] == pytest.approx(0.95, abs=1e-3)


def test_the_verdict_says_where_the_rule_is_not_above_the_fixed_ones(tables, results):
    assert "Direct: nowhere above it; not above it over the last 2 (" in recall.verdict(results, tables)
    results[Key("recall", "direct", "last", 4)] = {"value": 0.97, "sd": 0.0, "n": 12}
    said = recall.verdict(results, tables)
    assert (
        "Direct: above the best fixed rule over the last 4 (0.970 against 0.951); not above it over the last 2" in said
    )


def test_a_rule_that_is_the_delta_rule_is_found_to_be_it(found, results):
    assert found["recall/direct/fresh_like_hebb@4"]["value"] == pytest.approx(1)
    assert found["recall/direct/fresh_held@4"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["recall/direct/stored_like_delta@4"]["value"] == pytest.approx(1)
    assert found["recall/direct/stored_held@4"]["value"] == pytest.approx(1, abs=1e-5)
    assert found["recall/direct/stored_like_hebb@4"]["value"] < 0.9
    sentences = synapse.words(results)
    assert len(sentences) == 4 and "answer 1.00 of the cue already" in sentences[1]


def test_moves_count_bits_of_their_own_size(tables):
    assert recall.moves(tables, "direct") == ["size_4", "size_16", "transfer_recurrent"]
    same = recall.moved(tables, "direct", "size_16")
    np.testing.assert_allclose(same, recall.moved(tables, "direct", "size_4"), atol=1e-2)
    assert (recall.moved(tables, "direct", "transfer_recurrent") < 0.61 * 1.001 * same / 0.99).all()


def test_every_row_of_the_page_has_a_name_and_every_kind_of_fixed_rule_is_known(tables, results):
    rows = recall.table(results, tables).rows
    names = ("Direct", "Hidden layer with feedback", "Recurrent", "Direct, synapses never change")
    assert [row[0] for row in rows][:4] == list(names)
    assert [row[-2:] for row in rows] == [["64", "500"]] * 4 + [["\u2013", "\u2013"]] * 3
    assert {kind for kind, _, _ in GRID} == set(recall.FIXED)


def test_a_sighting_counts_less_what_strangers_gain_and_as_long_as_it_is_remembered(tables, results, found):
    last = tables["recall_test/direct-0.npz"].arrays["belief"].shape[4] - 1
    for horizon in (2, 4, 8, 16):
        at_once, later = (found[f"recall/direct/gain_own{gap}@0@{horizon}"] for gap in ("", f"_after_{last}"))
        assert 0.49 < at_once["value"] < 0.57 and at_once["sd_seeds"] > 0
        assert later["value"] == pytest.approx(at_once["value"] if last < horizon else -0.1, abs=0.02)
    vsml = {"value": 0.25, "sd": 0.1, "n": 24, "sd_seeds": 0.01}
    first, *_ = sighted.words(results | {Key("digits", "vsml", "gain_own", 0): vsml}, "direct", "digits")
    assert first.startswith("At birth: 0.5") and first.endswith("(D = 16); VSML 0.25 \u00b1 0.01.")
    assert all("VSML" not in said for said in sighted.words(results, "direct", "digits"))
