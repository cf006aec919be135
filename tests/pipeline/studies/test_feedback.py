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
    assert feedback.on(tables, "sines") == ["flp_on_sines", "first_order_on_sines", "second_order_on_sines"]
    assert feedback.on(tables, "glyphs_iid") == ["flp_on_glyphs_iid", "second_order_on_glyphs_iid"]


def test_numbers_are_means_over_what_they_say(tables):
    table = feedback.tests(tables)["first_order_on_sines"][1].arrays
    np.testing.assert_allclose(
        feedback.worth(tables, "first_order_on_sines")[1], table["loss"][0, :, -1].mean(-1), rtol=1e-6
    )
    np.testing.assert_allclose(
        feedback.worth(tables, "flp_on_glyphs", newborn=True)[0],
        feedback.tests(tables)["flp_on_glyphs"][0].arrays["correct"][1, :, -1].mean(-1),
    )
    so_far = feedback.so_far(tables, "first_order_on_sines")
    np.testing.assert_allclose(so_far[1, :, 1], table["loss"][0, :, 2, :2].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(so_far[..., -1], feedback.worth(tables, "first_order_on_sines"), rtol=1e-6)


def test_what_was_learned_longer_ago_is_forgotten_more(tables):
    forgotten = feedback.forgetting(tables, "first_order_on_sines")
    assert forgotten.min() > 1.25 and forgotten.max() < 1.4  # 0.5 a part: the mean of 2, 1.5, 1 and 0.5, times 1 to 1.1
    np.testing.assert_allclose(feedback.forgetting(tables, "flp_on_sines"), 0, atol=1e-6)
    assert feedback.forgetting(tables, "second_order_on_glyphs").min() > 0  # of accuracy, what is lost counts


def test_interference_is_others_over_own(tables):
    np.testing.assert_allclose(feedback.interference(tables, "flp_on_sines"), -0.04, rtol=1e-4)
    np.testing.assert_allclose(feedback.interference(tables, "second_order_on_sines"), 0.03, rtol=1e-4)


def test_a_layer_that_never_changes_has_no_alignment(tables):
    table = feedback.tests(tables)["flp_on_sines"][0]
    before = table.arrays["cosine"].copy()
    table.arrays["cosine"][0, :, 0] = np.nan
    table.arrays["cosine"][0, 1:, 1] = np.nan
    found = feedback.cosines(tables, "flp_on_sines")
    assert np.isnan(found[0, 0]) and found[0, 1] == pytest.approx(float(before[0, 0, 1]))
    assert Key("feedback", "flp_on_sines", "cosine_layer_1") not in feedback.feedback(tables)


def test_verdicts_follow_the_numbers(tables):
    found = feedback.feedback(tables)
    words = list(feedback.verdicts(found, tables))
    assert words[0].startswith("Sines, lessons in order: FLP has less error (0.0")
    assert words[0].endswith("than the first-order gradient.")
    assert any("FLP has more error" in each and "second-order" in each for each in words)
    assert any("FLP draws with" in each for each in words)
    assert words[-1] == "Glyphs: from shuffled lessons to lessons in order FLP loses 0.000 of accuracy."


def test_one_learner_wins_only_where_its_seeds_lie_apart(tables):
    def said(mine):
        for table, accuracy in zip(feedback.tests(tables)["flp_on_glyphs"], mine, strict=True):
            table.arrays["correct"][0, :, -1] = accuracy
        words = list(feedback.verdicts(feedback.feedback(tables), tables))
        return next(each for each in words if each.startswith("Glyphs, lessons in order") and "second-order" in each)

    theirs = [table.arrays["correct"][0, :, -1].mean() for table in feedback.tests(tables)["second_order_on_glyphs"]]
    assert "FLP loses against (" in said([0.0] * len(theirs)) and "seeds apart" in said([0.0] * len(theirs))
    mixed = [1.0] * (len(theirs) - 1) + [0.0]
    assert "seeds overlap" in said(mixed) and "wins" not in said(mixed) and "loses" not in said(mixed)


def test_rows_are_complete(tables):
    found = feedback.feedback(tables)
    table = feedback.table(found, tables, lives=6)
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    sines, glyphs = Cell("Sines", "MSE"), Cell("Glyphs", "accuracy")
    assert [row["Task"] for row in rows] == [sines, None, None, glyphs, None]
    shuffled = found[Key("feedback", "flp_on_glyphs_iid", "accuracy")]
    assert rows[0]["Shuffled"] == "" and rows[3]["Shuffled"] == plus_minus(shuffled, digits=3)
    assert float(str(rows[1]["Alignment, hidden"])) == pytest.approx(0.793, abs=0.006)
