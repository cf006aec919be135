"""A learned rule as a classifier: of scikit-learn, of river's kind, and of any stream."""

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from river.checks import yield_checks
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import vsml
from vsml import online
from vsml.core.rollout import rollout
from vsml.core.types import Episode
from vsml.pyfunc import Model
from vsml.river import OnlineClassifier, RiverClassifier

WINE = tuple(map(np.asarray, load_wine(return_X_y=True)))
ORDER = np.random.default_rng(0).permutation(len(WINE[0]))
X, Y = WINE[0][ORDER], WINE[1][ORDER]


@parametrize_with_checks([vsml.VSMLClassifier(random_features=4)])
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_it_passes_all_checks_of_river():
    model = RiverClassifier(random_features=4)
    checks = list(yield_checks(model))
    assert len(checks) > 40
    for check in checks:
        check(model.clone())


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_it_classifies_what_its_rule_has_never_met(load):
    x, y = load(return_X_y=True)
    model = vsml.VSMLClassifier().fit(x[::2], y[::2])
    assert model.score(x[1::2], y[1::2]) > 0.92
    rule = vsml.load("mnist")
    silent = rule._replace(theta=jax.tree.map(jnp.zeros_like, rule.theta))
    assert vsml.VSMLClassifier(silent).fit(x[::2], y[::2]).score(x[1::2], y[1::2]) < 0.7


def test_labels_may_be_words_and_the_order_of_a_sorted_set_does_no_harm():
    names = np.array(["barbera", "barolo", "grignolino"])[WINE[1]]
    model = vsml.VSMLClassifier().fit(WINE[0], names)
    assert list(model.classes_) == ["barbera", "barolo", "grignolino"]
    assert (model.predict(X) == names[ORDER]).mean() > 0.92
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


def test_a_stream_is_learned_alike_however_it_is_cut_and_compiles_three_programs():
    learn: Any = online._learn
    before, found = learn._cache_size(), []
    for size in (1, 7, 8, 30, 33, 100, 178):
        model = vsml.VSMLClassifier(random_features=3)
        for start in range(0, len(X), size):
            model.partial_fit(X[start : start + size], Y[start : start + size], classes=[0, 1, 2])
        found.append(model.predict_proba(X[:50]))
    np.testing.assert_allclose(found, np.broadcast_to(found[0], np.shape(found)), atol=1e-4)
    assert learn._cache_size() - before <= 3
    one_by_one = OnlineClassifier(random_features=3, classes=[0, 1, 2], seed=model.online_._seed)
    for x, y in zip(X, Y, strict=True):
        one_by_one.learn_one({f"{place:02}": value for place, value in enumerate(x)}, int(y))
    asked = one_by_one.predict_proba_one({f"{place:02}": value for place, value in enumerate(X[0])})
    np.testing.assert_allclose(list(asked.values()), found[0][0], atol=1e-4)


def test_units_of_features_do_not_matter():
    plain, other = (vsml.VSMLClassifier().partial_fit(x, Y, [0, 1, 2]) for x in (X, 1e8 + 1e3 * X))
    np.testing.assert_allclose(plain.predict_proba(X), other.predict_proba(1e8 + 1e3 * X), atol=1e-2)


def test_a_fit_that_fails_leaves_what_was_learned_and_what_never_learned_says_so():
    model = vsml.VSMLClassifier(random_features=0).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="'nope' is none of the rules"):
        model.set_params(rule="nope").fit(X, np.array(list("abc"))[Y])
    np.testing.assert_array_equal(model.predict(X), before)
    model = vsml.VSMLClassifier()
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_missing_number_in_the_first_example_costs_no_feature():
    first = [[np.nan, np.nan]]
    x = np.concatenate([first, 1.7e9 + np.random.default_rng(0).normal(size=(60, 1)) * [1, 1]])
    none = np.zeros((1, 2))
    units = online._running((none, none, none), x)
    np.testing.assert_allclose(np.sqrt(units[2][-1] / 60), x[1:].std(0), rtol=1e-6)


