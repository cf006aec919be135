"""The protocol of the paper's figure 9: which images are seen, and when."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.introspect.association import probabilities, repeated_digits
from vsml.learners.gradient import gradient

Y = np.random.default_rng(0).permutation(np.repeat(np.arange(10, dtype=np.int32), 6))
X = jnp.asarray(np.column_stack([np.arange(60), Y]), jnp.float32)  # number of the example, and its class


@pytest.mark.parametrize("identical", [True, False])
def test_two_images_of_each_digit_each_twice_in_a_row_or_two_others_of_its_class(key, identical):
    episode, image = repeated_digits(key, X, Y, identical=identical)
    number, label = np.asarray(episode.x[:, 0]).astype(int), np.asarray(episode.y).argmax(1)
    np.testing.assert_array_equal(image, np.repeat(np.arange(20), 2) if identical else np.arange(40))
    assert len(set(number)) == (20 if identical else 40)
    np.testing.assert_array_equal(label[0::2], label[1::2])
    assert not identical or (number[0::2] == number[1::2]).all()
    np.testing.assert_array_equal(label, Y[number])
    np.testing.assert_array_equal(np.bincount(label), np.full(10, 4))
    assert len(set(label[0::4])) > 5, "classes come in random order"


def test_episodes_differ_in_images_and_order_and_use_every_example(key):
    made = jax.jit(jax.vmap(lambda k: repeated_digits(k, X, Y)[0].x[:, 0]))(jax.random.split(key, 40))
    assert len(np.unique(np.asarray(made), axis=0)) == 40
    assert len(np.unique(np.asarray(made))) == 60
    assert len(np.unique(Y[np.asarray(made[:, 0]).astype(int)])) > 5, "the order of the classes is random too"


def test_refuses_a_class_with_too_few_examples(key):
    with pytest.raises(ValueError, match=r"classes 0 to 9, each with at least 2 examples, got \[6, 6, .*, 1\]"):
        keep = np.concatenate([np.flatnonzero(Y != 9), np.flatnonzero(Y == 9)[:1]])
        repeated_digits(key, X[keep], Y[keep])
    with pytest.raises(ValueError, match="classes 0 to 4"):
        repeated_digits(key, X, Y, classes=5)
    with pytest.raises(ValueError, match="at least 8 examples"):
        repeated_digits(key, X, Y, per_class=4, identical=False)


def test_probabilities_are_those_before_the_label_is_shown(key):
    x = jax.nn.one_hot(jnp.arange(60), 60)  # every image has its own input: nothing generalises
    episode, _ = repeated_digits(key, x, Y)
    found = np.asarray(probabilities(gradient((60, 10), optax.sgd(3.0)), (), key, episode))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    right = np.sum(found * np.asarray(episode.y), axis=1)
    assert right[0] < 0.5, "nothing is known at first sight"
    assert right[1::2].min() > right[0::2].max(), "one step of this size suffices at the second"
