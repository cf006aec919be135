"""The numbers, against small cases computed by hand."""

import math

import numpy as np
import pytest

from pipeline import comparison, figures, results
from pipeline.artifacts import Table
from vsml.tasks.datasets import SETS

YES, NO = True, False


def _table(**arrays):
    return Table({name.replace("__", "/"): np.asarray(value) for name, value in arrays.items()}, {})


@pytest.fixture
def tables():
    """Two seeds, two lives of four examples; SGD has two rates, the first good early and the second late."""
    early, late = [[YES, YES, NO, NO]] * 2, [[NO, YES, YES, YES]] * 2
    return {
        "meta_test/vsml-1.npz": _table(iris__correct=[[YES, YES, YES, YES], [YES, YES, YES, NO]]),
        "meta_test/vsml-0.npz": _table(iris__correct=[[NO, NO, NO, NO], [NO, YES, NO, YES]]),
        "baseline/sgd.npz": _table(iris__correct=[early, late], rate=np.array([0.01, 0.3], np.float32)),
    }


def test_value_spread_and_count_are_those_of_all_lives_of_all_seeds(tables):
    entry = results.accuracies(tables)["iris/vsml/cumulative@4"]
    # lives: 0, 1/2 (seed 0) and 1, 3/4 (seed 1)
    assert entry["value"] == pytest.approx(0.5625)
    assert entry["n"] == 4
    assert entry["sd"] == pytest.approx(math.sqrt((0.5625**2 + 0.0625**2 + 0.4375**2 + 0.1875**2) / 3))
    assert entry["sd_seeds"] == pytest.approx(0.625 / math.sqrt(2))


def test_cumulative_accuracy_counts_what_was_right_so_far():
    assert results.cumulative(np.array([YES, NO, YES, YES])).tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4])


def test_the_best_rate_depends_on_the_horizon(tables):
    assert results.lives(tables, "iris", "sgd", horizon=1).rate == 0.01
    assert results.lives(tables, "iris", "sgd", horizon=4).rate == 0.3
    assert results.accuracies(tables)["iris/sgd/cumulative@4"] == {"value": 0.75, "sd": 0.0, "n": 2, "rate": 0.3}


def test_the_papers_rate_is_fixed_beforehand(tables):
    entry = results.accuracies(tables)["iris/sgd_paper/cumulative@4"]
    assert (entry["value"], entry["rate"]) == (0.5, 0.01)  # 0.3 would be better, and is not asked
    verdict = comparison.verdict_at_paper_rates(results.accuracies(tables))
    assert "(SGD 0.01, Adam 0.001; linear): At the end of the life, SGD or Adam wins on none of 1 sets." in verdict
    tables["baseline/sgd.npz"].arrays["rate"][:] = (0.02, 0.3)
    assert comparison.verdict_at_paper_rates(results.accuracies(tables)) == ""


def test_one_life_has_no_spread(tables):
    tables["baseline/sgd.npz"].arrays["iris/correct"] = tables["baseline/sgd.npz"].arrays["iris/correct"][:, :1]
    assert results.accuracies(tables)["iris/sgd/cumulative@4"]["sd"] is None


def test_horizons_beyond_the_life_are_left_out():
    assert results.horizons(480) == [50, 100, 480]
    assert results.horizons(100) == [50, 100]
    assert results.horizons(30) == [30]


def test_smoothing_keeps_a_constant_and_skips_what_is_not_finite():
    smooth = results.smooth(np.array([2.0, 2.0, np.nan, np.inf, 2.0]), window=3)
    assert smooth.tolist() == [2.0] * 5
    assert np.isnan(results.smooth(np.array([1.0, np.nan, np.nan, np.nan, 1.0]), window=3)[2])


def test_the_final_loss_leaves_out_skipped_steps():
    loss = np.array([9.0] * 38 + [np.nan, 3.0])
    assert results.final_loss(_table(loss=loss, skipped=np.isnan(loss))) == 3.0
    with pytest.raises(ValueError, match="All of the last 2 meta-steps were skipped"):
        results.final_loss(_table(loss=loss, skipped=np.full(40, YES)))


def test_sightings_of_images_and_classes():
    masks = results.sightings(label=np.array([5, 5, 7, 7, 5, 5]), image=np.array([0, 0, 1, 1, 2, 2]))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()} == {
        "first_sighting": [0, 2],
        "second_image": [4],
        "second_sighting": [1, 3, 5],
    }


def test_associations_are_means_over_the_sightings_of_each_life(items):
    tables = figures.read(("introspect/vsml-*.npz",), items)
    found = {(name, metric): values for name, metric, values in results.associations(tables, "vsml")}
    arrays = tables["introspect/vsml-1.npz"].arrays
    probability, label = arrays["probability"][0, 2], arrays["label"][2]
    second = [probability[t, label[t]] for t in range(1, 40, 2)]  # the odd examples repeat those before them
    assert found["vsml", "second_sighting_probability"][1, 2] == pytest.approx(np.mean(second))
    hits = [probability[t].argmax() == label[t] for t in range(1, 40, 2)]
    assert found["vsml", "second_sighting_accuracy"][1, 2] == pytest.approx(np.mean(hits))
    assert found["vsml", "second_image_accuracy"].shape == (3, 8)
    assert found["sgd", "second_image_accuracy"].shape == (1, 8)  # the same lives in each seed's table count once


def test_guessing_is_the_share_of_the_commonest_class():
    data = {"data/wine.npz": _table(y_test=[0, 0, 2, 2, 2])}
    assert results.guessing(data, "wine") == 0.6
    assert results.guessing(data, "sum_sign") == 0.5
    assert not set(results.SYNTHETIC) & set(SETS)


def _entry(value):
    return {"value": value, "sd": 0.01, "n": 16}


def test_equals_win_together():
    families = {"VSML": _entry(0.6), "SGD": _entry(0.5), "Adam": _entry(0.6)}
    assert comparison.winners(families) == ["VSML", "Adam"]


def test_the_verdict_names_every_set_that_a_baseline_wins():
    found = {
        "digits/vsml/cumulative@100": _entry(0.7),
        "digits/sgd/cumulative@100": _entry(0.5),
        "digits/adam_hidden/cumulative@100": _entry(0.6),
        "digits/vsml/cumulative@480": _entry(0.8),
        "digits/sgd/cumulative@480": _entry(0.75),
        "digits/adam_hidden/cumulative@480": _entry(0.9),
        "sum_sign/vsml/cumulative@100": _entry(0.6),
        "sum_sign/sgd/cumulative@100": _entry(0.5),
        "sum_sign/adam/cumulative@100": _entry(0.6),
    }
    assert comparison.verdict(found) == (
        "After 100 examples, SGD or Adam wins on none of 2 sets. "
        "At the end of the life, SGD or Adam wins on 1 of 2 sets: Digits (Adam 0.900, VSML 0.800)."
    )
