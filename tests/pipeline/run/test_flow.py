"""What dvc.yaml says, as the pipeline reads it, is what DVC resolves; and DVC does with it what is promised."""

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.run import paths
from pipeline.run.flow import Flow, read_yaml
from pipeline.run.params import plain
from pipeline.studies import params
from pipeline.studies.stages import STAGES


def _stages(profile):
    """The stages that DVC resolves, by name: dvc.yaml's entry, and for an item @ and its words."""
    with Repo(str(paths.ROOT)) as repo:
        found = repo.stage.collect(str(paths.ROOT / profile / "dvc.yaml"))
        return {stage.addressing.rpartition(":")[2]: stage for stage in found}


RUN_CELLS = ("meta_train", "meta_test", "baseline", "introspect", "unify", "clone", "improve", "clone_test", "zoo_test")
PROFILES = sorted(path.parent.relative_to(paths.ROOT) for path in paths.ROOT.glob("**/params.yaml"))


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_items_are_those_that_dvc_resolves(profile):
    items, resolved = Flow(paths.ROOT / profile).items(), _stages(profile)
    assert {item.name for item in items} == resolved.keys()
    for item in items:
        seen = resolved[item.name]
        assert item.cmd == seen.cmd == " ".join(("exec python -m pipeline", item.stage, *item.words))
        assert set(item.deps) == {os.path.normpath(dep.def_path) for dep in seen.deps if not hasattr(dep, "params")}
        assert set(item.outs) == {out.def_path for out in seen.outs}
        if item.stage == "plan":
            continue
        assert item.plan.as_posix() in item.deps
        folder = item.words[0] if item.stage == "shipped_clone" else item.stage  # of the stage whose outs ship
        assert all(Path(out).parts[:2] == ("artifacts", folder) for out in item.outs)
        assert importlib.util.find_spec(STAGES[item.stage].module) is not None
        ours = [dep for dep in item.deps if os.path.normpath(paths.ROOT / profile / dep).endswith(".py")]
        assert not ours, f"{item.name} names code (={ours}), which its plan is there for."


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_a_profile_is_whole_and_has_stages_of_the_default_one(profile):
    """Its dvc.yaml is no link, which DVC could not follow in a revision; it may leave stages out."""
    found = params.read(paths.ROOT / profile / "params.yaml")
    assert (paths.ROOT / profile / found.root).resolve() == paths.ROOT
    path, whole = paths.ROOT / profile / "dvc.yaml", read_yaml(paths.ROOT / "dvc.yaml")
    own = read_yaml(path)
    assert not path.is_symlink() and own["params"] == whole["params"]
    assert own["stages"].items() <= whole["stages"].items(), f"{path} differs from dvc.yaml: copy it from there."


def test_an_item_that_the_profile_does_not_make_can_be_run_all_the_same():
    flow = Flow(paths.ROOT)
    item = flow.item("meta_test", ("vsml", "77"))
    assert (item.name, item.outs) == ("meta_test@vsml-77", ("artifacts/meta_test/vsml-77.npz",))
    with pytest.raises(ValueError, match=r"meta_test takes 2 words \(EXPERIMENT SEED\), got \['vsml'\]"):
        flow.item("meta_test", ("vsml",))
    with pytest.raises(ValueError, match="'metatest' is none of the stages"):
        flow.item("metatest", ())
    with pytest.raises(ValueError, match=r"seed \(='-1'\) must be a whole number"):
        flow.item("meta_test", ("vsml", "-1"))


@pytest.fixture(scope="module")
def first_committed(first_clone, tmp_path_factory):
    """A clone with the smoke profile, whose every out exists, as after a repro; what is in them, DVC does not mind."""
    clone = first_clone.copy(tmp_path_factory.mktemp("committed"))
    text = (paths.ROOT / "profiles/smoke/params.yaml").read_text()
    (clone.root / "params.yaml").write_text(text.replace("root: ../..", "root: ."))
    clone.run("python", "-m", "pipeline", "plan")
    for item in Flow(clone.root).items():
        for out in item.outs:
            if not (clone.root / out).exists():
                (clone.root / out).parent.mkdir(parents=True, exist_ok=True)
                (clone.root / out).write_text(str(out))
    clone.run("dvc", "commit", "--force", "--quiet")
    clone.commit()
    return clone


