"""Figures: drawn from tables, the same bytes in every process, and legible in what they say."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.axes import Axes

from pipeline.run import paths
from pipeline.run.artifacts import Table, sha256_file
from pipeline.show import figures, style
from pipeline.show.looks import LOOKS
from pipeline.show.measures import Key, named
from pipeline.studies import figure, params, readme
from pipeline.studies.cloning import measures as cloning
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.learning import measures
from pipeline.studies.learning.figures import estimators
from pipeline.studies.learning.measures import by_method
from pipeline.studies.learning.tables import Profile, settings
from pipeline.studies.learning.variants import NAMES
from pipeline.studies.recall import measures as recall
from tests.pipeline.studies.conftest import must_be_legible

EVERY = {
    "default": "meta_training online_learning generalisation association introspection channels agreement snapshots "
    "random_features variants unification cloning improvement feedback_sines feedback_few_shot feedback_updates",
    "mnist": "meta_training online_learning generalisation agreement random_features robustness varying_data",
    "paper": "meta_training online_learning robustness varying_data",
    "tasks": "number_of_tasks",
}
FIGURES = [(where, name) for where, names in EVERY.items() for name in names.split()]
TOLD = rb"(?:tEXt|iTXt|zTXt|tIME)\w*"  # chunks of a PNG that say something
DRAW = "import sys; from pipeline.studies.figure import main; main([sys.argv[1]])"
OF_RECALL = [f"recall_{what}" for what in ("horizons", "forgetting", "rule", "association", "ablations")]
KINDS = {name: (where, name) for where, name in FIGURES[::-1]}  # each in one profile


def _draw(name):
    figure.main([name])
    return {ending: paths.figure(name, ending) for ending in ("png", "pdf")}


def _figure(found, name):
    module = figures.module(name)
    return module.draw(figures.read(module.NEEDS), Profile.of(found))


@pytest.mark.slow
@pytest.mark.parametrize(("where", "name"), KINDS.values())
def test_two_processes_write_the_same_bytes(enter, folders, where, name):
    enter(where)
    digests = {ending: sha256_file(path) for ending, path in _draw(name).items()}
    settings = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "0"}
    users = folders[where] / "matplotlibrc"  # that of a user, in the folder of the run
    users.write_text("font.size: 30")
    subprocess.run([sys.executable, "-c", DRAW, name], check=True, env=os.environ | settings)
    users.unlink()
    assert {ending: sha256_file(paths.figure(name, ending)) for ending in digests} == digests


@pytest.mark.parametrize(("name", "wide"), [("meta_training", 700), *((name, 1440) for name in OF_RECALL)])
def test_files_are_as_wide_as_a_column_or_the_page_and_hold_no_date_and_no_version(profile, name, wide):
    png, pdf = (path.read_bytes() for path in _draw(name).values())
    assert re.findall(TOLD, png) == [b"tEXtProvenance"]  # digests: see tests/pipeline/audit
    assert not re.search(rb"/(CreationDate|ModDate|Producer|Creator)", pdf)
    assert int.from_bytes(png[16:20]) == wide


@pytest.mark.parametrize(("where", "name"), FIGURES)
def test_it_fits_a_page_says_what_it_shows_and_no_words_overlap_or_are_cut_off(enter, where, name):
    module, drawn = figures.module(name), _figure(enter(where), name)
    must_be_legible(drawn)
    assert drawn.get_figwidth() in (style.COLUMN, style.PAGE) and drawn.get_figheight() < 9.5  # inches
    assert len(module.ALT) > 60
    assert any(words in module.CAPTION for words in ("deviation", "standard error", "running mean"))


def test_with_more_seeds_it_prints_on_a_page_too(enter):
    for name in ("association", "introspection", "channels"):
        assert _figure(enter("paper"), name).get_figheight() < 9.5


def test_the_mixes_show_which_sets_were_seen(enter):
    drawn = _figure(enter("mnist"), "varying_data")
    shaded = {axes.get_title("left"): len(axes.patches) for axes in drawn.findobj(Axes) if axes.patches}
    assert shaded == {"MNIST": 1, "Fashion-MNIST": 1, "KMNIST": 1, "Random": 1}  # sum_sign in no mix


def test_the_lead_is_over_whoever_is_best_at_that_moment(enter):
    found = enter("mnist")
    module = figures.module("random_features")
    tables = figures.read(module.NEEDS)
    early, late = np.tile(np.arange(2000) < 200, (16, 1)), np.tile(np.arange(2000) >= 200, (16, 1))
    for rival in ("sgd", "adam", "sgd_hidden", "adam_hidden"):
        tables[f"baseline/{rival}.npz"].arrays["mnist/correct"] = np.stack([early, late])
    zoo = tables["zoo_test/mnist.npz"].arrays
    zoo |= {"features/mnist/correct": np.ones((16, 2000), bool), "mnist/correct": np.zeros((16, 2000), bool)}
    drawn = module.draw(tables, Profile.of(found)).findobj(Axes)
    lead = {line.get_label(): line.get_ydata() for ax in drawn if ax.get_title("left") == "MNIST" for line in ax.lines}
    over_networks = lead["over the best of SGD and Adam"]  # from the 20th example on
    np.testing.assert_allclose(over_networks[[0, 180, 380, -1]], [0, 0, 0.5, 0.1])
    np.testing.assert_allclose(lead["over the rule without them"], 1)


@pytest.fixture
def choose(enter, folders, tmp_path, monkeypatch):
    """Go into a folder that has all files of a profile, and other items."""

    def go(name, **items):
        enter(name)
        tree = json.loads(paths.PARAMS.read_text())
        tree["items"] |= items
        (tmp_path / "params.yaml").write_text(json.dumps(tree))
        (tmp_path / "dvc.yaml").symlink_to(paths.ROOT / "dvc.yaml")
        (tmp_path / "artifacts").symlink_to(folders[name] / "artifacts")
        monkeypatch.chdir(tmp_path)

    return go


def test_left_over_tables_of_other_seeds_are_not_drawn(choose):
    choose("default", seeds=[0, 1])
    assert list(figures.read(("meta_test/vsml-*.npz",))) == ["meta_test/vsml-0.npz", "meta_test/vsml-1.npz"]


def test_only_introspected_experiments_have_that_table(enter, choose):
    items = enter("mnist").items
    assert set(figures.read(("introspect/*",))) == {f"introspect/vsml-{seed}.npz" for seed in items.seeds}
    choose("mnist", introspect=[])
    assert figures.read(("introspect/*",)) == {}


def test_images_and_losses_are_not_kept(enter):
    enter("mnist")
    tables = figures.read(("test_data/*", "meta_test/*", "baseline/sgd.npz"))
    assert tables["test_data/mnist.npz"].arrays["x"].shape == (1, 784), "of images the first, for its size"
    assert len(tables["test_data/mnist.npz"].arrays["y"]) == 620
    kept = {name.rpartition("/")[2] for name in tables["baseline/sgd.npz"].arrays}
    assert kept == {"rate", "correct", "answer"}


def test_rules_are_in_the_order_of_their_number_of_tasks_in_figure_and_table(enter):
    found = enter("tasks")
    left, new, other = _figure(found, "number_of_tasks").axes
    words = ["1", "8", "64", "512", "new"]
    for axes in (left, new, other):
        assert [text.get_text() for text in axes.get_xticklabels()] == words
    module = figures.module("number_of_tasks")
    results = measures.results(figures.read(module.NEEDS), Profile.of(found))
    head, _, *rows = readme.blocks.text("tasks", named(results)).splitlines()[:12]
    assert head.startswith("| Learner | Projections | Meta loss | Digits 01 |") and head.count("|") == 10
    names = [row.split(" | ")[:2] for row in rows]
    assert names == [[f"| {who}", number] for who in ("VSML", "Meta RNN") for number in [*words[:-1], "ever new"]]
    for axes, tasks in (
        (new, ("digits_01", "digits_38", "digits_49")),
        (other, ("breast_cancer", "iris_12", "wine_12")),
    ):
        want = np.mean([results[Key(task, "meta_rnn_64", "cumulative", 40)]["value"] for task in tasks])
        lines = [line.get_ydata() for line in axes.lines if line.get_color() == LOOKS["meta_rnn"].colour]
        assert np.isclose(next(y for y in lines if len(y) == len(words))[2], want)


def test_an_unknown_figure_is_named():
    with pytest.raises(ValueError, match="'pie' is none of the figures"):
        figures.module("pie")


PROFILES = [paths.ROOT, *sorted(path.parent for path in (paths.ROOT / "profiles").glob("*/params.yaml"))]


@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_every_profile_has_what_its_figures_draw(folder):
    found = params.read(folder / "params.yaml")
    profile, names = Profile.of(found), found.items.drawn
    assert not found.items.figures.learning or "vsml" in found.items.experiments
    assert not {"association", "introspection", "channels"}.intersection(names) or "vsml" in found.items.introspect
    assert "varying_data" not in names or by_method(profile.trained_on)
    assert "variants" not in names or {*found.items.experiments} <= NAMES.keys()
    assert "robustness" not in names or settings(profile.tasks)


def test_labels_move_apart_no_further_than_needed():
    assert style.apart([0.2, 0.5, 0.52, 0.9], 0.1) == pytest.approx([0.2, 0.46, 0.56, 0.9])
    assert np.diff(style.apart([0.5] * 5, 0.1)) == pytest.approx([0.1] * 4)


@pytest.mark.parametrize("looks", [LOOKS, recall.LEARNERS | recall.FIXED, feedback.LEARNERS, cloning.CLONES])
def test_each_learner_has_its_own_name_colour_line_and_marker(looks):
    assert list(looks) == [look.key for look in looks.values()]
    assert len({look.name for look in looks.values()}) == len({look.words for look in looks.values()}) == len(looks)
    drawn = [look for look in looks.values() if look.colour]
    assert len({look.colour for look in drawn}) == len(drawn) > 2
    assert len({(look.line, look.marker) for look in drawn}) == len(drawn)


def test_starts_have_a_line_for_each_seed_up_to_the_end_and_a_name_where_they_end():
    random = np.random.default_rng(0)
    curve = {"loss": 0.5 + 0.1 * random.random(120), "skipped": np.zeros(120, bool), "phase": np.arange(120) // 50}
    tables = {
        f"meta_train/{rule}_{key}-{seed}/curve.npz": Table(curve, {})
        for rule, (_, looks) in estimators.PANELS.items()
        for key in looks
        for seed in range(3)
    }
    drawn = estimators.draw(tables, Profile({}, {}, (), "")).axes
    for axes, (rule, (title, looks)) in zip(drawn, estimators.PANELS.items(), strict=True):
        assert axes.get_title(loc="left") == title
        for look in looks.values():
            steps = [np.asarray(line.get_xdata()) for line in axes.lines if line.get_color() == look.colour]
            assert [x[-1] for x in steps if len(x) == 120] == [1, 1, 1]
        losses = [np.asarray(line.get_ydata()) for line in axes.lines]
        ends = [loss[-1] for loss in losses if len(loss) == 120]
        assert np.allclose(ends, ends[0]) and 0.45 < ends[0] * np.log(10) < 0.65, "as a share of guessing one of ten"
        assert {text.get_text() for text in axes.texts} == {look.name for look in looks.values() if rule != "small"}
