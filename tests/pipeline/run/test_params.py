import json
from itertools import product
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from pipeline.run import paths
from pipeline.run.params import merged, plain
from pipeline.run.plan import differences
from pipeline.studies import params
from pipeline.studies.cloning import params as cloning
from pipeline.studies.feedback import params as feedback
from pipeline.studies.recall import params as recall
from vsml.cloning.clone import Form
from vsml.feedback.descent import Descent
from vsml.feedback.local_plasticity import Rule
from vsml.recall.rules import Rules

RATE = "optimizer.learning_rate"


@pytest.fixture
def read(tmp_path):
    def written(tree):
        (tmp_path / "params.yaml").write_text(json.dumps(tree))  # which is YAML, too
        return params.read(tmp_path / "params.yaml")

    return written


@pytest.mark.parametrize("system", ["learning", "feedback", "recall"])
def test_what_is_stated_whole_is_itself_and_what_is_not_stated_stays(system):
    found = params.read(paths.ROOT / "profiles/smoke/params.yaml")
    experiments = [*(found if system == "learning" else getattr(found, system)).experiments.values()]
    kind, every = type(experiments[0]), [plain(one) for one in experiments]
    assert len({str(one) for one in every}) == len(every) > 2  # they do differ
    for one, other in product(every, every):
        assert merged(kind, one, {}) == one
        assert merged(kind, other, one) == one


def test_a_section_of_another_kind_a_list_and_a_table_of_free_names_are_stated_whole(read, tiny):
    tiny["defaults"]["start"] = {"norm_fwd_scale": 5.0}
    given = {"estimator": {"name": "antithetic_es", "std": 0.1, "at_once": 2}, "start": {"norm_bwd_scale": 2.0}}
    tiny["experiments"]["given"] = given
    tiny["feedback"]["experiments"]["flp_on_sines"] = {"training": {"rates": {"forward": {"peak": 0.1, "warmup": 0}}}}
    found = read(tiny)
    own = found.experiments["given"]
    assert plain(own.estimator) == given["estimator"] and own.start == given["start"]
    assert own.learner == found.experiments["vsml"].learner
    own, default = found.feedback.experiments["flp_on_sines"].training, found.feedback.defaults.training
    assert list(own.rates) == ["forward"] and own.steps == default.steps


def test_an_experiment_is_the_default_or_like_another_but_for_the_leaves_that_it_states(read, tiny):
    tiny["experiments"] = {
        "third": {"like": "second", "optimizer": {"final": 0.5}},
        "second": {"like": "vsml", "learner": {"ticks": 3}},
        "vsml": {"optimizer": {"clip": None}},
    }
    tiny["recall"]["experiments"]["direct"] = {"training": {"optimizer": {"final": 0.5}}}
    tiny["feedback"]["experiments"]["flp_on_sines"] = {"like": "flp_on_glyphs", "learner": {"plastic": 1}}
    found = read(tiny)
    expected = plain(found.defaults)
    for name, section, leaf, value in (
        ("vsml", "optimizer", "clip", None),
        ("second", "learner", "ticks", 3),
        ("third", "optimizer", "final", 0.5),
    ):
        assert expected[section][leaf] != value
        expected[section][leaf] = value
        assert plain(found.experiments[name]) == expected
    own, default = plain(found.recall.experiments["direct"]), plain(found.recall.defaults)
    default["training"]["optimizer"]["final"] = 0.5
    assert own == default
    own, other = (found.feedback.experiments[name] for name in ("flp_on_sines", "flp_on_glyphs"))
    assert own.task == other.task and own.learner == other.learner.model_copy(update={"plastic": 1}) != other.learner


PLACES = [  # of names: an entry of a table, or an element of a list
    ("experiments", {}),
    ("baselines", {"name": "sgd"}),
    ("tests", "suites", {}),
    ("tests", "suites", "generalisation", {"set": "digits"}),
    ("recall", "experiments", {}),
    ("feedback", "experiments", {}),
    ("items", "train_sets", []),
    ("items", "test_sets", []),
    ("items", "figures", "learning", []),
    ("items", "zoo", []),
    ("defaults", "data", "sets", []),
    ("defaults", "suites", []),
]
NAMES = ["lr0.003", "two words", "digits$(touch X)", "../up", "", "ätsch", "a-0", "line\n"]


