"""Figures 7 and 8 in numbers and words, against small cases computed by hand."""

import numpy as np
import pytest

from pipeline.run.artifacts import Table
from pipeline.show.measures import Key, named
from pipeline.studies.learning import measures, ranking
from pipeline.studies.learning.measures import results
from pipeline.studies.learning.tables import Profile, Task


def _episodes(*shares, length=20):
    """Lives whose accuracies are `shares`; the right predictions are spread evenly."""
    right = [np.diff(np.floor(share * np.arange(length + 1) + 1e-9)) > 0 for share in shares]
    return np.array(right)


def _table(**shares):
    return Table({f"{task}/correct": _episodes(*each) for task, each in shares.items()}, {})


ROBUST = ("mnist_unchanged", "mnist_48px", "mnist_21px", "fashion_mnist_unchanged", "fashion_mnist_classes")


@pytest.fixture
def robust():
    """Two seeds of two episodes each."""
    same = (0.5, 0.6), (0.75, 0.75)  # of Fashion-MNIST
    of_seeds = ((0.8, 0.8), (0.85, 0.85), (0.7, 0.7), *same), ((0.6, 0.6), (0.65, 0.65), (0.6, 0.5), *same)
    tables = (_table(**dict(zip(ROBUST, shares, strict=True))) for shares in of_seeds)
    return {f"meta_test/robust-{seed}.npz": table for seed, table in enumerate(tables)}


def _profile(tasks, trained_on):
    return Profile({task: Task(task.split("_un")[0]) for task in tasks}, trained_on, (5,), "mnist")


def test_differences_are_from_the_unchanged_task_of_the_same_set(robust):
    found = measures.differences(robust)
    assert set(found) == {"mnist_48px", "mnist_21px", "fashion_mnist_classes"}
    # seeds differ by 0.85 - 0.8 and 0.65 - 0.6: in binary a little more than 0.05, which is still within 0.05
    assert found["mnist_48px"] == {"value": pytest.approx(0.05), "sd": pytest.approx(0), "n": 2, "within": True}
    spread = pytest.approx(0.05 / 2**0.5)  # seeds differ by -0.1 and -0.05
    assert found["mnist_21px"] == {"value": pytest.approx(-0.075), "sd": spread, "n": 2, "within": False}
    assert found["fashion_mnist_classes"]["value"] == pytest.approx(0.2)
    del robust["meta_test/robust-1.npz"]
    assert measures.differences(robust)["mnist_21px"]["sd"] is None, "one seed has no spread"


def test_differences_early_in_life_and_of_lives_of_unequal_length(robust):
    for table in robust.values():
        table.arrays["mnist_48px/correct"] = np.array([[True] * 10, [False] * 10])
        table.arrays["mnist_unchanged/correct"] = np.array([[True] * 5 + [False] * 15] * 2)
    assert measures.differences(robust, moment=5)["mnist_48px"]["value"] == pytest.approx(0.5 - 1.0)
    assert measures.differences(robust)["mnist_48px"]["value"] == pytest.approx(0.5 - 0.5)  # both over ten examples


def test_without_the_experiments_there_is_nothing_to_say():
    tables = {"meta_test/vsml-0.npz": _table(mnist=(0.8,))}
    profile = _profile(["mnist"], {"vsml": ("mnist",)})
    assert {key.metric for key in results(tables, profile)} == {"cumulative"}


@pytest.fixture
def varying():
    """Two methods, two mixes, two tasks, two seeds; and SGD, on every seed the same."""
    shares = {
        "vsml_on_mnist": {"mnist": (0.9, 0.8), "kmnist": (0.6, 0.6)},
        "vsml_on_kmnist": {"mnist": (0.8, 0.8), "kmnist": (0.7, 0.6)},
        "meta_rnn_on_mnist": {"mnist": (0.9, 0.9), "kmnist": (0.2, 0.2)},
        "meta_rnn_on_kmnist": {"mnist": (0.3, 0.3), "kmnist": (0.7, 0.7)},
    }
    tables = {
        f"meta_test/{name}-{seed}.npz": _table(**{task: (each[seed],) * 2 for task, each in of_task.items()})
        for name, of_task in shares.items()
        for seed in (0, 1)
    }
    sgd = {"mnist/correct": _episodes(0.7, 0.8)[:, None], "kmnist/correct": _episodes(0.4, 0.5)[:, None]}
    # [rate, one episode]
    tables["baseline/sgd.npz"] = Table({**sgd, "rate": np.array([0.1, 1.0])}, {})
    return tables


