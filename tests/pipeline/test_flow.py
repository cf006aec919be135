"""dvc.yaml and pipeline/flow.py say the same, and DVC does with it what is promised."""

import ast
import importlib.util
import json
import os
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline import params, paths, provenance
from pipeline.flow import STAGES


def _stages(profile):
    """The stages that DVC resolves, by name: dvc.yaml's entry, and for an item @ and its words."""
    with Repo(str(paths.ROOT)) as repo:
        found = repo.stage.collect(str(paths.ROOT / profile / "dvc.yaml"))
        return {stage.addressing.rpartition(":")[2]: stage for stage in found}


def _items(found):
    by_stage = {
        "train_data": [(name,) for name in found.items.train_sets],
        "test_data": [(name,) for name in found.items.test_sets],
        "baseline": [(name,) for name in found.items.baselines],
        "figure": [(name,) for name in found.items.figures],
        "unify": [()],
        "zoo_test": [(name,) for name in found.items.zoo],
        "report": [()],
    }
    by_stage |= {stage: [(str(seed),) for seed in found.items.clones] for stage in ("clone", "improve", "clone_test")}
    seeds = [str(seed) for seed in found.items.seeds]
    by_stage["introspect"] = [(experiment, seed) for experiment in found.items.introspect for seed in seeds]
    learning = [(one, str(seed)) for one in found.items.recall for seed in found.items.recall_seeds]
    by_stage |= dict.fromkeys(("recall_train", "recall_test"), learning)
    own = [(one, str(seed)) for one in found.items.feedback for seed in found.items.feedback_seeds]
    by_stage |= {"feedback_train": own, "feedback_test": own}
    seeded = [(experiment, seed) for experiment in found.items.experiments for seed in seeds]
    return [(stage, item) for stage in STAGES for item in by_stage.get(stage, seeded)]


PROFILES = sorted(path.parent.relative_to(paths.ROOT) for path in paths.ROOT.glob("**/params.yaml"))


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_every_item_reads_and_leaves_what_dvc_says(profile):
    found = params.read(paths.ROOT / profile / "params.yaml")
    resolved = _stages(profile)
    expected = {f"{stage}@{'-'.join(item)}".removesuffix("@"): (stage, item) for stage, item in _items(found)}
    assert resolved.keys() == expected.keys()
    for name, (stage, item) in expected.items():
        flow, seen = STAGES[stage](found, *item), resolved[name]
        code = {os.path.normpath(Path(found.root) / dep) for dep in provenance.code(stage, flow)}
        deps = {os.path.normpath(dep.def_path) for dep in seen.deps if not hasattr(dep, "params")}
        assert seen.cmd == " ".join(("exec python -m pipeline", stage, *item))
        assert deps == code | {str(path) for path in flow.reads}, name
        assert {out.def_path for out in seen.outs} == {str(path) for path in flow.outs}, name
        assert all(path.parts[:2] == ("artifacts", stage) for path in flow.outs)
        assert importlib.util.find_spec(f"pipeline.stages.{stage}") is not None
        assert bool(flow.params) == any(hasattr(dep, "params") for dep in seen.deps), name


# They carry a stage and do not shape its outs; downloads are what datasets.lock says, by checksum.
PACKAGES = {"pipeline/stages/__init__.py", "pipeline/__init__.py", "vsml/__init__.py"}
SECTIONS = {str(path.relative_to(paths.ROOT)) for path in (paths.ROOT / "pipeline/sections").glob("*.py")}
CARRIERS = {*PACKAGES, *SECTIONS, "pipeline/transfer.py"} | {
    f"pipeline/{name}.py"
    for name in (
        "params",
        "paths",
        "flow",
        "provenance",
        "tracking",
        "lineage",
        "store",
        "patience",
        "checkpoints",
        "download",
        "transfer",
    )
}


