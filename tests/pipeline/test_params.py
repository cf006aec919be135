import pytest

from pipeline import params, paths

PROFILES = sorted(path.parent.relative_to(paths.ROOT) for path in paths.ROOT.glob("**/params.yaml"))


@pytest.fixture
def read(tmp_path, write_params):
    def written(tree):
        write_params(tmp_path / "params.yaml", tree)
        return params.read(tmp_path / "params.yaml")

    return written


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_the_profiles_are_whole(profile):
    found = params.read(paths.ROOT / profile / "params.yaml")
    assert (paths.ROOT / profile / found.root).resolve() == paths.ROOT


def test_an_experiment_replaces_whole_sections_and_no_other(read, tiny):
    tiny["experiments"]["es"] = {"estimator": {"name": "antithetic_es", "std": 0.1, "at_once": 2}}
    found = read(tiny).experiments
    assert params.plain(found["es"].estimator) == {"name": "antithetic_es", "std": 0.1, "at_once": 2}
    assert found["es"].learner == found["vsml"].learner
    assert params.plain(found["vsml"].estimator) == {"name": "backprop", "segment": None, "at_once": 1}


def test_a_feedback_experiment_replaces_whole_sections_too(read, tiny):
    found = read(tiny).feedback
    own, default = found.experiments["second_order_on_sines"], found.defaults
    assert own.learner.name == "descent" and own.task == default.task
    assert found.experiments["flp_on_sines"] == default


def test_drawings_need_their_sets(read, tiny):
    task = {key: tiny["feedback"]["defaults"]["task"][key] for key in ("parts", "lessons", "questions", "in_order")}
    task |= {"name": "drawings", "outputs": 5, "rotated": True, "mirrored": True, "jitter": 0.1}
    task |= {"train_set": "omniglot_small1", "test_set": "iris"}
    tiny["feedback"]["experiments"]["flp_on_sines"] = {"task": task}
    with pytest.raises(ValueError, match=r"'omniglot_small1' is none of the items.train_sets"):
        read(tiny)


def _break(tree, where, value):
    *folders, last = where
    for folder in folders:
        tree = tree[folder]
    if value is None:
        del tree[last]
    else:
        tree[last] = value


@pytest.mark.parametrize(
    ("where", "value", "complaint"),
    [
        (("defaults", "learner", "hiden"), 3, r"defaults\.learner\.hiden \(=3\) is unknown"),
        (("defaults", "learner", "hidden"), None, r"defaults\.learner\.hidden is missing: add it"),
        (("defaults", "learner", "hidden"), "16", r"defaults\.learner\.hidden \(='16'\).*valid integer"),
        (("defaults", "learner", "layer_norm"), 1, r"defaults\.learner\.layer_norm \(=1\).*valid boolean"),
        (("tests", "lives"), 1.5, r"tests\.lives \(=1\.5\)"),
        (("experiments", "vsml", "suites"), ["speed"], r"'speed' is none of the suites of tests \['generalisation'\]"),
        (("items", "train_sets"), [], r"'digits' is none of the items.train_sets \['random', 'sum_sign'\]"),
        (("items", "test_sets"), ["digits"], r"'wine' is none of the items.test_sets"),
        (("introspect", "set"), "mnist", r"'mnist' is none of the items.test_sets"),
        (("introspect", "every"), 3, r"introspect\.every \(=3\) must divide introspect\.length \(=\d+\)"),
        (("introspect", "shown"), 99, r"introspect\.shown \(=99\) must be at most introspect\.lives"),
        (("introspect", "ages"), [], r"introspect\.ages"),
        (("items", "introspect"), ["es"], r"'es' is none of the items.experiments"),
        (("defaults", "estimator", "name"), "evolution", r"defaults\.estimator .*'evolution'.*'antithetic_es'"),
        (("defaults", "estimator", "chunk"), 3, r"defaults\.estimator\.chunk \(=3\) is unknown"),
        (
            ("experiments", "vsml", "optimizer"),
            {"clip": 1.0},
            r"vsml\.optimizer\.learning_rate is missing",
        ),
        (
            ("experiments", "vsml", "optimizer", "clip"),
            -1,
            r"vsml\.optimizer\.clip \(=-1\).*greater than 0",
        ),
        (("experiments", "vsml", "start"), {"norm_fwd_scale": "ten"}, r"vsml\.start\.norm_fwd_scale \(='ten'\)"),
        (("experiments", "vsml", "tests"), {}, r"experiments\.vsml\.tests .* is unknown"),
        (("defaults", "learner", "name"), "lstm", r"defaults\.learner .*'lstm'.*'meta_rnn'"),
        (("experiments", "vsml", "curriculum"), [], r"experiments\.vsml\.curriculum"),
        (("baselines", "sgd", "optimizer"), "rmsprop", r"baselines\.sgd\.optimizer \(='rmsprop'\)"),
        (("random_features", "baselines"), ["rmsprop"], r"random_features\.baselines"),
        (("random_features", "baselines"), [], r"random_features\.baselines"),
        (("baselines", "sgd", "hidden_layers"), [4], r"baselines\.sgd, which random_features.* must be linear"),
        (("random_features", "count"), 0, r"random_features\.count \(=0\)"),
        (("items", "experiments"), ["vsmll"], r"'vsmll' is none of the experiments \['vsml'\]"),
        (("items", "feedback"), ["flp"], r"'flp' is none of the feedback.experiments \["),
        (
            ("feedback", "defaults", "learner", "decay"),
            "yes",
            r"feedback\.defaults\.learner\.decay.*'yes'.*valid boolean",
        ),
        (("feedback", "experiments", "flp_on_sines"), {"learning": {}}, r"flp_on_sines\.learning .* is unknown"),
        (("feedback", "experiments", "flp"), {}, r"feedback\.experiments\.flp must be called METHOD_on_TASK"),
        (("feedback", "tests", "questions"), 1, r"feedback\.tests\.questions \(=1\)"),
        (("lerner",), {}, r"lerner \(=\{\}\) is unknown"),
    ],
)
def test_what_is_wrong_is_refused_by_name(read, tiny, where, value, complaint):
    _break(tiny, where, value)
    with pytest.raises(ValueError, match=complaint):
        read(tiny)


def test_a_missing_file_says_where_to_go(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"params\.yaml is missing: run in the folder of a profile"):
        params.read(tmp_path / "params.yaml")


def test_numbers_are_those_that_dvc_sees(tmp_path):
    text = (paths.ROOT / "params.yaml").read_text().replace("learning_rate: 0.005", "learning_rate: 5e-3")
    (tmp_path / "params.yaml").write_text(text)
    assert params.read(tmp_path / "params.yaml").experiments["vsml"].optimizer.learning_rate == 0.005
