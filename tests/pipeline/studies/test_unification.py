"""The table of the unification: the worst episode of each pair, and one row for each method."""

import numpy as np
import pytest

from pipeline.run.artifacts import Table
from pipeline.show.measures import named
from pipeline.studies.unification import measures as unification
from pipeline.studies.unification.measures import PAIRS, WORST
from vsml.unification.pairs import Comparison, pairs


@pytest.fixture
def tables():
    episodes = np.array([[2.0, 3.0, 1.0]] * len(PAIRS)) * np.arange(1, len(PAIRS) + 1)[:, None]
    arrays = {metric: episodes for metric in WORST} | {"pair": np.array(list(PAIRS))}
    counts = {"entries": 10000, "nonzero": 2320, "distinct": 48, "parameters": 32}
    arrays |= {f"matrix/{what}": np.array(count) for what, count in counts.items()}
    return {"unify/unification.npz": Table(arrays, {})}


def test_the_worst_episode_counts(tables):
    found = named(unification.unification(tables))
    assert found["unification/network/prediction_deviation"] == {"value": 3.0, "sd": None, "n": 3}
    assert found["unification/hebb/state_deviation"]["value"] == 12.0
    assert found["unification/hebb/learning"]["value"] == 4.0
    assert found["unification/meta_rnn/control_deviation"]["value"] == 2.0
    assert found["unification/matrix/nonzero"] == {"value": 2320, "sd": None, "n": 1}


def test_the_page_has_a_row_for_every_method_and_the_matrix_counted(tables):
    page = unification.page(unification.unification(tables))
    assert [(row[0], row[-1].note) for row in page["rows"]] == [tuple(pair) for pair in PAIRS.values()]
    assert page["rows"][1][1] == "6.0e+00" and page["n"] == 3
    assert page["matrix"] == {"entries": 10000, "nonzero": 2320, "distinct": 48, "parameters": 32}


def test_words_and_science_name_the_same_pairs_and_metrics():
    assert list(PAIRS) == list(pairs())
    assert set(WORST) == set(Comparison._fields)
