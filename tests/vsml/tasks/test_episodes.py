"""Episodes for meta-training and meta-testing: what they promise, under jit and vmap."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.tasks import episodes
from vsml.tasks.datasets import Facts
from vsml.tasks.episodes import Source, Task, one_shot, stream
from vsml.tasks.views import view

EXAMPLES, FEATURES, CLASSES = 60, 5, 6
Y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, 4, 5], [5, 5, 5, 5, 5, 35])).astype(np.int32)
# the first feature is the number of the example, the second its class: an episode tells where it came from
X = np.column_stack([np.arange(EXAMPLES), Y, np.zeros((EXAMPLES, FEATURES - 2))]).astype(np.float32)
SOURCE = Source(Facts(FEATURES, CLASSES, pixels=(0.0, 1.0)), X, Y)
OTHER = Source(Facts(FEATURES, 2, pixels=(10.0, 2.0)), X[:10] + 1000, np.repeat([0, 1], 5))
RAW = view("raw", None, FEATURES, FEATURES)


def many(draw, count=40):
    """`count` lifetimes, drawn under jit with the data as an argument."""
    return jax.jit(lambda draw, keys: jax.vmap(draw)(keys))(draw, jax.random.split(jax.random.key(3), count))


def told(episode):
    """The number of each example, its class and its label."""
    x = np.asarray(episode.x)
    return x[..., 0].round().astype(int), x[..., 1].round().astype(int), np.asarray(episode.y).argmax(-1)


def test_test_episode_shows_no_example_twice_and_keeps_its_label(key):
    draw = jax.jit(lambda key, length: episodes.test_episode(key, X, Y, CLASSES, length), static_argnums=1)
    episode = draw(key, EXAMPLES)
    numbers = np.asarray(episode.x[:, 0]).astype(int)
    assert sorted(numbers) == list(range(EXAMPLES))
    assert list(numbers) != list(range(EXAMPLES))
    np.testing.assert_array_equal(np.asarray(episode.y), np.eye(CLASSES)[Y[numbers]])
    assert not np.array_equal(episode.x, draw(jax.random.key(1), EXAMPLES).x)
    np.testing.assert_array_equal(draw(key, 20).x, episode.x[:20])


def test_a_number_of_classes_is_a_subset_in_a_fresh_order():
    number, true, label = told(many(stream([Task(SOURCE, RAW, 3)], 200)))
    np.testing.assert_array_equal(true, Y[number])
    orders = set()
    for one_label, one_true in zip(label, true, strict=True):
        order = [set(one_true[one_label == c].tolist()) for c in range(3)]
        assert [len(classes) for classes in order] == [1, 1, 1], "one label, one class"
        assert len(set.union(*order)) == 3
        orders.add(tuple(min(classes) for classes in order))
    assert len(orders) > 25, "every episode has its own subset and order"
    assert {c for order in orders for c in order} == set(range(CLASSES))
    np.testing.assert_allclose(np.bincount(label.ravel(), minlength=3) / label.size, 1 / 3, atol=0.02)


def test_named_classes_keep_their_order_are_even_and_every_example_of_them_is_drawn():
    classes = (4, 0, 2, 5, 1, 3)
    number, true, label = told(many(stream([Task(SOURCE, RAW, classes)], 300)))
    np.testing.assert_array_equal(np.array(classes)[label], true)
    np.testing.assert_allclose(np.bincount(true.ravel()) / true.size, 1 / CLASSES, atol=0.02)  # one class has 35 of 60
    assert set(number.ravel()) == set(range(EXAMPLES))


def test_a_proportional_stream_has_the_frequencies_of_the_set():
    number, true, label = told(many(stream([Task(SOURCE, RAW, (4, 0, 2))], 300, proportional=True)))
    np.testing.assert_array_equal(np.array([4, 0, 2])[label], true)
    np.testing.assert_array_equal(Y[number], true)
    sizes = np.bincount(Y)[[4, 0, 2]]
    np.testing.assert_allclose(np.bincount(label.ravel()) / label.size, sizes / sizes.sum(), atol=0.02)
    assert len(set(number.ravel())) == sizes.sum(), "every example of them is drawn"


def test_tasks_take_turns_at_random_with_their_own_source_units_and_view():
    doubled = view("projected", None, FEATURES, FEATURES)
    tasks = [Task(SOURCE, RAW, (0, 1)), Task(OTHER, RAW, (0, 1)), Task(OTHER, doubled, 2)]
    made = many(stream(tasks, 6), count=300)
    first = np.asarray(made.x[:, 0, 0])
    plain, other = first < 60, np.isin(first, (np.arange(10) + 990) / 2)  # (x - 10) / 2 of 1000 and more
    assert 60 < plain[np.asarray(made.x[:, 0, 2]) == 0].sum() < 140
    assert 60 < other.sum() < 140
    number, true, label = told(jax.tree.map(lambda z: z[plain & (np.asarray(made.x[:, 0, 2]) == 0)], made))
    np.testing.assert_array_equal(true, label)
    np.testing.assert_array_equal(true, Y[number])


def test_a_view_is_one_matrix_for_an_episode_and_another_for_the_next():
    source = SOURCE._replace(x=np.random.default_rng(1).normal(size=(EXAMPLES, FEATURES)).astype(np.float32))
    task = Task(source, view("projected", None, FEATURES, 3), CLASSES)
    seen, raw = many(stream([task], 50)), many(stream([task._replace(view=RAW)], 50))
    np.testing.assert_array_equal(seen.y, raw.y)
    found = set()
    for r, s in zip(np.asarray(raw.x), np.asarray(seen.x), strict=True):
        matrix = np.linalg.lstsq(r, s, rcond=None)[0]
        np.testing.assert_allclose(r @ matrix, s, atol=1e-4)
        found.add(float(matrix[0, 0]))
    assert len(found) == len(raw.x)


@pytest.mark.parametrize(("projections", "views"), [(1, 1), (3, 3), (None, 60)])
def test_episodes_see_through_so_many_projections_in_all(projections, views):
    same = Task(SOURCE._replace(x=np.ones_like(X)), view("projected", None, FEATURES, 3), CLASSES)
    made = many(stream([same], 1, projections=projections), count=60)
    assert len(np.unique(np.asarray(made.x[:, 0, 0]).round(5))) == views


def test_one_shot_shows_each_class_once_and_asks_for_another_example():
    made = many(one_shot([Task(SOURCE, RAW, 4)]), count=200)
    number, true, label = told(made)
    assert label.shape == (200, 5)
    assert all(sorted(one[:4]) == [0, 1, 2, 3] for one in label)
    assert len({tuple(one[:4]) for one in label}) == 24, "shuffled, unlike in the released code"
    for one_number, one_true, one_label in zip(number, true, label, strict=True):
        shown = one_label[:4].tolist().index(one_label[4])
        assert one_true[4] == one_true[shown]
        assert one_number[4] != one_number[shown]
    assert Counter(label[:, 4]).most_common()[-1][1] > 25


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (
            lambda: episodes.test_episode(jax.random.key(0), X, Y, CLASSES, EXAMPLES + 1),
            r"length \(=61\) must be at most the number of examples \(=60\)",
        ),
        (lambda: stream([Task(SOURCE, RAW, 7)], 5), r"classes \(=7\) must be at most"),
        (lambda: stream([Task(SOURCE, RAW, (1, 6))], 5), r"classes \(=\(1, 6\)\) must be"),
        (lambda: stream([Task(SOURCE, RAW, 2), Task(SOURCE, RAW, 3)], 5), r"one number of classes, got \[2, 3\]"),
        (
            lambda: one_shot([Task(SOURCE._replace(x=X[:6], y=np.array([0, 0, 1, 1, 2, 3])), RAW, 2)]),
            "2 examples or more",
        ),
    ],
)
def test_tasks_that_cannot_be_are_refused(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


@pytest.mark.parametrize("draw", [stream([Task(SOURCE, RAW, 3)], 8), one_shot([Task(SOURCE, RAW, 3)])])
def test_same_key_same_episode_jitted_or_not(key, draw):
    jax.tree.map(np.testing.assert_array_equal, draw(key), jax.jit(lambda d, k: d(k))(draw, key))


def test_data_are_arguments_of_a_compiled_draw_and_no_constants():
    draw = stream([Task(SOURCE, RAW, 3)], 8)
    text = jax.jit(lambda d, k: d(k)).lower(draw, jax.random.key(0)).as_text()
    assert f"tensor<{EXAMPLES}x{FEATURES}xf32>" in text.split("{", 2)[1] + text.split("@main", 1)[1].split(")", 1)[0]


def test_bytes_stay_bytes_until_an_episode_is_drawn(key):
    task = Task(SOURCE._replace(x=X.astype(np.uint8)), RAW, 3)
    draw = stream([task], 4)
    assert np.dtype(np.uint8) in {leaf.dtype for leaf in jax.tree.leaves(draw)}
    assert draw(key).x.dtype == jnp.float32
