"""The flow: what each stage reads and leaves, item by item. dvc.yaml says the same, and a test compares the two.

A stage has one name: its function here, its module, its entry in dvc.yaml, its word on the command line, its folder of
artifacts. The code that shapes its outputs is among its deps, and none other: editing an analysis must not retrain.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import paths
from pipeline.params import Params, known_or_raise, plain

DATA = paths.ARTIFACTS / "data"
TABLES = (DATA, *(paths.ARTIFACTS / stage for stage in ("meta_train", "meta_test", "baseline", "introspect")))


class Flow(NamedTuple):
    """One item of a stage."""

    names: dict[str, str]  # of the item: experiment, seed, …
    params: dict[str, Any]  # all of params.yaml that can change the outs
    code: tuple[str, ...]  # deps, relative to the repository
    reads: tuple[Path, ...]  # deps that earlier stages left, relative to the profile
    outs: tuple[Path, ...]


def data(params: Params, name: str) -> Flow:
    code = ("datasets.lock", "pipeline/sources.py")
    return Flow({"set": name}, {}, code, (), (paths.data(name),))


def meta_train(params: Params, experiment: str, seed: str) -> Flow:
    section = known_or_raise(params.experiments, experiment, "experiments")
    outs = (paths.rule(experiment, seed), paths.curve(experiment, seed), paths.curve_csv(experiment, seed))
    code = ("vsml/core", "vsml/learners", "vsml/meta", "vsml/tasks", "pipeline/build.py")
    return Flow(_seeded(experiment, seed), plain(section), code, (paths.data("digits"),), outs)


def meta_test(params: Params, experiment: str, seed: str) -> Flow:
    code = ("vsml/core", "vsml/learners", "vsml/tasks", "pipeline/build.py")
    reads = (paths.rule(experiment, seed), DATA)
    section = {"sets": list(params.items.sets), "meta_test": plain(params.defaults.meta_test)}
    return Flow(_seeded(experiment, seed), section, code, reads, (paths.meta_test(experiment, seed),))


def baseline(params: Params, name: str) -> Flow:
    section = {
        "sets": list(params.items.sets),
        "meta_test": plain(params.defaults.meta_test),
        "baseline": plain(known_or_raise(params.baselines, name, "baselines")),
    }
    code = ("vsml/core", "vsml/learners", "vsml/tasks", "pipeline/build.py")
    return Flow({"baseline": name}, section, code, (DATA,), (paths.baseline(name),))


def introspect(params: Params, experiment: str, seed: str) -> Flow:
    code = ("vsml/core", "vsml/learners", "vsml/tasks", "vsml/introspect", "pipeline/build.py")
    tables = (paths.baseline("sgd"), paths.baseline("adam"))
    reads = (paths.rule(experiment, seed), paths.data("digits"), *tables)
    section = {
        "introspect": plain(params.defaults.introspect),
        "baselines": {name: plain(known_or_raise(params.baselines, name, "baselines")) for name in ("sgd", "adam")},
    }
    return Flow(_seeded(experiment, seed), section, code, reads, (paths.introspect(experiment, seed),))


def figure(params: Params, name: str) -> Flow:
    shared = ("figures/__init__.py", "figures/style.py", "comparison.py", "results.py")
    code = (f"pipeline/figures/{name}.py", *(f"pipeline/{page}" for page in shared))
    outs = (paths.figure(name, "png"), paths.figure(name, "pdf"))
    return Flow({"figure": name}, {"items": plain(params.items)}, code, TABLES, outs)


def report(params: Params) -> Flow:
    reads = (*TABLES, paths.ARTIFACTS / "figure")
    code = ("pipeline/figures", "pipeline/comparison.py", "pipeline/results.py", "pipeline/page.html")
    outs = (paths.report("index.html"), paths.report("results.json"))
    return Flow({}, {"items": plain(params.items)}, code, reads, outs)


STAGES: dict[str, Callable[..., Flow]] = {
    stage.__name__: stage for stage in (data, meta_train, meta_test, baseline, introspect, figure, report)
}


def _seeded(experiment: str, seed: str) -> dict[str, str]:
    if not seed.isdecimal():
        raise ValueError(f"seed (={seed!r}) must be a whole number, 0 or more.")
    return {"experiment": experiment, "seed": seed}