def _generality(tables, trained_on):
    """The results by their names in results.json."""
    return named(results(tables, _profile(["mnist", "kmnist"], trained_on)))


TRAINED_ON = {f"{method}_on_{mix}": (mix,) for method in ("vsml", "meta_rnn") for mix in ("mnist", "kmnist")}


def test_seen_and_unseen_are_means_over_mixes_and_tasks(varying):
    found = _generality(varying, TRAINED_ON)
    # seen: (mnist on mnist + kmnist on kmnist) / 2, for each seed: (0.9 + 0.7) / 2 and (0.8 + 0.6) / 2
    spread = pytest.approx(0.1 / 2**0.5)
    assert found["varying_data/vsml/seen"] == {"value": pytest.approx(0.75), "sd": spread, "n": 2, "cells": 2}
    assert found["varying_data/vsml/unseen"]["value"] == pytest.approx(0.7)  # (0.6 + 0.8) / 2 of both seeds
    assert found["varying_data/vsml/unseen"]["sd"] == pytest.approx(0)
    assert found["varying_data/vsml/gap"]["value"] == pytest.approx(0.05)
    assert found["varying_data/vsml/gap"]["cells"] == 4
    assert found["varying_data/meta_rnn/gap"]["value"] == pytest.approx(0.8 - 0.25)
    assert found["varying_data/sgd/gap"]["value"] == pytest.approx(0)  # here both sets are once seen and once not
    assert found["varying_data/sgd/seen"]["value"] == pytest.approx(0.65)  # at the best rate: 0.8 and 0.5
    assert found["varying_data/sgd/seen"]["sd"] is None


def test_methods_are_compared_on_what_all_of_them_have(varying):
    for seed in (0, 1):
        del varying[f"meta_test/meta_rnn_on_kmnist-{seed}.npz"].arrays["mnist/correct"]  # a task that it cannot take
    found = _generality(varying, TRAINED_ON)
    assert found["varying_data/vsml/unseen"]["cells"] == 1
    assert found["varying_data/vsml/unseen"]["value"] == pytest.approx(0.6)
    del varying["baseline/sgd.npz"].arrays["kmnist/correct"]
    found = _generality(varying, TRAINED_ON)
    assert not any(name.startswith("varying_data/sgd/") for name in found)


def test_with_no_unseen_set_there_is_no_gap(varying):
    profile = _profile(["mnist", "kmnist"], dict.fromkeys(TRAINED_ON, ("mnist", "kmnist")))
    found = named(results(varying, profile))
    assert "varying_data/vsml/seen" in found
    assert not any(name.endswith(("unseen", "gap")) for name in found)


def test_mixes_in_order_of_size_and_methods_in_their_own():
    names = ["robust", "hebbian_on_all", "vsml_on_all_but_mnist", "vsml_on_random", "vsml_on_all", "es_on_mnist"]
    assert measures.by_method(dict.fromkeys(names, ("mnist",))) == {
        "vsml": {"random": "vsml_on_random", "all": "vsml_on_all", "all_but_mnist": "vsml_on_all_but_mnist"},
        "hebbian": {"all": "hebbian_on_all"},
    }
    titles = [ranking.mix_title(mix) for mix in ("kmnist", "all", "all_but_kmnist", "all_but_random")]
    assert titles == ["KMNIST", "All", "All but KMNIST", "All but random"]


def test_the_main_experiment_is_vsml_on_its_set_and_that_of_figure_7_where_no_other_is(robust):
    trained_on = {"vsml": ("mnist",), "meta_rnn_on_mnist": ("mnist",)}
    assert measures.by_method(trained_on)["vsml"] == {"mnist": "vsml"}
    assert measures.by_method(trained_on | {"vsml_on_mnist": ("mnist",)})["vsml"] == {"mnist": "vsml_on_mnist"}
    assert measures.by_method({"vsml": ("mnist",)}) == {}
    renamed = {name.replace("robust", "vsml"): table for name, table in robust.items()}
    assert measures.differences(renamed) == measures.differences(robust)
    assert Key("mnist_21px", "vsml", "difference") in results(renamed, _profile(ROBUST, {"vsml": ("mnist",)}))


def test_signs_are_those_of_print():
    assert [*map(ranking.signed, (0.051, -0.051, -0.001))] == ["+0.05", "\u22120.05", "0.00"]