@pytest.mark.parametrize(
    ("where", "name"), [*((where, "digits$(touch X)") for where in PLACES), *((PLACES[0], name) for name in NAMES)]
)
def test_a_name_that_could_reach_a_shell_is_refused(read, tiny, where, name):
    *folders, entry = where
    tree = tiny
    for folder in folders:
        tree = tree[folder]
    tree.append(name) if entry == [] else tree.update({name: entry})
    with pytest.raises(ValueError) as refused:
        read(tiny)
    assert f"{name!r} is no name: it becomes part of commands and of paths, so rename it wi" in str(refused.value)


LEFT_OUT = ("defaults", "experiments", "baselines", "tests", "random_features", "results", "unify")
LEFT_OUT += ("clone", "improve", "clone_test", "feedback")


def test_a_profile_may_leave_out_what_it_has_no_items_of(read, tiny):
    for kind in ("experiments", "introspect", "seeds", "clones", "learned_clones", "zoo", "baselines", "feedback"):
        tiny["items"][kind] = []
    tiny["items"]["figures"] = {study: [] for study in tiny["items"]["figures"]}
    for section in LEFT_OUT:
        del tiny[section]
    found = read(tiny)
    assert found.recall.experiments.keys() == {"direct", "hidden", "frozen"} and found.introspect.set == "digits"
    assert found.experiments == found.baselines == {}
    assert [name for name in (*LEFT_OUT, "recall", "introspect") if found.has(name)] == ["recall", "introspect"]
    with pytest.raises(ValueError, match=r"Section clone_test is left out of this profile, and is needed here: add it"):
        _ = found.clone_test.episodes
    with pytest.raises(AttributeError, match="clone_tset"):
        _ = found.clone_tset


NEEDED = {
    "experiments": ("defaults", "tests"),
    "introspect": ("introspect",),
    "clones": ("clone", "improve", "clone_test"),
    "zoo": ("random_features",),
    "recall": ("recall",),
    "feedback": ("feedback",),
}


@pytest.mark.parametrize(("section", "kind"), [(one, kind) for kind, sections in NEEDED.items() for one in sections])
def test_what_items_are_made_by_is_there(read, tiny, section, kind):
    del tiny[section]
    if section == "defaults":
        tiny["experiments"] = {}
    with pytest.raises(
        ValueError, match=rf"{section} is missing, and items\.{kind} \(=\[.*\]\) needs it: add this sec"
    ):
        read(tiny)


@pytest.mark.parametrize(("learned", "shipped"), [([0], []), ([0, 1], [1]), ([1], [0, 2])])
def test_clones_that_are_tested_are_learned_or_ship_and_not_both(read, tiny, learned, shipped):
    tiny["items"] |= {"clones": [1, 0], "learned_clones": [1], "shipped_clones": [0]}
    assert read(tiny).items.clones == (1, 0)
    tiny["items"] |= {"learned_clones": learned, "shipped_clones": shipped}
    with pytest.raises(ValueError, match=r"items\.clones \(=\[1, 0\]\), which are tested, must be those of"):
        read(tiny)


def test_the_full_profile_is_the_default_one_at_length():
    default, full = (plain(params.read(paths.ROOT / profile / "params.yaml")) for profile in (".", "profiles/full"))
    assert full["items"]["learned_clones"] == default["items"]["shipped_clones"] == full["items"]["clones"]
    assert (default["items"]["seeds"], full["items"]["seeds"]) == ([0, 1, 2], [0, 1, 2, 3, 4])
    clones = {f"items.{kind}_clones" for kind in ("learned", "shipped")}
    trained = {f"{of}.{what}" for of in ("defaults", "experiments.vsml") for what in ("curriculum", RATE)}
    recalled = {f"recall.{of}.training.{what}" for of in ("defaults", "experiments.direct") for what in ("steps", RATE)}
    recalled.add(f"recall.experiments.frozen.training.{RATE}")  # whose steps are its own
    others = {"root", "items.seeds", "experiments.vsml.snapshots", "clone_test.episodes"}
    assert set(differences(default, full)) == clones | trained | recalled | others


