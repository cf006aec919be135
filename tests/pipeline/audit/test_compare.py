"""How alike two results are: each verdict on tables that differ by just so much."""

import itertools

import numpy as np
import pytest

from pipeline.audit.replay import ALIKE, DIFFERENT, EQUAL, IDENTICAL, compare
from pipeline.run.artifacts import write_table

RANDOM = np.random.default_rng(0)
CORRECT = RANDOM.random((3, 16, 50)) < 0.7
LOSS = RANDOM.random((3, 16, 50)).astype(np.float32)
AXES = {"correct": ("seed", "episode", "time"), "loss": ("seed", "episode", "time"), "rate": ("rate",)}


@pytest.fixture
def write(tmp_path):
    def one(name, correct=CORRECT, loss=LOSS, rate=(0.1, 0.2), axes=AXES):
        write_table(tmp_path / name, {"correct": correct, "loss": loss, "rate": np.array(rate, np.float32)}, axes)
        return tmp_path / name

    return one


def test_the_same_table_is_identical(write):
    assert compare(write("a.npz"), write("b.npz")) == (IDENTICAL, "")


def test_rounding_is_equal_and_a_tenth_of_a_permille_is_not(write):
    first = write("a.npz")
    assert compare(first, write("b.npz", loss=LOSS * np.float32(1 + 1e-6)))[0] == EQUAL
    assert compare(first, write("c.npz", rate=(0.1, 0.2001)))[0] == DIFFERENT


def test_other_lives_of_the_same_skill_are_alike(write):
    kind, words = compare(write("a.npz"), write("b.npz", correct=np.random.default_rng(1).random((3, 16, 50)) < 0.7))
    assert kind == ALIKE and "n = 48" in words


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


def test_another_skill_is_different(write):
    kind, words = compare(write("a.npz"), write("b.npz", correct=np.random.default_rng(1).random((3, 16, 50)) < 0.6))
    assert kind == DIFFERENT and "p = " in words


def test_a_shift_that_few_samples_cannot_show_is_no_equivalence(write):
    few = {"correct": CORRECT[:1, :4], "loss": LOSS[:1, :4]}
    kind, words = compare(write("a.npz", **few), write("b.npz", **few | {"correct": ~CORRECT[:1, :4]}))
    assert kind == DIFFERENT and "4 samples are too few" in words


def test_other_arrays_shapes_and_nan_are_different(write):
    first = write("a.npz")
    assert compare(first, write("b.npz", loss=LOSS[..., :-1]))[0] == DIFFERENT
    holed = LOSS.copy()
    holed[0, 0, 0] = np.nan
    assert compare(first, write("c.npz", loss=holed))[0] == DIFFERENT
    assert compare(first, write("d.npz", axes=AXES | {"loss": ("episode", "seed", "time")}))[0] == DIFFERENT


def test_files_that_are_no_tables_are_identical_or_different(tmp_path):
    for name, text in (("a.json", "{}"), ("b.json", "[]")):
        (tmp_path / name).write_text(text)
    assert compare(tmp_path / "a.json", tmp_path / "b.json") == (DIFFERENT, "other bytes")
