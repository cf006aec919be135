"""Every stage: its module, and what decides the outs of its items besides code, the parameters.

Machinery finds it here by the stage's name (`pipeline.run.job`); `plan` is made of what a stage `uses`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.run.params import known_or_raise, plain
from pipeline.studies.params import Params

STUDIES = Path(__file__).parent
ITEMS = {  # that the figures of a study show; those of learning show more
    "unification": (),
    "cloning": ("clones",),
    "recall": ("recall", "recall_seeds", "introspect", "seeds"),
    "feedback": ("feedback", "feedback_seeds"),
}


class Uses(NamedTuple):
    params: dict[str, Any]
    modules: tuple[str, ...] = ()  # that are imported by name, besides the stage's own


class Stage(NamedTuple):
    name: str
    module: str

    def uses(self, params: Params, *words: str) -> Uses:
        """What an item uses, of which these are the words.

        Raises:
          ValueError: the profile has no such experiment or baseline, or lacks a section, or there is no such figure.
        """
        match self.name, *words:
            case "train_data" | "test_data", _:
                return Uses({})
            case "meta_train", experiment, _:
                section = plain(known_or_raise(params.experiments, experiment, "experiments"))
                del section["suites"]
                return Uses(section)
            case "meta_test", experiment, _:
                return Uses(_tests(params, known_or_raise(params.experiments, experiment, "experiments").suites))
            case "baseline", name:
                own = known_or_raise(params.baselines, name, "baselines")
                features = params.features_of(name)
                return Uses({"baseline": plain(own), "random_features": features, **_tests(params, own.suites)})
            case "introspect", _, _:
                rivals = _baselines(params, ("sgd", "adam"))
                return Uses({"introspect": plain(params.introspect), "baselines": rivals})
            case "zoo_test", _:
                count = params.random_features.count
                return Uses({"random_features": count, **_tests(params, params.defaults.suites)})
            case ("unify",):
                return Uses({"unify": plain(params.unify)})
            case "clone", _:
                return Uses({"clone": plain(params.clone)})
            case "improve", _:
                return Uses({"improve": plain(params.improve), "form": plain(params.clone.form)})
            case "shipped_clone", stage, _:
                known_or_raise(("clone", "improve"), stage, "stages whose rules ship")
                return Uses({"rate": params.clone.rate, "form": plain(params.clone.form)})
            case "clone_test", _:
                tests, form = plain(params.clone_test), plain(params.clone.form)
                return Uses({"clone_test": tests, "rate": params.clone.rate, "form": form})
            case "recall_train", experiment, _:
                own = known_or_raise(params.recall.experiments, experiment, "recall.experiments")
                return Uses(plain(own) | {"size": params.recall.size})
            case "recall_test", _, _:
                tests, size = plain(params.recall.tests), params.recall.size
                return Uses({"tests": tests, "size": size, "introspect": plain(params.introspect)})
            case "feedback_train" | "feedback_test", experiment, _:
                own = plain(known_or_raise(params.feedback.experiments, experiment, "feedback.experiments"))
                if self.name == "feedback_train":
                    return Uses(own)
                learner = {name: own[name] for name in ("task", "network", "learner")}
                return Uses({"tests": plain(params.feedback.tests), **learner})
            case "figure", name:
                module = figure_module(name)
                study, items = module.split(".")[2], plain(params.items)
                if study == "learning":
                    return Uses(_drawn(params), (module,))
                return Uses({"items": {name: items[name] for name in ITEMS[study]}}, (module,))
            case ("report",):
                of_clones = _there(params, "clone", "improve", "clone_test", "random_features")
                return Uses(_drawn(params) | of_clones, tuple(map(figure_module, params.items.drawn)))
        raise ValueError(f"{self.name} has no items of the words {list(words)}: see dvc.yaml.")


def figure_module(name: str) -> str:
    """The module of a figure, in the folder of its study.

    Raises:
      ValueError: no study has such a figure.
    """
    found = list(STUDIES.glob(f"*/figures/{name}.py"))
    if len(found) != 1:
        known = sorted(path.stem for path in STUDIES.glob("*/figures/[a-z]*.py"))
        raise ValueError(f"{name!r} is none of the figures {known}: correct its name.")
    return f"pipeline.studies.{found[0].parts[-3]}.figures.{name}"


def _drawn(params: Params) -> dict[str, Any]:
    """What figures and report say of a profile beside its tables."""
    sections = _there(params, "items", "tests", "results", "introspect")
    return sections | {"trained_on": {name: list(one.data.sets) for name, one in params.experiments.items()}}


def _there(params: Params, *names: str) -> dict[str, Any]:
    """Of these sections, those that the profile has."""
    return {name: plain(getattr(params, name)) for name in names if params.has(name)}


def _tests(params: Params, suites: Iterable[str]) -> dict[str, Any]:
    """The part of `tests` that matters to who is tested by these suites."""
    tests = plain(params.tests)
    return {"tests": tests | {"suites": {suite: tests["suites"][suite] for suite in suites}}}


def _baselines(params: Params, names: Iterable[str]) -> dict[str, Any]:
    return {name: plain(known_or_raise(params.baselines, name, "baselines")) for name in names}


MODULES = {  # those of stages that end in _test are called otherwise, lest tools take them for tests
    "train_data": "data.splits",
    "test_data": "data.splits",
    "meta_train": "studies.learning.meta_train",
    "meta_test": "studies.learning.meta_testing",
    "baseline": "studies.learning.baseline",
    "introspect": "studies.learning.introspect",
    "zoo_test": "studies.learning.zoo_testing",
    "unify": "studies.unification.unify",
    "clone": "studies.cloning.clone",
    "improve": "studies.cloning.improve",
    "shipped_clone": "studies.cloning.shipped_clone",
    "clone_test": "studies.cloning.clone_testing",
    "recall_train": "studies.recall.recall_train",
    "recall_test": "studies.recall.recall_testing",
    "feedback_train": "studies.feedback.feedback_train",
    "feedback_test": "studies.feedback.feedback_testing",
    "figure": "studies.figure",
    "report": "studies.report",
}
STAGES = {name: Stage(name, f"pipeline.{module}") for name, module in MODULES.items()}
