import contextlib
import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import vsml
from pipeline.data.sources import read
from pipeline.run import artifacts, paths
from pipeline.run.params import plain
from pipeline.studies import params
from pipeline.studies.learning import build, meta_train
from pipeline.studies.learning import params as settings
from pipeline.studies.learning.params import Data, EpisodeSizes, Task
from vsml.learners.settings import image_of, learner
from vsml.tasks.datasets import SETS

PROFILES = sorted(paths.ROOT.glob("**/params.yaml"))
IMAGES = 124  # of each made-up set: two of each class of the largest


def _write(path, x, y):
    artifacts.write_table(path, {"x": x, "y": y.astype(np.int32)}, {"x": ("example", "feature"), "y": ("example",)})


@pytest.fixture
def profile(filled, monkeypatch):
    """A profile's folder, with the real sets that are here and noise in the shape of the others."""
    monkeypatch.chdir(filled)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    with contextlib.chdir(folder):
        _fill()
    build._train_source.cache_clear()
    return folder


def _fill():
    for name in ("iris", "digits"):
        _write(paths.test_data(name), *read(name, "test"))
    _write(paths.train_data("digits"), *read("digits", "train"))
    random = np.random.default_rng(0)
    for name in sorted(SETS.keys() - {"iris", "digits", "wine", "breast_cancer"}):
        facts = SETS[name]
        x = random.integers(256, size=(IMAGES, facts.features), dtype=np.uint8)
        y = np.arange(IMAGES) % min(facts.classes, IMAGES // 2)
        _write(paths.train_data(name), x, y)
        _write(paths.test_data(name), x, y)


def _trial(tests, **task):
    (found,) = build.trials(settings.Tests(suites={"one": {task["set"]: Task(**task)}}, **tests), ("one",))
    return found


def test_lives_depend_on_seed_task_and_number_alone(profile):
    few = _trial({"episodes": 2, "length": 20, "seed": 1}, set="digits")
    more = _trial({"episodes": 3, "length": 20, "seed": 1}, set="digits")
    other = _trial({"episodes": 2, "length": 20, "seed": 2}, set="digits")
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:2]), few.episodes, more.episodes)
    assert np.any(few.episodes.x != other.episodes.x)
    assert np.any(few.episodes.x[0] != few.episodes.x[1])


def test_tasks_of_one_set_have_the_same_images_in_the_same_order(profile):
    tasks = {"as_it_is": Task(set="digits"), "shuffled": Task(set="digits", view="shuffled")}
    tests = settings.Tests(suites={"one": tasks}, episodes=2, length=20, seed=1)
    plain, shuffled = (trial.episodes for trial in build.trials(tests, ("one",)))
    np.testing.assert_array_equal(plain.y, shuffled.y)
    np.testing.assert_allclose(np.sort(plain.x, axis=-1), np.sort(shuffled.x, axis=-1), atol=1e-5)


def test_a_life_ends_when_the_examples_do_and_meets_each_once(profile):
    first, second = np.asarray(_trial({"episodes": 2, "length": 480, "seed": 1}, set="iris").episodes.x)
    assert first.shape == (150, 4) and np.any(first != second)
    assert sorted(map(tuple, first)) == sorted(map(tuple, second))


@pytest.mark.parametrize(
    ("task", "features"),
    [
        ({"set": "mnist"}, 784),
        ({"set": "mnist", "inputs": 441}, 441),
        ({"set": "mnist", "view": "projected", "inputs": 100}, 100),
        ({"set": "mnist", "view": "shuffled"}, 784),
        ({"set": "cifar10", "inputs": 784}, 784),
        ({"set": "random", "inputs": 7}, 7),
        ({"set": "sum_sign", "inputs": 7}, 7),
    ],
)
def test_a_task_is_seen_in_its_view(profile, task, features):
    episodes = _trial({"episodes": 2, "length": 30, "seed": 1}, **task).episodes
    assert episodes.x.shape == (2, 30, features)
    assert episodes.y.shape == (2, 30, 2 if task["set"] == "sum_sign" else 10)


