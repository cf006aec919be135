"""How alike two results are: each verdict on tables that differ by just so much."""

import itertools
import zipfile

import numpy as np
import pytest

from pipeline.audit.replay import ALIKE, DIFFERENT, EQUAL, IDENTICAL, compare
from pipeline.run.artifacts import write_table

RANDOM = np.random.default_rng(0)
CORRECT, OTHERS = RANDOM.random((3, 16, 50)) < 0.7, np.random.default_rng(1).random((3, 16, 50))
LOSS = RANDOM.random((3, 16, 50)).astype(np.float32)
ENDLESS = np.where(np.arange(LOSS.size).reshape(LOSS.shape) == 0, np.float32(np.inf), LOSS)
HOLED = np.where(np.arange(LOSS.size).reshape(LOSS.shape) == 0, np.float32(np.nan), LOSS)
AXES = {"correct": ("seed", "episode", "time"), "loss": ("seed", "episode", "time"), "rate": ("rate",)}
FEW = {"correct": CORRECT[:1, :4], "loss": LOSS[:1, :4]}


@pytest.fixture
def write(tmp_path):
    def one(name, correct=CORRECT, loss=LOSS, rate=(0.1, 0.2), axes=AXES):
        write_table(tmp_path / name, {"correct": correct, "loss": loss, "rate": np.array(rate, np.float32)}, axes)
        return tmp_path / name

    return one


@pytest.mark.parametrize(
    ("first", "second", "verdict", "said"),
    [
        ({}, {}, IDENTICAL, ""),
        ({}, {"loss": LOSS * np.float32(1 + 1e-6)}, EQUAL, "in loss"),  # as rounding leaves it
        ({}, {"rate": (0.1, 0.2001)}, DIFFERENT, "rate by"),
        ({}, {"correct": OTHERS < 0.7}, ALIKE, "n = 48"),  # other episodes of the same skill
        ({}, {"correct": OTHERS < 0.6}, DIFFERENT, "p = "),  # of another skill
        (FEW, FEW | {"correct": ~CORRECT[:1, :4]}, DIFFERENT, "4 samples are too few"),
        ({}, {"loss": LOSS[..., :-1]}, DIFFERENT, "loss by inf"),
        ({}, {"loss": HOLED}, DIFFERENT, "loss by inf"),
        ({"loss": ENDLESS}, {"loss": HOLED}, DIFFERENT, "loss by inf"),
        ({"loss": HOLED}, {"loss": HOLED * np.float32(1 + 1e-6)}, EQUAL, "in loss"),
        ({}, {"axes": AXES | {"loss": ("episode", "seed", "time")}}, DIFFERENT, "__axes__ by inf"),
    ],
)
def test_each_difference_has_its_verdict(write, first, second, verdict, said):
    kind, words = compare(write("a.npz", **first), write("b.npz", **second))
    assert kind == verdict and said in words


def test_few_samples_have_all_their_flips_tried_and_many_always_the_same(write):
    def p_value(episodes: int) -> str:
        files = [
            write(f"{name}.npz", **{key: of[:1, :episodes] for key, of in few.items()}) for name, few in pair.items()
        ]
        return compare(*files)[1].split("p = ")[1].split(" ")[0]

    random = np.random.default_rng(2)
    first, other = (random.normal(size=(1, 16, 1)).astype(np.float32) for _ in range(2))
    pair = {"a": {"correct": CORRECT, "loss": first}, "b": {"correct": CORRECT, "loss": other}}
    apart = (first - other).astype(np.float64)[0, :8, 0]
    sums = [abs(sum(apart * signs)) for signs in itertools.product((-1, 1), repeat=8)]
    assert float(p_value(8)) == pytest.approx(np.mean(np.array(sums) >= abs(sum(apart)) - 1e-9), rel=0.05)
    assert p_value(16) == p_value(16)


def test_files_that_are_no_tables_are_identical_or_different(tmp_path):
    for name, text in (("a.json", "{}"), ("b.json", "[]")):
        (tmp_path / name).write_text(text)
    assert compare(tmp_path / "a.json", tmp_path / "b.json") == (DIFFERENT, "other bytes")


def test_a_header_of_an_array_that_is_no_python_is_a_difference(write, tmp_path):
    with zipfile.ZipFile(tmp_path / "torn.npz", "w") as torn:
        torn.writestr("loss.npy", b"\x93NUMPY\x01\x00\x08\x00((('desc")
    assert compare(write("a.npz"), tmp_path / "torn.npz")[0] == DIFFERENT