def test_classes_of_a_stream_may_be_an_array_and_name_one_twice():
    model = OnlineClassifier(random_features=0, classes=np.array(["a", "b", "a"]))
    assert model.predict_proba_one({"x": 1.0}) == {"a": 0.5, "b": 0.5}
    model.learn_one({"x": 1.0}, "b")
    assert set(model.predict_proba_one({"x": 1.0})) == {"a", "b"}


def test_it_predicts_what_a_rollout_of_its_rule_predicts(key):
    z = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    rule = vsml.load("digits")
    model = online.Online(rule, 13, 3, standardise=False, seed=0)
    model.learn(z[:40], Y[:40])
    episode = Episode(jnp.asarray(z[:41]), jax.nn.one_hot(Y[:41], 3))
    logits = rollout(rule.learner(13, 3), rule.theta, key, episode)[-1]
    np.testing.assert_allclose(model.probabilities(z[40:41])[0], jax.nn.softmax(logits), atol=1e-5)


@pytest.mark.parametrize("random_features", [0, 16])
def test_classes_and_features_may_appear_later_and_what_was_learned_stays(random_features):
    """Labels are words of a feature each; the third class and its feature come after 40 examples of the others."""
    random, model = np.random.default_rng(0), OnlineClassifier(random_features=random_features)
    assert model.predict_one({"a": 1.0}) is None and model.predict_proba_one({}) == {}

    def example(names):
        label = random.choice(list(names))
        return {name: random.normal(2.0 * (name == label), 0.5) for name in names}, str(label)

    for _ in range(40):
        model.learn_one(*example("ab"))
    known = [example("ab") for _ in range(20)]
    assert [model.predict_one(x) for x, _ in known] == [y for _, y in known]
    model.learn_one(*next((x, y) for x, y in iter(lambda: example("abc"), None) if y == "c"))
    assert set(model.predict_proba_one(known[0][0])) == {"a", "b", "c"}
    assert np.mean([model.predict_one(x) == y for x, y in known]) > 0.8
    for _ in range(80):
        model.learn_one(*example("abc"))
    asked = [example("abc") for _ in range(40)]
    copied = pickle.loads(pickle.dumps(model))
    assert np.mean([copied.predict_one(x) == y for x, y in asked]) > 0.9


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: vsml.VSMLClassifier("recall_direct").fit(X, Y), "'recall_direct' is a rule of the kind 'recall'"),
        (lambda: vsml.VSMLClassifier(random_features=-1).fit(X, Y), r"random_features \(=-1\) must be a whole"),
        (lambda: vsml.VSMLClassifier().partial_fit(X, Y), "classes must be passed on the first call to partial_fit"),
        (lambda: vsml.VSMLClassifier().partial_fit(X, Y, [0, 1]), r"y has the labels \[2\], which are none of"),
        (lambda: vsml.VSMLClassifier().partial_fit(X, Y.astype(str), [0, 1, 2]), r"labels \['0' '1' '2'\], which are"),
        (
            lambda: vsml.VSMLClassifier().fit(X, Y).partial_fit(X, Y, [0, 1]),
            r"must be those of the first call, \[0 1 2\]",
        ),
        (lambda: online.Online("mnist", 13, 3).learn(X[:, 1:], Y), r"x \(shape \(178, 12\)\) must be \[n, 13\]"),
        (lambda: online.Online("mnist", 13, 2).learn(X, Y), "must have 178 class numbers from 0 to 1, one an example"),
        (lambda: online.Online("mnist", 1, 1).probabilities(np.array([[1], [np.inf]])), "infinite .* in example 1"),
        (lambda: online.Online("mnist", 1, 1).probabilities(np.array([[1e200]])), "some beyond 1e.150, first in exam"),
        (
            lambda: Model("mnist").predict({"x": X[:2], "y": Y[:1]}),
            r"x \(shape \(2, 13\)\) .* y \(shape \(1,\), int64\)",
        ),
        (lambda: Model("mnist").predict({"x": X[:2], "y": np.array([0.0, np.nan])}), r"y \(shape \(2,\), float64\)"),
        (
            lambda: OnlineClassifier().learn_one({"colour": "red"}, 1),
            "The feature 'colour' is 'red', it must be a finite",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()