@pytest.mark.parametrize(
    ("section", "of"),
    [
        (feedback.LocalPlasticity, Rule),
        (feedback.Descent, Descent),
        (cloning.CloneForm, Form),
        (recall.RecallRules, Rules),
    ],
)
def test_a_section_has_the_fields_and_choices_of_what_is_built_from_it(section, of):
    """Sections are not derived from it: it comes with JAX, whose import takes longer than to read params does."""
    fields = {name: field.annotation for name, field in section.model_fields.items() if name != "name"}
    assert tuple(fields) == of._fields
    choices = {name: hint for name, hint in get_type_hints(of).items() if get_origin(hint) is Literal}
    for name, choice in choices.items():
        assert get_args(fields[name]) == get_args(choice)


def _like(name):
    return {"like": name}


DRAWINGS = {"name": "drawings", "parts": 2, "support": 1, "queries": 1, "in_order": False, "outputs": 5}
DRAWINGS |= {"rotated": True, "mirrored": True, "jitter": 0.1, "train_set": "omniglot_small1", "test_set": "iris"}
ES, GRAPH = {"name": "antithetic_es", "std": 0.1}, {"name": "hidden", "hidden": 4}
ROUND = {"a": _like("b"), "b": _like("c"), "c": _like("b")}


@pytest.mark.parametrize(
    ("where", "value", "complaint"),
    [
        (("defaults", "learner", "hiden"), 3, r"defaults\.learner\.hiden \(=3\) is unknown"),
        (("defaults", "learner", "hidden"), None, r"defaults\.learner\.hidden is missing: add it"),
        (("defaults", "learner", "hidden"), "16", r"defaults\.learner\.hidden \(='16'\).*valid integer"),
        (("defaults", "learner", "layer_norm"), 1, r"defaults\.learner\.layer_norm \(=1\).*valid boolean"),
        (("tests", "episodes"), 1.5, r"tests\.episodes \(=1\.5\)"),
        (("experiments", "vsml", "suites"), ["speed"], r"'speed' is none of the suites of tests \['generalisation'\]"),
        (("items", "train_sets"), [], r"'digits' is none of the items.train_sets \['random', 'sum_sign'\]"),
        (("items", "test_sets"), ["digits"], r"'wine' is none of the items.test_sets"),
        (("items", "test_sets"), ["dgits"], r"'dgits' is none of the sets with a test split \['breast_cancer', "),
        (("items", "train_sets"), ["wine"], r"'wine' is none of the sets with a train split \['cifar10', 'digits', "),
        (("items", "zoo"), ["mnst"], r"'mnst' is none of the rules in vsml/zoo \['clone_0', "),
        (("items", "seeds"), [0, 1, 0], r"items\.seeds \(=\[0, 1, 0\]\) has 0 twice: name each once"),
        (("experiments", "e" * 65), {}, r"string should have at most 64 characters"),
        (("introspect", "set"), "mnist", r"'mnist' is none of the items.test_sets"),
        (("introspect", "every"), 3, r"introspect\.every \(=3\) must divide introspect\.length \(=\d+\)"),
        (("introspect", "shown"), 99, r"introspect\.shown \(=99\) must be at most introspect\.episodes"),
        (("introspect", "ages"), [], r"introspect\.ages"),
        (("items", "introspect"), ["es"], r"'es' is none of the items.experiments"),
        (("defaults", "estimator", "name"), "evolution", r"defaults\.estimator .*'evolution'.*'antithetic_es'"),
        (("defaults", "estimator", "chunk"), 3, r"defaults\.estimator\.chunk \(=3\) is unknown"),
        (("experiments", "vsml", "optimizer"), {"clip": -1}, r"vsml\.optimizer\.clip \(=-1\).*greater than 0"),
        (("experiments", "vsml", "optimizer"), {"clap": 1}, r"vsml\.optimizer\.clap \(=1\) is unknown"),
        (("experiments", "vsml", "optimizer"), 3, r"vsml\.optimizer \(=3\) is wrong"),
        (("experiments", "vsml", "learner"), {"name": "hebbian"}, r"vsml\.learner\.oja is missing: add it"),
        (("experiments", "vsml", "start"), {"norm_fwd_scale": "ten"}, r"vsml\.start\.norm_fwd_scale \(='ten'\)"),
        (("experiments", "vsml", "tests"), {}, r"experiments\.vsml\.tests .* is unknown"),
        (("defaults", "learner", "name"), "lstm", r"defaults\.learner .*'lstm'.*'meta_rnn'"),
        (("experiments", "vsml", "curriculum"), [], r"experiments\.vsml\.curriculum"),
        (("baselines", "sgd", "name"), "rmsprop", r"baselines\.sgd .*'rmsprop'.*'nearest_mean'"),
        (("baselines", "sgd", "rates"), [], r"baselines\.sgd\.rates"),
        (("baselines", "adam", "name"), "sgd", r"baselines\.adam\.name \(='sgd'\) must be 'adam'"),
        (("baselines", "ridge", "strengths"), None, r"baselines\.ridge\.strengths is missing"),
        (("baselines", "ridge", "strengths"), [0.0], r"baselines\.ridge\.strengths\.0 \(=0\.0\).*greater than 0"),
        (("baselines", "nearest_mean", "rates"), [0.1], r"baselines\.nearest_mean\.rates \(=\[0\.1\]\) is unknown"),
        (("random_features", "baselines"), ["rmsprop"], r"random_features\.baselines"),
        (("random_features", "baselines"), [], r"random_features\.baselines"),
        (("baselines", "sgd", "hidden_layers"), [4], r"baselines\.sgd, which random_features.* must be linear"),
        (("random_features", "count"), 0, r"random_features\.count \(=0\)"),
        (("items", "experiments"), ["vsmll"], r"'vsmll' is none of the experiments \['vsml'\]"),
        (("items", "feedback"), ["flp"], r"'flp' is none of the feedback.experiments \["),
        (("feedback", "defaults", "learner", "decay"), "yes", r"defaults\.learner\.decay.*'yes'.*valid boolean"),
        (("feedback", "experiments", "flp_on_sines"), {"learning": {}}, r"flp_on_sines\.learning .* is unknown"),
        (("feedback", "experiments", "flp"), {}, r"feedback\.experiments\.flp must be called METHOD_on_TASK"),
        (("feedback", "tests", "queries"), 1, r"feedback\.tests\.queries \(=1\)"),
        (("feedback", "experiments", "flp_on_sines"), {"task": DRAWINGS}, r"'omniglot_small1' is none of the items.tr"),
        (("lerner",), {}, r"lerner \(=\{\}\) is unknown"),
        # a section of another kind, and an entry of a list, lack what the default has
        (("experiments", "es"), {"estimator": ES}, r"es\.estimator\.at_once is missing: add it \(a section of another"),
        (("recall", "experiments", "hidden", "graph"), GRAPH, r"hidden\.graph\.density is missing: add it"),
        (("experiments", "long"), {"curriculum": [{"steps": 3}]}, r"long\.curriculum\.0\.episodes is missing: add it"),
        # `like` names another experiment, of its own system
        (("experiments", "a"), _like("b"), r"experiments\.a\.like \(='b'\) is none of experiments \['a', 'vsml'\]: na"),
        (("experiments", "a"), _like(["vsml"]), r"experiments\.a\.like \(=\['vsml'\]\) is none of experiments"),
        (("experiments", "a"), _like(None), r"experiments\.a\.like \(=None\) is none of experiments"),
        (("experiments", "a"), _like("a"), r"experiments\.a\.like \(='a'\) leads back to itself \(a -> a\): rem"),
        (("experiments",), ROUND, r"leads back to itself \(a -> b -> c -> b\)"),
        (("experiments",), {"a": _like("b"), "b": 3}, r"experiments\.b \(=3\) is wrong"),
        (("recall", "experiments", "frozen", "like"), "vsml", r"like \(='vsml'\) is none of recall\.experiments"),
    ],
)
def test_what_is_wrong_is_refused_by_name(read, tiny, where, value, complaint):
    *folders, last = where
    tree = tiny
    for folder in folders:
        tree = tree[folder]
    if value is None:
        del tree[last]
    else:
        tree[last] = value
    with pytest.raises(ValueError, match=r"params\.yaml:\n(.|\n)*" + complaint):
        read(tiny)


def test_a_missing_file_says_where_to_go(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"params\.yaml is missing: run in the folder of a profile"):
        params.read(tmp_path / "params.yaml")


def test_numbers_are_those_that_dvc_sees(tmp_path):
    text = (paths.ROOT / "params.yaml").read_text().replace("learning_rate: 0.012", "learning_rate: 12e-3")
    (tmp_path / "params.yaml").write_text(text)
    assert params.read(tmp_path / "params.yaml").experiments["vsml"].optimizer.learning_rate == 0.012