@pytest.fixture
def committed(first_committed, tmp_path):
    return first_committed.copy(tmp_path)


def _changed(clone):
    """What DVC would run besides `plan`, once that has run: what `dvc repro` and `dvc status` do, in one process."""
    code = "import json; from dvc.repo import Repo; repo = Repo(); repo.reproduce('plan', single_item=True)"
    status = json.loads(
        clone.run("python", "-c", f"{code}; print(); print(json.dumps(repo.status()))").splitlines()[-1]
    )
    return {name for name, why in status.items() if any("changed" in str(key) for reason in why for key in reason)}


def test_dvc_reruns_what_an_edit_touches_and_nothing_else(committed):
    root = committed.root
    (root / "vsml/core/__pycache__").mkdir(exist_ok=True)
    (root / "vsml/core/__pycache__/cell.pyc").write_text("compiled")
    for name in ("vsml/core/cell.py", "pipeline/run/artifacts.py"):
        text = (root / name).read_text()
        assert '"""' in text
        (root / name).write_text("# A thought.\n" + text.replace('"""', '"""Told otherwise. ', 1))
    (root / "pipeline/rooms").mkdir()
    (root / "pipeline/rooms/__init__.py").touch()
    committed.run("git", "mv", "pipeline/studies/learning/build.py", "pipeline/rooms/build.py")
    for path in (root / "pipeline").rglob("*.py"):
        path.write_text(path.read_text().replace("studies.learning.build import", "rooms.build import"))
    assert _changed(committed) == set()

    for name in ("pipeline/studies/learning/figures/meta_training.py", "vsml/core/cell.py"):
        (root / name).write_text((root / name).read_text() + "\nMORE = 1\n")
    runs_cells = {item.name for item in Flow(root).items() if item.stage in RUN_CELLS}
    assert _changed(committed) == {"learning_figure@meta_training", "report"} | runs_cells


def test_dvc_exp_run_changes_leaves_and_what_they_decide_and_nothing_else(committed):
    before = params.read(committed.root / "params.yaml")
    changes = {
        "experiments.es.learner.ticks": "3",
        "experiments.es.learner.hidden_layers": "[5,4]",  # a list in flow style
        "feedback.experiments.second_order_on_glyphs.learner.rate": "0.01",  # of an experiment that is like another
    }
    words = [word for name, value in changes.items() for word in ("-S", f"{name}={value}")]
    committed.run("dvc", "exp", "run", "--single-item", "test_data@digits", *words)  # which it leaves as it is
    found = params.read(committed.root / "params.yaml")
    assert plain(found.experiments["es"].learner).items() >= {"ticks": 3, "hidden_layers": [5, 4]}.items()
    assert plain(found.feedback.experiments["second_order_on_glyphs"].learner)["rate"] == 0.01
    for name in ("vsml", "truncated"):
        assert found.experiments[name] == before.experiments[name]
    for name in ("flp_on_glyphs", "second_order_on_sines"):
        assert found.feedback.experiments[name] == before.feedback.experiments[name]
    learners = ("meta_train@es", "feedback_train@second_order_on_glyphs", "feedback_test@second_order_on_glyphs")
    assert _changed(committed) == {f"{name}-{seed}" for name in learners for seed in (0, 1)}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("params.yaml", "", "must have `root`, the way to the repository"),
        ("params.yaml", "root: 3", "must have `root`, the way to the repository"),
        ("params.yaml", "a: [", "is not YAML"),
        ("dvc.yaml", "", "it: input should be a valid dictionary"),
        ("dvc.yaml", "stages: [", "is not YAML"),
        ("dvc.yaml", "stages: {a: {cmd: ls}}", "stages.a.cmd: string should match pattern"),
        ("dvc.yaml", "stages: {a: {cmd: exec python -m pipeline a, deps: [3]}}", "stages.a.deps: "),
    ],
)
def test_files_that_are_no_profile_are_refused_by_name(tmp_path, name, content, words):
    (tmp_path / "params.yaml").write_text("root: .")
    shutil.copy(paths.ROOT / "dvc.yaml", tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path / name))}.*{re.escape(words)}"):
        Flow(tmp_path)
