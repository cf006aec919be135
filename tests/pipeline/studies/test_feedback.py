"""What is said of feedback and local plasticity, on made-up tables."""

import numpy as np
import pytest

from pipeline.show import figures
from pipeline.show.display import Cell
from pipeline.show.measures import Key
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.learning.ranking import plus_minus


@pytest.fixture
def tables(enter):
    enter("default")
    return figures.read(("feedback_test/*.npz",))


def test_experiments_are_those_of_the_items_by_task_and_method(tables):
    assert feedback.tasks(tables, regression=True) == ["sines"]
    assert feedback.tasks(tables, regression=False) == ["glyphs"]
    sines, shuffled = ([one.experiment for one in feedback.on(tables, task)] for task in ("sines", "glyphs_iid"))
    assert sines == ["flp_on_sines", "first_order_on_sines", "second_order_on_sines"]
    assert shuffled == ["flp_on_glyphs_iid", "second_order_on_glyphs_iid"]


def test_numbers_are_means_over_what_they_say(tables):
    first_order, flp = (feedback.tested(tables)[name] for name in ("first_order_on_sines", "flp_on_glyphs"))
    table = first_order.seeds[1].arrays
    np.testing.assert_allclose(first_order.worth()[1], table["loss"][0, :, -1].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(flp.worth(initial=True)[0], flp.seeds[0].arrays["correct"][1, :, -1].mean(-1))
    so_far = first_order.so_far()
    np.testing.assert_allclose(so_far[1, :, 1], table["loss"][0, :, 2, :2].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(so_far[..., -1], first_order.worth(), rtol=1e-6)


def test_what_was_learned_longer_ago_is_forgotten_more_and_updates_interfere(tables):
    tested = feedback.tested(tables)
    forgotten = tested["first_order_on_sines"].forgetting()
    assert forgotten.min() > 1.25 and forgotten.max() < 1.4  # 0.5 a part: the mean of 2, 1.5, 1 and 0.5, times 1 to 1.1
    np.testing.assert_allclose(tested["flp_on_sines"].forgetting(), 0, atol=1e-6)
    assert tested["second_order_on_glyphs"].forgetting().min() > 0  # of accuracy, what is lost counts
    for name, ratio in (("flp_on_sines", -0.04), ("second_order_on_sines", 0.03)):
        np.testing.assert_allclose(tested[name].interference(), ratio, rtol=1e-4)  # of others over own


def test_a_layer_that_never_changes_has_no_alignment(tables):
    flp = feedback.tested(tables)["flp_on_sines"]
    cosine = flp.seeds[0].arrays["cosine"]
    before = float(cosine[0, 0, 1])
    cosine[0, :, 0] = np.nan
    cosine[0, 1:, 1] = np.nan
    found = flp.cosines()
    assert np.isnan(found[0, 0]) and found[0, 1] == pytest.approx(before)
    assert Key("feedback", "flp_on_sines", "cosine_layer_1") not in feedback.feedback(tables)


def test_rows_are_complete(tables):
    found = feedback.feedback(tables)
    rows = feedback.page(found, tables)["rows"]
    assert [row[0] for row in rows] == [Cell("Sines", "MSE"), None, None, Cell("Glyphs", "accuracy"), None]
    shuffled = found[Key("feedback", "flp_on_glyphs_iid", "accuracy")]
    assert rows[0][3] == "" and rows[3][3] == plus_minus(shuffled, digits=3)
    assert float(str(rows[1][-1])) == pytest.approx(0.793, abs=0.006)  # alignment in hidden layers