def test_only_the_named_classes_are_tested_numbered_in_their_order(profile):
    trial = _trial({"episodes": 2, "length": 99, "seed": 1}, set="digits", classes=(5, 8, 1))
    table = artifacts.read_table(paths.test_data("digits")).arrays
    raw = np.asarray(trial.episodes.x[0]) * 6.02 + 4.88
    label_of = {tuple(x.round().astype(int)): y for x, y in zip(table["x"], table["y"], strict=True)}
    seen = [label_of[tuple(x.round().astype(int))] for x in raw]
    assert [(5, 8, 1)[label] for label in np.argmax(np.asarray(trial.episodes.y[0]), -1)] == seen
    assert set(seen) == {5, 8, 1}


def test_one_shot_counts_the_last_prediction_of_many_episodes(profile):
    trial = _trial({"episodes": 2, "length": 60, "seed": 1}, set="omniglot", classes=5, episodes="one_shot")
    assert trial.episodes.y.shape == (20, 6, 5)
    section = plain(params.read(paths.ROOT / "profiles/smoke/params.yaml").defaults.learner)
    built = learner(section, trial.features, trial.classes)
    outcome = jax.jit(lambda key: build.run_trial(built, built.init_theta(key), trial))(jax.random.key(0))
    assert outcome["correct"].shape == outcome["loss"].shape == (2, 10)


def test_meta_training_lives_are_all_combinations_those_of_one_size_together(profile):
    data = Data(sets=("mnist", "fashion_mnist", "random"), episodes="stream", projections=None)
    lifetimes = EpisodeSizes(
        views=("raw", "projected"), inputs=(49, 784), classes=(4, (1, 2, 3, 5)), length=6, population=8
    )
    drawn = list(build.training_episodes(data, lifetimes))
    assert sorted((one.inputs, one.classes) for one in drawn) == [(49, 4), (49, 4), (784, 4), (784, 4)]
    assert sum(one.share for one in drawn) == pytest.approx(1)
    assert sorted(one.share for one in drawn) == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])
    for one in drawn:
        episode = jax.eval_shape(one.draw, jax.random.key(0))
        assert (episode.x.shape, episode.y.shape) == ((6, one.inputs), (6, 4))


def test_a_generated_set_needs_a_size(profile):
    lifetimes = EpisodeSizes(views=("raw",), inputs=(None,), classes=(None,), length=6, population=8)
    with pytest.raises(ValueError, match="inputs must be given for random"):
        list(build.training_episodes(Data(sets=("random",), episodes="stream", projections=None), lifetimes))


def test_square_images_are_recognised_and_what_is_none_cannot_be_convolved():
    for features, image in ((784, (28, 28, 1)), (3072, (32, 32, 3)), (1, (1, 1, 1))):
        assert image_of(features) == image
    with pytest.raises(ValueError, match=r"inputs \(=13\) must be those of a square image"):
        image_of(13)


def test_the_rates_of_baselines_are_half_decades_in_order():
    baselines = params.read(paths.ROOT / "params.yaml").baselines
    for name in ("sgd", "adam", "sgd_hidden", "adam_hidden"):
        np.testing.assert_allclose(np.diff(np.log10(baselines[name].grid)), 0.5, atol=0.03)


def test_theta_starts_from_the_numbers_given_and_otherwise_as_it_is_drawn(profile):
    section = params.read(paths.ROOT / "params.yaml").experiments["vsml"]
    drawn = meta_train.build(section.model_copy(update={"start": {}}), 0).state.theta
    given = meta_train.build(section.model_copy(update={"start": {"norm_fwd_scale": 7.0}}), 0).state.theta
    np.testing.assert_array_equal(given["norm_fwd_scale"], np.full(8, 7.0, np.float32))
    assert np.all(np.asarray(drawn["norm_fwd_scale"]) == 1)
    assert given.keys() == drawn.keys()
    jax.tree.map(np.testing.assert_array_equal, {**given, "norm_fwd_scale": 0}, {**drawn, "norm_fwd_scale": 0})
    with pytest.raises(ValueError, match=r"'norm_scale' is none of the leaves of theta \[.*'norm_fwd_scale'"):
        meta_train.build(section.model_copy(update={"start": {"norm_scale": 7.0}}), 0)


