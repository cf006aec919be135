import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline import artifacts, build, params, paths, sources
from pipeline.params import MetaTest
from pipeline.stages import meta_train


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """A profile's folder with its data."""
    monkeypatch.chdir(tmp_path)
    for name in ("iris", "digits"):
        split = sources.read(name)._asdict()
        axes = {key: ("example", "feature")[: value.ndim] for key, value in split.items()}
        artifacts.write_table(paths.data(name), split, axes)


def test_lives_depend_on_seed_set_and_number_alone(profile):
    few = build.test_lives(MetaTest(lives=2, length=20, seed=1), ("iris", "digits"))
    more = build.test_lives(MetaTest(lives=3, length=20, seed=1), ("digits",))
    other = build.test_lives(MetaTest(lives=2, length=20, seed=2), ("digits",))
    for name in more:
        for a, b in zip(jax.tree.leaves(few[name][1]), jax.tree.leaves(more[name][1]), strict=True):
            np.testing.assert_array_equal(a, b[:2])
        assert np.any(few[name][1].x != other[name][1].x)
    assert np.any(few["digits"][1].x[0] != few["digits"][1].x[1])


def test_a_life_ends_when_the_examples_do_and_meets_each_once(profile):
    _, episodes = build.test_lives(MetaTest(lives=2, length=480, seed=1), ("iris",))["iris"]
    assert episodes.x.shape == (2, 150, 4)
    published = sorted(map(tuple, np.asarray(episodes.x[0])))
    assert published == sorted(map(tuple, np.asarray(episodes.x[1])))
    assert np.any(np.asarray(episodes.x[0]) != np.asarray(episodes.x[1]))


@pytest.mark.parametrize("name", ["sgd", "adam", "sgd_hidden", "adam_hidden"])
def test_the_rates_of_a_baseline_are_half_decades_in_order(name):
    rates = np.log10(params.read(paths.ROOT / "params.yaml").baselines[name].rates)
    np.testing.assert_allclose(np.diff(rates), 0.5, atol=0.03)


def test_every_experiment_builds(profile):
    for folder in (paths.ROOT, paths.ROOT / "profiles/smoke"):
        for section in params.read(folder / "params.yaml").experiments.values():
            outer = meta_train.build(section, 0, jnp.zeros((20, 64)), np.arange(20) % 10)
            assert len(outer.phases) == len(section.curriculum)
            for (value_and_grad, sample), phase in zip(outer.phases, section.curriculum, strict=True):
                keys, episodes = jax.eval_shape(sample, outer.key)
                assert episodes.x.shape == (phase.population, phase.length, phase.inputs)
                _, grad = jax.eval_shape(value_and_grad, outer.state.theta, keys, episodes)
                assert jax.tree.structure(grad) == jax.tree.structure(outer.state.theta)
