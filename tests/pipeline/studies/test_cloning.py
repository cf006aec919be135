"""What is said of clones and of what became of them, on made-up tables."""

import json

import numpy as np
import pytest

from pipeline.show import figures
from pipeline.show.measures import named
from pipeline.studies.cloning import measures as cloning
from pipeline.studies.cloning.figures.cloning import draw
from pipeline.studies.learning.tables import Profile
from vsml.cloning import trial


@pytest.fixture
def settings(enter):
    return enter("default")


@pytest.fixture
def tables(settings):
    return figures.read(("clone_test/*.npz",))


def test_cumulative_accuracy_is_that_of_the_first_predictions_across_stretches(tables):
    task, own = next(iter(cloning.tested(tables).items()))
    (table,) = tables.values()
    right = np.concatenate(table.arrays[f"{task}/correct"][0, :, 1]).astype(float)
    found = own.cumulative("improved")
    assert found.shape[-1] == len(right)
    assert trial.LEARNERS == cloning.LEARNERS
    assert found[0, 0, [0, 20, -1]].tolist() == pytest.approx([right[0], right[:21].mean(), right.mean()])


def test_where_backpropagation_wanted_nothing_there_is_no_miss(tables, settings):
    task, ((path, table),) = min(cloning.tested(tables)), tables.items()
    missed = table.arrays[f"{task}/missed"].copy()
    below = table.arrays["term"].tolist().index("below")
    missed[:, :, -1, below, 1] = 0.0
    silent = {**tables, path: table._replace(arrays={**table.arrays, f"{task}/missed": missed})}
    found = cloning.cloning(silent)
    json.dumps(named(found), allow_nan=False)
    last = cloning.page(found, silent, 100)["tests"][missed.shape[2] - 1]
    assert [cell for cell in last if cell == "\u2013"] == [last[-1]]  # of the error passed down
    drawn = draw(silent, Profile.of(settings))
    assert all(np.isfinite(axes.get_ylim()).all() for axes in drawn.axes)
