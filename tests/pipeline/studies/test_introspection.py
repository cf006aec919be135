"""The numbers of introspection, on beliefs that are made up so that each is known."""

import numpy as np
import pytest

from pipeline.run.artifacts import Table
from pipeline.show.measures import named
from pipeline.studies.learning import association as introspection
from pipeline.studies.learning.tables import Profile, Task

PROFILE = Profile({"digits": Task("digits")}, {"vsml": ("digits",)}, (50,), "digits")
EPISODES = 4


def _table(**changed):
    """Two learners at two ages. The gain of VSML on the same image is 0.3 and of SGD 0.8 at the start; on strangers 0.1
    and 0.7. After ten examples VSML gains 0.2 on the image, SGD the same, and episodes differ by some hundredths."""
    query_probability = np.zeros((3, 2, EPISODES, 3, 7, 3, 2))  # learner age lifetime told gap probe class
    nothing, right, wrong = 0.1, [[0.3, 0.2, 0.1], [0.8, 0.75, 0.7], [0.05, 0.04, 0.03]], 0.25
    fading = np.linspace(1, 0.4, 7)
    query_probability[...] = nothing
    for learner, gains in enumerate(right):
        for probe, gain in enumerate(gains):
            query_probability[learner, 0, :, 1, :, probe, 0] += gain * fading
    query_probability[:, 1, :, 1, :, 0, 0] += 0.2
    query_probability[:, 1, :, 1, 0, 0, 0] += np.array([[0.0], [0.02], [0.3]]) * np.array([1, -1, 1, -1])
    query_probability[:, :, :, 2, :, 0, 1] += wrong
    query_probability[:, :, :, 2, :, 0, 0] -= 0.06
    cosine = np.tile([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], (3, EPISODES, 1))
    arrays = {
        "learner": np.array(["vsml", "sgd", "sgd_paper"]),
        "age": np.array([0, 10]),
        "query_probability": query_probability,
        "cosine": cosine,
        "change": cosine,
        **changed,
    }
    return Table(arrays, {})


def _found(*tables):
    """The results by their names in results.json."""
    tables = {f"introspect/vsml-{i}.npz": table for i, table in enumerate(tables)}
    return named(introspection.introspection(tables, PROFILE))


def test_a_gain_is_against_the_same_life_without_the_sighting():
    found = _found(_table(), _table())
    assert found["digits/vsml/gain_same@0"] == {
        "value": pytest.approx(0.3),
        "sd": pytest.approx(0, abs=1e-9),
        "n": 2 * EPISODES,
        "sd_seeds": pytest.approx(0, abs=1e-9),
    }
    assert found["digits/sgd/gain_same@0"]["n"] == EPISODES, "a baseline has no seeds"
    assert found["digits/vsml/gain_other@0"]["value"] == pytest.approx(0.2)
    assert found["digits/vsml/gain_stranger@0"]["value"] == pytest.approx(0.1)
    assert found["digits/sgd/gain_own@0"]["value"] == pytest.approx(0.1)
    assert found["digits/vsml/gain_same_after_5@0"]["value"] == pytest.approx(0.3 * 0.5)
    assert found["digits/vsml/gain_same_after_6@0"]["value"] == pytest.approx(0.3 * 0.4)


def test_a_wrong_label_is_against_the_right_one():
    found = _found(_table())
    assert found["digits/vsml/wrong_gained_same@0"]["value"] == pytest.approx(0.25)
    assert found["digits/vsml/wrong_lost_same@0"]["value"] == pytest.approx(-0.06 - 0.3)
    assert found["digits/vsml/wrong_gained_other@0"]["value"] == pytest.approx(0)


def test_an_image_is_told_apart_by_which_is_more_probable_alone():
    probability = np.copy(_table().arrays["query_probability"])
    probability[0, 0, :, 2, 0, 0, 1], probability[0, 0, :, 2, 0, 2, 1] = (0.3, 0.2, 0.1, 0.1), (0.2, 0.3, 0.1, 0.05)
    for sharper in (1, 4):
        found = _found(_table(query_probability=probability**sharper))
        assert found["digits/vsml/told_apart@0"]["value"] == (1 + 0 + 0.5 + 1) / 4
        assert found["digits/sgd/told_apart@0"]["value"] == 1


def test_cosines_are_means_of_steps_that_have_a_direction():
    cosine = np.copy(_table().arrays["cosine"])
    cosine[0, :, 0] = np.nan
    cosine[1, 1:, :2] = np.nan
    cosine[2] = np.nan
    found = _found(_table(cosine=cosine))
    assert found["digits/vsml/cosine"]["value"] == pytest.approx(np.mean([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]))
    assert found["digits/vsml/cosine"]["clear"] == pytest.approx(7 / 8)
    assert found["digits/vsml/cosine_first"]["value"] == pytest.approx(0.2)
    assert found["digits/vsml/cosine_last"]["value"] == pytest.approx(0.75)
    assert found["digits/sgd/cosine_first"]["n"] == 1, "in the other episodes no step has one"
    assert not any("sgd_paper/cosine" in name for name in found)


def test_single_channels_are_of_one_seed_and_groups_of_all():
    def of(lost):
        reset = 0.9 - np.array(lost)[None, None, :] * np.ones((EPISODES, 2, 1))
        more = {
            "intact_accuracy": np.full(EPISODES, 0.9),
            "reset_accuracy": reset,
            "way": np.array(["initial", "mean"]),
        }
        follows = np.arange(2 * EPISODES).reshape(EPISODES, 1, 2, 1) / 10
        names = {"reset": np.array(["memory_0", "memory"]), "followed": np.array(["input"])}
        return _table(**more, **names, follows=follows)

    found = _found(of([0.1, 0.5]), of([0.3, 0.7]))
    assert found["digits/vsml/lost_memory_mean"]["value"] == pytest.approx(0.6)
    assert found["digits/vsml-0/lost_memory_0_initial"]["value"] == pytest.approx(0.1)
    assert found["digits/vsml-1/lost_memory_0_initial"]["value"] == pytest.approx(0.3)
    assert "digits/vsml/lost_memory_0_initial" not in found
    assert "digits/vsml-1/lost_memory_initial" not in found
    assert found["digits/vsml-1/follows_input_memory_0"]["value"] == pytest.approx(np.mean([0.1, 0.3, 0.5, 0.7]))
    assert not any("lost_" in name.rpartition("/")[2] for name in _found(_table()) if "wrong" not in name)
