"""What is learned in order: sine waves and characters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.feedback.glyphs import glyphs
from vsml.feedback.hands import redrawn
from vsml.feedback.tasks import Course, Hands, catalogue, characters, sines

COURSE = Course(parts=3, support=4, queries=2, in_order=True)


def test_sines_come_one_after_the_other_and_so_do_the_query(key):
    x, y = map(np.asarray, jax.jit(sines(COURSE, points=50))(key))
    assert x.shape == (18, 50, 4) and y.shape == (18, 50, 1)
    slot = x[:, 0, :3].argmax(-1)
    assert slot.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [0] * 2 + [1] * 2 + [2] * 2
    np.testing.assert_array_equal(x[..., :3].sum(-1), 1)
    at = x[..., 3]
    assert -5 <= at.min() < -4.5 and 4.5 < at.max() < 5
    for part in range(3):  # each is a sine: a combination of sin and cos that fits exactly
        own = slot == part
        basis = np.stack([np.sin(at[own]).ravel(), np.cos(at[own]).ravel()], -1)
        (a, b), residual, *_ = np.linalg.lstsq(basis, y[own].ravel(), rcond=None)
        assert residual.max() < 1e-6
        assert 0.1 <= np.hypot(a, b) < 5.1 and b >= 0  # A sin(x + phase), phase in [0, pi)


def test_shuffled_support_are_the_same_support(key):
    every = (sines(COURSE._replace(in_order=in_order), points=5) for in_order in (True, False))
    ordered, shuffled = (jax.tree.map(np.asarray, jax.jit(draw)(key)) for draw in every)
    slots = shuffled.x[:12, 0, :3].argmax(-1)
    assert slots.tolist() != sorted(slots.tolist())
    for a, b in zip(ordered, shuffled, strict=True):
        np.testing.assert_array_equal(np.sort(a[:12].reshape(12, -1), 0), np.sort(b[:12].reshape(12, -1), 0))
        np.testing.assert_array_equal(a[12:], b[12:])


def test_few_functions_come_again(key):
    def amplitudes(functions):
        draw = jax.jit(jax.vmap(sines(COURSE, points=200, functions=functions)))
        y = np.asarray(draw(jax.random.split(key, 20)).y)[:, -6::2]
        return len(np.unique(np.abs(y).max((2, 3)).round(1)))

    assert amplitudes(3) <= 6 < 20 < amplitudes(None)


@pytest.fixture
def pool():
    """Each drawing is a number of its own: its class in the tens."""
    return jnp.asarray(10 * np.arange(5)[:, None, None] + np.arange(7)[None, :, None], jnp.uint8)


def test_support_and_query_show_different_drawings_of_the_same_classes(key, pool):
    draw, first = jax.jit(jax.vmap(characters(COURSE, pool, outputs=4))), set()
    for x, y in zip(*map(np.asarray, draw(jax.random.split(key, 40))), strict=True):
        shown = np.rint(255 * x[:, 0]).astype(int)
        classes = shown // 10
        assert classes[:12].reshape(3, 4).std(1).max() == 0 and len(set(classes[:12])) == 3
        np.testing.assert_array_equal(classes[12:].reshape(3, 2), classes[:12].reshape(3, 4)[:, :2])
        assert len(set(shown.tolist())) == 18  # no drawing twice
        labels = {(c, label) for c, label in zip(classes.tolist(), y.argmax(-1).tolist(), strict=True)}
        assert len(labels) == 3 and {label for _, label in labels} == {0, 1, 2}
        first.add(int(y[0].argmax()))
    assert first == {0, 1, 2}  # labels do not follow the order


def test_what_a_pool_cannot_give_is_refused(pool):
    with pytest.raises(ValueError, match="3 classes of 8 drawings are wanted, and there are 5 of 7"):
        characters(COURSE._replace(queries=4), pool, outputs=3)
    with pytest.raises(ValueError, match=r"outputs \(=2\) must be at least the number of classes \(=3\)"):
        characters(COURSE, pool, outputs=2)


def test_glyphs_of_a_class_are_alike_and_those_of_others_are_not(key):
    found = glyphs(key, 6, 5)
    assert found.shape == (6, 5, 784) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, glyphs(key, 6, 5))
    x = np.asarray(found, np.float64) / 255
    assert 0.03 < x.mean() < 0.4 and x.max() > 0.9
    centre = x.mean(1)
    within = np.linalg.norm(x - centre[:, None], axis=-1).mean()
    between = np.linalg.norm(centre[:, None] - centre[None], axis=-1)[~np.eye(6, dtype=bool)].mean()
    assert np.linalg.norm(x[:, 0] - x[:, 1], axis=-1).min() > 0 and within < between


def test_a_hand_moves_stretches_and_slants_what_it_draws(key):
    height, width = 21, 31
    cross = np.zeros((height, width, 1), np.float32)
    cross[8:13, 15], cross[10, 10:21] = 1, 1
    x = np.stack([cross.ravel()] * 200)
    draw = jax.jit(lambda x: (redrawn(key, x, cross.shape, 0.2), redrawn(key, x[:1], cross.shape, 0.0)))
    drawn, (same,) = map(np.asarray, draw(x))
    assert drawn.shape == (200, height * width) and drawn.min() >= 0 and drawn.max() <= 1 + 1e-6
    ink = drawn.reshape(200, height, width) / drawn.sum(1)[:, None, None]
    lines, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    at = np.stack([ink.sum(2) @ lines, ink.sum(1) @ columns], -1)
    assert np.abs(at).max() < 0.24 and at.std(0) == pytest.approx(0.2 / 3**0.5, rel=0.15)  # uniform in +-0.2
    tall = np.sqrt(ink.sum(2) @ lines**2 - at[:, 0] ** 2)
    assert 1.3 < tall.max() / tall.min() < 1.7  # 1.2 / 0.8, and what interpolation blurs
    both = np.einsum("dhw,h,w->d", ink, lines, columns) - at.prod(-1)
    assert both.min() < 0 < both.max()  # lines lean to either side
    np.testing.assert_allclose(same, cross.ravel(), atol=1e-5)


def test_hands_change_the_drawings_and_nothing_else(key, pool):
    pool = jnp.repeat(pool, 9, axis=2)
    every = (characters(COURSE, pool, 4, hands) for hands in (None, Hands((3, 3, 1), 0.3)))
    plain, redone = (jax.tree.map(np.asarray, jax.jit(draw)(key)) for draw in every)
    np.testing.assert_array_equal(plain.y, redone.y)
    assert plain.x.shape == redone.x.shape and not np.allclose(plain.x, redone.x)
    assert np.abs(plain.x.mean(1) - redone.x.mean(1)).max() < plain.x.mean(1).max()


def test_a_catalogue_names_each_class_by_its_number(key, pool):
    x, y = map(np.asarray, jax.jit(catalogue(pool, 64))(key))
    assert x.shape == (64, 1) and y.shape == (64, 5)
    np.testing.assert_array_equal(np.rint(255 * x[:, 0]).astype(int) // 10, y.argmax(-1))
    assert set(y.argmax(-1).tolist()) == set(range(5))