def test_a_warm_start_goes_on_from_a_rule_that_ships_in_a_deeper_network_too(profile, tiny, write_params, tmp_path):
    form = {"hidden": 16, "message": 8, "hidden_layers": [4]}
    tiny["experiments"]["deep"] = {"start": {"rule": "digits"}, "learner": form}
    write_params(tmp_path / "params.yaml", tiny)
    deep = params.read(tmp_path / "params.yaml").experiments["deep"]
    jax.tree.map(np.testing.assert_array_equal, meta_train.build(deep, 0).state.theta, vsml.load("digits").theta)
    assert plain(deep)["start"] == {
        "rule": "digits",
        "sha256": artifacts.sha256_file(paths.ROOT / "vsml/zoo/digits.npz"),  # so that another rule is another plan
    }
    for change, why in (
        ({"start": {"rule": "digit"}}, r"start\.rule \(='digit'\) is none of the rules that ship, \['clone_0'"),
        (
            {"learner": form | {"hidden": 8}},
            r"\(='digits'\) is of the learner .*'hidden': 16.*, not of .*'hidden': 8",
        ),
        ({"start": {"rule": "clone_0"}}, r"start\.rule \(='clone_0'\) is of the learner .*'name': 'clone'"),
        ({"start": 3}, r"experiments\.deep\.start \(=3\) is wrong"),
    ):
        write_params(tmp_path / "params.yaml", tiny | {"experiments": {"deep": tiny["experiments"]["deep"] | change}})
        with pytest.raises(ValueError, match=why):
            params.read(tmp_path / "params.yaml")


def _kinds(section, tests):
    """`section` with the kinds of its sets instead of their names: all that shapes and programs depend on."""
    own = section.learner, section.estimator, section.start, [phase.episodes for phase in section.curriculum]
    sets = {str(SETS[name]._replace(pixels=None)) if name in SETS else name for name in section.data.sets}
    tasks = {(task.inputs or SETS[task.set].features, _classes(task)) for task in _tasks(section, tests)}
    return str((own, sorted(sets), section.data.episodes, section.data.projections, sorted(tasks)))


@pytest.mark.slow
def test_every_experiment_of_every_profile_lowers_for_gpus_and_every_task_of_its_suite_fits_it(profile):
    seen = set()  # over all profiles: tracing the same program again would tell nothing
    for file in PROFILES:
        found = params.read(file)
        for section in found.experiments.values():
            if (kinds := _kinds(section, found.tests)) in seen:
                continue
            seen.add(kinds)
            _check(section, found.tests, seen)


def _check(section, tests, seen):
    outer = meta_train.build(section, 0)
    theta, own = jax.eval_shape(lambda: outer.state.theta), section.estimator
    cut = getattr(own, "segment", None) or getattr(own, "chunk", 1)
    # Numbers other than 1, of layers and of ticks, change no operation of the meta-gradient.
    kind = re.sub(r"\b(?!1\b)\d+", "n", str(section.learner)), own.name, section.data.episodes == "one_shot"
    sizes = {(task.inputs or SETS[task.set].features, _classes(task)) for task in _tasks(section, tests)}
    for groups, phase in zip(outer.phases, section.curriculum, strict=True):
        assert sum(group.population for group in groups) >= sum(lifetimes.population for lifetimes in phase.episodes)
        assert all(lifetimes.length % cut == 0 for lifetimes in phase.episodes)
        for group in groups:
            drawn = jax.eval_shape(group.draw, outer.key)
            sizes.add((drawn.x.shape[-1], drawn.y.shape[-1]))
            if kind not in seen:
                seen.add(kind)
                keys = jax.eval_shape(lambda n=group.population: jax.random.split(jax.random.key(0), n))
                step = jax.export.export(jax.jit(group.value_and_grad), platforms=["cuda"])
                _, *grad = step(theta, keys, group.draw).out_avals
                assert [leaf.shape for leaf in grad] == [leaf.shape for leaf in jax.tree.leaves(theta)]
    for features, classes in sizes:
        if (size := (str(section.learner), features, classes)) in seen:
            continue
        seen.add(size)
        built = learner(plain(section.learner), features, classes)
        state = jax.eval_shape(built.init_state, theta, outer.key)
        x, y = (jax.ShapeDtypeStruct((n,), jnp.float32) for n in (features, classes))
        assert jax.eval_shape(built.step, theta, state, x, y)[1].shape == (classes,)


def _tasks(section, tests):
    return [task for suite in section.suites for task in tests.suites[suite].values()]


def _classes(task):
    return {"random": 10, "sum_sign": 2}.get(task.set) or build._count(task.set, task.classes)