def _imports(name):
    """The files of ours that a file of ours imports."""
    for node in ast.walk(ast.parse((paths.ROOT / name).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            path = module.replace(".", "/")
            yield from (file for file in (f"{path}.py", f"{path}/__init__.py") if (paths.ROOT / file).is_file())


def test_the_code_that_a_stage_runs_is_among_its_deps():
    found = params.read(paths.ROOT / "params.yaml")
    for stage, item in _items(found):
        declared = provenance.code(stage, STAGES[stage](found, *item))
        waiting, seen = [name for name in declared if name.endswith(".py")], set()
        while waiting:
            name = waiting.pop()
            if name in CARRIERS or name in seen:
                continue
            seen.add(name)
            waiting += _imports(name)
        undeclared = {name for name in seen if not any(name == dep or name.startswith(f"{dep}/") for dep in declared)}
        assert not undeclared, f"{stage} {item} runs {undeclared}, not among its deps {declared}."


@pytest.fixture
def committed(clone, tiny, write_params):
    """A clone with two experiments whose every out exists, as after a repro; the outs are empty, DVC does not mind."""
    tiny["experiments"]["other"] = {"like": "vsml", "optimizer": {"learning_rate": 0.005}}
    tiny["items"]["experiments"].append("other")
    tiny["items"]["introspect"].append("other")
    write_params(clone.root / "params.yaml", tiny)
    found = params.read(clone.root / "params.yaml")
    for stage, item in _items(found):
        for out in STAGES[stage](found, *item).outs:
            (clone.root / out).parent.mkdir(parents=True, exist_ok=True)
            (clone.root / out).write_text(str(out))
    clone.run("dvc", "commit", "--force", "--quiet")
    clone.run("git", "add", "-A")
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "repro")
    return clone


def _changed(clone):
    status = json.loads(clone.run("dvc", "status", "--json"))
    return {name for name, why in status.items() if any("changed" in str(key) for reason in why for key in reason)}


def test_dvc_reruns_what_an_edit_touches_and_nothing_else(committed):
    assert _changed(committed) == set()

    (committed.root / "vsml/core/__pycache__").mkdir()
    (committed.root / "vsml/core/__pycache__/cell.pyc").write_text("compiled")
    assert _changed(committed) == set()

    page = committed.root / "pipeline/figures/meta_training.py"
    page.write_text(page.read_text() + "\n")
    assert _changed(committed) == {"figure@meta_training", "report"}

    analysis = committed.root / "vsml/introspect/association.py"
    analysis.write_text(analysis.read_text() + "\n")
    introspect = {f"introspect@{experiment}-{seed}" for experiment in ("vsml", "other") for seed in (0, 1)}
    assert _changed(committed) == {"figure@meta_training", "report"} | introspect


def test_dvc_exp_run_changes_one_experiment_and_nothing_else(committed):
    change = "experiments.other.optimizer.learning_rate=0.02"
    committed.run("dvc", "exp", "run", "--single-item", "test_data@digits", "-S", change)  # which it leaves as it is
    found = params.read(committed.root / "params.yaml").experiments
    assert (found["other"].optimizer.learning_rate, found["vsml"].optimizer.learning_rate) == (0.02, 0.005)
    own = {f"{stage}@other-{seed}" for stage in ("meta_train", "meta_test") for seed in (0, 1)}
    drawn = {f"figure@{name}" for name in params.read(committed.root / "params.yaml").items.figures} | {"report"}
    assert _changed(committed) == own | drawn


def test_dvc_exp_run_changes_leaves_of_a_file_that_is_written_by_leaf(clone):
    text = (paths.ROOT / "profiles/smoke/params.yaml").read_text().replace("root: ../..", "root: .")
    (clone.root / "params.yaml").write_text(text)
    before = params.read(clone.root / "params.yaml")
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "smoke")
    changes = {
        "experiments.es.learner.ticks": "3",
        "experiments.es.learner.hidden_layers": "[5,4]",  # a list in flow style
        "feedback.experiments.second_order_on_glyphs.learner.rate": "0.01",  # of an experiment that is like another
        "items.seeds": "[7]",
    }
    words = [word for name, value in changes.items() for word in ("-S", f"{name}={value}")]
    clone.run("dvc", "exp", "run", "--single-item", "test_data@digits", *words)
    found = params.read(clone.root / "params.yaml")
    assert params.plain(found.experiments["es"].learner).items() >= {"ticks": 3, "hidden_layers": [5, 4]}.items()
    assert params.plain(found.feedback.experiments["second_order_on_glyphs"].learner)["rate"] == 0.01
    assert found.items.seeds == (7,)
    for name in ("vsml", "truncated"):
        assert found.experiments[name] == before.experiments[name]
    for name in ("flp_on_glyphs", "second_order_on_sines"):
        assert found.feedback.experiments[name] == before.feedback.experiments[name]
