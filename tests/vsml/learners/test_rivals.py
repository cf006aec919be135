"""The rivals are what they are called: after any number of examples, scikit-learn fitted on all of these at once."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from vsml.core.rollout import unroll
from vsml.core.types import Episode
from vsml.learners.rivals import naive_bayes, nearest_mean, nearest_neighbour, ridge

PREFIXES = (12, 25, 60, 140)
TIME = PREFIXES[-1] + 5


class RidgeOnOneHot:
    """Ridge regression as a user would classify by it, the constant input among the others."""

    def __init__(self, strength):
        self.regression = Ridge(alpha=strength, fit_intercept=False)

    def fit(self, x, y):
        self.regression.fit(np.c_[x, np.ones(len(x))], np.eye(max(y) + 1)[y])
        self.known = np.unique(y)

    def decision_function(self, x):
        return self.regression.predict(np.c_[x, np.ones(len(x))])


RIVALS = {
    "nearest_mean": (nearest_mean, NearestCentroid),
    "nearest_neighbour": (partial(nearest_neighbour, length=TIME), partial(KNeighborsClassifier, 1, algorithm="brute")),
}
RIVALS |= {
    f"naive_bayes {strength:g}": (partial(naive_bayes, strength=strength), partial(GaussianNB, var_smoothing=strength))
    for strength in (1e-3, 1.0)
}
RIVALS |= {
    f"ridge {strength:g}": (partial(ridge, strength=strength), partial(RidgeOnOneHot, strength))
    for strength in (0.01, 1000.0)
}


@cache
def data(name):
    x, y = {"digits": load_digits, "wine": load_wine}[name](return_X_y=True)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    order = np.random.default_rng(0).permutation(len(x))[:TIME]
    return x[order].astype(np.float32), y[order]


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")  # of pixels that are always white
@pytest.mark.parametrize("name", ["digits", "wine"])
@pytest.mark.parametrize("rival", RIVALS)
def test_it_is_the_fit_of_scikit_learn_on_each_prefix_of_an_episode(rival, name):
    (make, peer), (x, y) = RIVALS[rival], data(name)
    classes = int(max(y)) + 1
    learner = make(x.shape[1], classes)
    examples = jnp.asarray(x), jax.nn.one_hot(y, classes)

    def step(state, example):
        state, _ = learner.step((), state, *example)
        return state, state

    start = learner.init_state((), jax.random.key(0))
    states = jax.jit(lambda: jax.lax.scan(step, start, examples)[1])()
    asked = jax.jit(jax.vmap(lambda state, x: learner.step((), state, x, examples[1][0])[1], (None, 0)))
    for seen in PREFIXES:
        found = np.asarray(asked(jax.tree.map(lambda z, seen=seen: z[seen - 1], states), examples[0][-60:]))
        fitted = peer()
        fitted.fit(x[:seen], y[:seen])
        if rival.startswith("ridge"):
            expected = fitted.decision_function(x[-60:])
            np.testing.assert_allclose(found[:, : expected.shape[1]], expected, atol=2e-3)
            continue
        answers, (first, second) = np.argmax(found, 1), np.sort(found, 1)[:, ::-1].T[:2]
        clear = first - second > 1e-3  # equals, and what float32 cannot tell apart
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(answers[clear], fitted.predict(x[-60:])[clear])
        if rival.startswith("naive"):
            known = np.unique(y[:seen])
            expected = fitted.predict_joint_log_proba(x[-60:].astype(np.float64))
            expected = 100 * np.tanh((expected - expected.max(1, keepdims=True)) / 100)
            np.testing.assert_allclose(found[:, known], expected, atol=0.02)


@pytest.mark.parametrize("rival", RIVALS)
def test_before_any_example_all_logits_are_equal_and_unseen_classes_come_last(rival):
    learner = RIVALS[rival][0](2, 3)
    x, second = jnp.array([0.5, -1.0]), jnp.array([0.0, 1.0, 0.0])
    state, logits = learner.step((), learner.init_state((), jax.random.key(0)), x, second)
    assert float(jnp.ptp(logits)) == 0
    _, logits = learner.step((), state, -x, second)
    if rival.startswith("ridge"):
        assert logits[0] == logits[2] == 0 != logits[1]
    else:
        np.testing.assert_array_equal(logits, [-100, 0, -100])


def said(learner, classes, *examples):
    """Its logits for each example of one feature, before it is told the label."""
    state, every = learner.init_state((), jax.random.key(0)), []
    for x, label in examples:
        state, logits = learner.step((), state, jnp.array([x]), jax.nn.one_hot(label, classes))
        every.append(logits.tolist())
    return every


def test_of_equally_near_classes_the_first_is_the_answer_and_a_neighbour_is_among_the_last_examples():
    for learner in (nearest_mean(1, 3), nearest_neighbour(1, 3, 4)):
        assert said(learner, 3, (1.0, 2), (-1.0, 1), (0.0, 0))[-1] == [-100, 0, 0]
    found = said(nearest_neighbour(1, 2, 2), 2, (0.0, 0), (5.0, 1), (6.0, 1), (0.0, 0))
    assert np.argmax(found, 1).tolist() == [0, 0, 1, 1]  # when the last one comes, the first is forgotten


@pytest.mark.parametrize("make", [ridge, naive_bayes])
def test_a_grid_of_strengths_is_one_vmap(make, key):
    x, y = data("wine")
    episode, strengths = Episode(jnp.asarray(x), jax.nn.one_hot(y, 3)), jnp.array([0.01, 10.0])

    def predictions(strength):
        learner = make(13, 3, strength)
        return unroll(learner, (), learner.init_state((), key), episode)[1]

    at_once = jax.jit(jax.vmap(predictions))(strengths)
    np.testing.assert_allclose(at_once[1], jax.jit(predictions)(10.0), rtol=1e-4, atol=1e-4)
    assert not np.allclose(at_once[0], at_once[1], atol=0.01)


def test_ridge_stays_sound_in_float32_over_a_long_episode_of_many_inputs():
    """With more inputs than examples at first, a small penalty, and examples of very different sizes."""
    random = np.random.default_rng(1)
    x = (random.normal(size=(600, 200)) * 10.0 ** random.uniform(-1, 1, (600, 1))).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    learner = ridge(200, 2, 0.01)
    episode = Episode(jnp.asarray(x), jax.nn.one_hot(y, 2))
    state, _ = jax.jit(partial(unroll, learner))((), learner.init_state((), jax.random.key(0)), episode)
    heard = np.c_[x, np.ones(600)].astype(np.float64)
    expected = np.linalg.solve(heard.T @ heard + 0.01 * np.eye(201), heard.T @ np.eye(2)[y])
    np.testing.assert_allclose(heard @ np.asarray(state.weights), heard @ expected, atol=5e-3)
