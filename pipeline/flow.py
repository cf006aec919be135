"""The flow: what each stage reads and leaves, item by item. dvc.yaml says the same, and a test compares the two.

A stage has one name: its function here, its module, its entry in dvc.yaml, its word on the command line, its folder of
artifacts. The code that shapes its outputs is among its deps, and none other: editing an analysis must not retrain.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import paths
from pipeline.params import Params, known_or_raise, plain

TRAIN_DATA, TEST_DATA = paths.ARTIFACTS / "train_data", paths.ARTIFACTS / "test_data"
MADE = (
    "meta_train",
    "meta_test",
    "baseline",
    "introspect",
    "unify",
    "clone_test",
    "zoo_test",
    "recall_test",
    "feedback_test",
)
WORDS = tuple(
    f"{name}.py"
    for name in (
        "comparison",
        "generality",
        "results",
        "introspection",
        "unification",
        "cloning",
        "shipped",
        "recall",
        "feedback",
        "synapse",
        "sighted",
        "tables",
    )
)
CLONING = ("vsml/core", "vsml/learners", "vsml/tasks", "vsml/cloning")
FEEDBACK = ("vsml/core", "vsml/tasks", "vsml/meta", "vsml/feedback", "pipeline/lessons.py")
TABLES = (TEST_DATA, *(paths.ARTIFACTS / stage for stage in MADE))
RECALL = ("vsml/core", "vsml/recall")
SOURCES = ("datasets.lock", "pipeline/sources")
LEARNERS = ("vsml/core", "vsml/learners", "vsml/tasks", "pipeline/build.py")


class Flow(NamedTuple):
    """One item of a stage."""

    names: dict[str, str]  # of the item: experiment, seed, …
    params: dict[str, Any]  # all of params.yaml that can change the outs
    code: tuple[str, ...]  # deps, relative to the repository
    reads: tuple[Path, ...]  # deps that earlier stages left, relative to the profile
    outs: tuple[Path, ...]


def train_data(params: Params, name: str) -> Flow:
    return Flow({"set": name}, {}, SOURCES, (), (paths.train_data(name),))


def test_data(params: Params, name: str) -> Flow:
    return Flow({"set": name}, {}, SOURCES, (), (paths.test_data(name),))


def meta_train(params: Params, experiment: str, seed: str) -> Flow:
    section = plain(known_or_raise(params.experiments, experiment, "experiments"))
    del section["suites"]
    outs = (paths.rule(experiment, seed), paths.curve(experiment, seed), paths.curve_csv(experiment, seed))
    return Flow(_seeded(experiment, seed), section, (*LEARNERS, "vsml/meta"), (TRAIN_DATA,), outs)


def meta_test(params: Params, experiment: str, seed: str) -> Flow:
    reads = (paths.rule(experiment, seed), TEST_DATA)
    section = _tests(params, known_or_raise(params.experiments, experiment, "experiments").suites)
    return Flow(_seeded(experiment, seed), section, LEARNERS, reads, (paths.meta_test(experiment, seed),))


def baseline(params: Params, name: str) -> Flow:
    own = known_or_raise(params.baselines, name, "baselines")
    section = {"baseline": plain(own), **_tests(params, own.suites)}
    return Flow({"baseline": name}, section, LEARNERS, (TEST_DATA,), (paths.baseline(name),))


def introspect(params: Params, experiment: str, seed: str) -> Flow:
    code = (*LEARNERS, "vsml/introspect")
    tables = (paths.baseline("sgd"), paths.baseline("adam"))
    reads = (paths.rule(experiment, seed), paths.test_data(params.introspect.set), *tables)
    section = {
        "introspect": plain(params.introspect),
        "baselines": {name: plain(known_or_raise(params.baselines, name, "baselines")) for name in ("sgd", "adam")},
    }
    return Flow(_seeded(experiment, seed), section, code, reads, (paths.introspect(experiment, seed),))


def unify(params: Params) -> Flow:
    code = ("vsml/core", "vsml/learners", "vsml/unification")
    return Flow({}, {"unify": plain(params.unify)}, code, (), (paths.unify(),))


def clone(params: Params, seed: str) -> Flow:
    own = params.clone
    reads = (paths.train_data(own.shadow.set),)
    return Flow({"seed": _number(seed)}, {"clone": plain(own)}, (*CLONING, "vsml/meta"), reads, (paths.clone(seed),))


def improve(params: Params, seed: str) -> Flow:
    own = params.improve
    reads = (paths.clone(seed), paths.train_data(own.set))
    section = {"improve": plain(own), "form": plain(params.clone.form)}
    code = (*CLONING, "vsml/meta", "pipeline/stages/clone.py")
    return Flow({"seed": _number(seed)}, section, code, reads, (paths.improve(seed),))


def clone_test(params: Params, seed: str) -> Flow:
    reads = (paths.clone(seed), paths.improve(seed), TRAIN_DATA, TEST_DATA)
    section = {"clone_test": plain(params.clone_test), "rate": params.clone.rate, "form": plain(params.clone.form)}
    return Flow({"seed": _number(seed)}, section, CLONING, reads, (paths.clone_test(seed),))


def zoo_test(params: Params, rule: str) -> Flow:
    code = (*LEARNERS, "vsml/random_features.py", f"vsml/zoo/{rule}.npz")
    own = params.random_features
    rivals = {name: plain(known_or_raise(params.baselines, name, "baselines")) for name in own.baselines}
    section = {"random_features": plain(own), "baselines": rivals, **_tests(params, params.defaults.suites)}
    return Flow({"rule": rule}, section, code, (TEST_DATA,), (paths.zoo_test(rule),))


def recall_train(params: Params, experiment: str, seed: str) -> Flow:
    own = known_or_raise(params.recall.experiments, experiment, "recall.experiments")
    section = plain(own) | {"size": params.recall.size}
    return Flow(_seeded(experiment, seed), section, (*RECALL, "vsml/meta"), (), (paths.recall_train(experiment, seed),))


def recall_test(params: Params, experiment: str, seed: str) -> Flow:
    tests, size = plain(params.recall.tests), params.recall.size
    section = {"tests": tests, "size": size, "introspect": plain(params.introspect)}
    reads, out = (paths.recall_train(experiment, seed), TEST_DATA), paths.recall_test(experiment, seed)
    looking = (f"vsml/introspect/{name}.py" for name in ("__init__", "sighting", "probing"))
    return Flow(_seeded(experiment, seed), section, (*RECALL, "vsml/tasks", *looking), reads, (out,))


def feedback_train(params: Params, experiment: str, seed: str) -> Flow:
    section = plain(known_or_raise(params.feedback.experiments, experiment, "feedback.experiments"))
    outs = (paths.feedback_rule(experiment, seed), paths.feedback_curve(experiment, seed))
    return Flow(_seeded(experiment, seed), section, FEEDBACK, (TRAIN_DATA,), outs)


def feedback_test(params: Params, experiment: str, seed: str) -> Flow:
    own = plain(known_or_raise(params.feedback.experiments, experiment, "feedback.experiments"))
    section = {"tests": plain(params.feedback.tests), **{name: own[name] for name in ("task", "network", "learner")}}
    reads = (paths.feedback_rule(experiment, seed), TEST_DATA)
    return Flow(_seeded(experiment, seed), section, FEEDBACK, reads, (paths.feedback_test(experiment, seed),))


def figure(params: Params, name: str) -> Flow:
    shared = ("figures/__init__.py", "figures/style.py", *WORDS)
    code = (f"pipeline/figures/{name}.py", *(f"pipeline/{page}" for page in shared))
    outs = (paths.figure(name, "png"), paths.figure(name, "pdf"))
    return Flow({"figure": name}, _drawn(params), code, TABLES, outs)


def report(params: Params) -> Flow:
    reads = (*TABLES, paths.ARTIFACTS / "figure")
    judging = ("claims.py", "effects", "bootstrap.py")
    shared = ("figures", *WORDS, "rows.py", "lives.py", "page.html", "page", *judging)
    code = (*(f"pipeline/{page}" for page in shared), "claims.yaml")
    outs = (paths.report("index.html"), paths.report("results.json"), paths.report("claims.json"))
    told = {name: plain(getattr(params, name)) for name in ("clone", "improve", "clone_test", "random_features")}
    return Flow({}, _drawn(params) | told, code, reads, outs)


STAGES: dict[str, Callable[..., Flow]] = {
    stage.__name__: stage
    for stage in (
        train_data,
        test_data,
        meta_train,
        meta_test,
        baseline,
        introspect,
        unify,
        clone,
        improve,
        clone_test,
        zoo_test,
        recall_train,
        recall_test,
        feedback_train,
        feedback_test,
        figure,
        report,
    )
}


def _drawn(params: Params) -> dict[str, Any]:
    """What figures and report say of a profile beside its tables."""
    sections = {name: plain(getattr(params, name)) for name in ("items", "tests", "results", "introspect")}
    return sections | {"trained_on": {name: list(one.data.sets) for name, one in params.experiments.items()}}


def _tests(params: Params, suites: tuple[str, ...]) -> dict[str, Any]:
    """The part of `tests` that matters to who lives these suites."""
    tests = plain(params.tests)
    return {"tests": tests | {"suites": {suite: tests["suites"][suite] for suite in suites}}}


def _seeded(experiment: str, seed: str) -> dict[str, str]:
    return {"experiment": experiment, "seed": _number(seed)}


def _number(seed: str) -> str:
    if not seed.isdecimal():
        raise ValueError(f"seed (={seed!r}) must be a whole number, 0 or more.")
    return seed
