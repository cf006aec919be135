"""Every stage: its module, and what decides the outs of its items besides code, the parameters.

Machinery finds it here by the stage's name (`pipeline.run.job`); `plan` is made of what a stage `uses`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.run.params import known_or_raise, plain
from pipeline.studies.params import Params


class Uses(NamedTuple):
    params: dict[str, Any]
    modules: tuple[str, ...] = ()  # that are imported by name, besides the stage's own


def meta_train(params: Params, experiment: str, seed: str) -> Uses:
    section = plain(known_or_raise(params.experiments, experiment, "experiments"))
    del section["suites"]
    return Uses(section)


def meta_test(params: Params, experiment: str, seed: str) -> Uses:
    return Uses(_tests(params, known_or_raise(params.experiments, experiment, "experiments").suites))


def baseline(params: Params, name: str) -> Uses:
    own = known_or_raise(params.baselines, name, "baselines")
    return Uses({"baseline": plain(own), **_tests(params, own.suites)})


def introspect(params: Params, experiment: str, seed: str) -> Uses:
    rivals = {name: plain(known_or_raise(params.baselines, name, "baselines")) for name in ("sgd", "adam")}
    return Uses({"introspect": plain(params.introspect), "baselines": rivals})


def unify(params: Params) -> Uses:
    return Uses({"unify": plain(params.unify)})


def clone(params: Params, seed: str) -> Uses:
    return Uses({"clone": plain(params.clone)})


def improve(params: Params, seed: str) -> Uses:
    return Uses({"improve": plain(params.improve), "form": plain(params.clone.form)})


def clone_test(params: Params, seed: str) -> Uses:
    own = {"clone_test": plain(params.clone_test), "rate": params.clone.rate, "form": plain(params.clone.form)}
    return Uses(own)


def zoo_test(params: Params, rule: str) -> Uses:
    own = params.random_features
    rivals = {name: plain(known_or_raise(params.baselines, name, "baselines")) for name in own.baselines}
    return Uses({"random_features": plain(own), "baselines": rivals, **_tests(params, params.defaults.suites)})


def recall_train(params: Params, experiment: str, seed: str) -> Uses:
    own = known_or_raise(params.recall.experiments, experiment, "recall.experiments")
    return Uses(plain(own) | {"size": params.recall.size})


def recall_test(params: Params, experiment: str, seed: str) -> Uses:
    tests, size = plain(params.recall.tests), params.recall.size
    return Uses({"tests": tests, "size": size, "introspect": plain(params.introspect)})


def feedback_train(params: Params, experiment: str, seed: str) -> Uses:
    return Uses(plain(known_or_raise(params.feedback.experiments, experiment, "feedback.experiments")))


def feedback_test(params: Params, experiment: str, seed: str) -> Uses:
    own = plain(known_or_raise(params.feedback.experiments, experiment, "feedback.experiments"))
    return Uses({"tests": plain(params.feedback.tests), **{name: own[name] for name in ("task", "network", "learner")}})


def figure(params: Params, name: str) -> Uses:
    module = figure_module(name)
    return Uses(_shown(params, module.split(".")[2]), (module,))


def report(params: Params) -> Uses:
    told = _there(params, "clone", "improve", "clone_test", "random_features")
    return Uses(_drawn(params) | told, tuple(map(figure_module, params.items.drawn)))


def nothing(params: Params, *words: str) -> Uses:
    return Uses({})


def figure_module(name: str) -> str:
    """The module of a figure, in the folder of its study.

    Raises:
      ValueError: no study has such a figure.
    """
    found = [path for path in STUDIES.glob(f"*/figures/{name}.py")]
    if len(found) != 1:
        known = sorted(path.stem for path in STUDIES.glob("*/figures/[a-z]*.py"))
        raise ValueError(f"{name!r} is none of the figures {known}: correct its name.")
    return f"pipeline.studies.{found[0].parent.parent.name}.figures.{name}"


class Stage(NamedTuple):
    """A stage's module, and of an item what it uses: called with the profile's params and the words of the item."""

    module: str
    uses: Callable[..., Uses]


ITEMS = {  # that the figures of a study show
    "unification": (),
    "cloning": ("clones",),
    "recall": ("recall", "recall_seeds", "introspect", "seeds"),
    "feedback": ("feedback", "feedback_seeds"),
}
STUDIES = Path(__file__).parent
# Modules whose stage ends in _test are called otherwise, lest tools take them for tests.
STAGES = {
    "train_data": Stage("pipeline.data.splits", nothing),
    "test_data": Stage("pipeline.data.splits", nothing),
    "meta_train": Stage("pipeline.studies.learning.meta_train", meta_train),
    "meta_test": Stage("pipeline.studies.learning.meta_testing", meta_test),
    "baseline": Stage("pipeline.studies.learning.baseline", baseline),
    "introspect": Stage("pipeline.studies.learning.introspect", introspect),
    "zoo_test": Stage("pipeline.studies.learning.zoo_testing", zoo_test),
    "unify": Stage("pipeline.studies.unification.unify", unify),
    "clone": Stage("pipeline.studies.cloning.clone", clone),
    "improve": Stage("pipeline.studies.cloning.improve", improve),
    "clone_test": Stage("pipeline.studies.cloning.clone_testing", clone_test),
    "recall_train": Stage("pipeline.studies.recall.recall_train", recall_train),
    "recall_test": Stage("pipeline.studies.recall.recall_testing", recall_test),
    "feedback_train": Stage("pipeline.studies.feedback.feedback_train", feedback_train),
    "feedback_test": Stage("pipeline.studies.feedback.feedback_testing", feedback_test),
    "figure": Stage("pipeline.studies.figure", figure),
    "report": Stage("pipeline.studies.report", report),
}


def _drawn(params: Params) -> dict[str, Any]:
    """What figures and report say of a profile beside its tables."""
    sections = _there(params, "items", "tests", "results", "introspect")
    return sections | {"trained_on": {name: list(one.data.sets) for name, one in params.experiments.items()}}


def _shown(params: Params, study: str) -> dict[str, Any]:
    """The part of it that matters to the figures of a study."""
    if study == "learning":
        return _drawn(params)
    items = plain(params.items)
    return {"items": {name: items[name] for name in ITEMS[study]}}


def _there(params: Params, *names: str) -> dict[str, Any]:
    """Of these sections, those that the profile has."""
    return {name: plain(getattr(params, name)) for name in names if params.has(name)}


def _tests(params: Params, suites: tuple[str, ...]) -> dict[str, Any]:
    """The part of `tests` that matters to who is tested by these suites."""
    tests = plain(params.tests)
    return {"tests": tests | {"suites": {suite: tests["suites"][suite] for suite in suites}}}
