"""The parameters of a profile, read from its params.yaml: typed, complete, and nothing unknown.

`defaults` is complete; an experiment states the leaves in which it differs from it or, with `like: OTHER`, from another
experiment. pipeline.run.params completes experiments: YAML's merge keys would break `dvc exp run -S`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from pipeline.run import paths
from pipeline.run.params import Count, Name, Section, checked, known_or_raise, overlaid
from pipeline.studies.cloning.params import Clone, CloneTest, Improve
from pipeline.studies.feedback.params import Experiment as FeedbackExperiment
from pipeline.studies.feedback.params import Feedback
from pipeline.studies.learning.params import (
    GENERATED,
    Baseline,
    Experiment,
    Introspect,
    RandomFeatures,
    ResultsSection,
    Tests,
)
from pipeline.studies.recall.params import Recall, RecallExperiment
from pipeline.studies.unification.params import Unify

SYSTEMS = (("feedback", FeedbackExperiment), ("recall", RecallExperiment))  # with experiments of their own
NEEDS = {  # the sections that items of each kind are made by
    "experiments": ("defaults", "tests", "results"),
    "introspect": ("introspect",),
    "clones": ("clone", "improve", "clone_test"),
    "zoo": ("defaults", "tests", "results", "random_features"),
    "baselines": ("tests", "results"),
    "recall": ("recall", "introspect"),
    "feedback": ("feedback",),
}
LEFT_OUT: Any = None


class Figures(Section):
    """The figures that are drawn, by study, in the order of the report."""

    learning: tuple[Name, ...]
    unification: tuple[Name, ...]
    cloning: tuple[Name, ...]
    recall: tuple[Name, ...]
    feedback: tuple[Name, ...]


class Items(Section):
    """What `dvc repro` makes: the items of every stage in dvc.yaml."""

    train_sets: tuple[Name, ...]
    test_sets: tuple[Name, ...]
    experiments: tuple[Name, ...]
    introspect: tuple[Name, ...]
    seeds: tuple[Count, ...]
    clones: tuple[Count, ...]
    zoo: tuple[Name, ...]
    baselines: tuple[Name, ...]
    figures: Figures
    recall: tuple[Name, ...]
    recall_seeds: tuple[Count, ...]
    feedback: tuple[Name, ...]
    feedback_seeds: tuple[Count, ...]

    @property
    def drawn(self) -> tuple[str, ...]:
        """All figures."""
        return tuple(name for _, names in self.figures for name in names)


class Params(Section):
    """A profile. It may leave out the sections that it has no items of (NEEDS); to ask for one of these is an error."""

    root: str
    items: Items
    defaults: Experiment = LEFT_OUT
    experiments: dict[Name, Experiment] = Field(default_factory=dict)
    baselines: dict[Name, Baseline] = Field(default_factory=dict)
    tests: Tests = LEFT_OUT
    random_features: RandomFeatures = LEFT_OUT
    introspect: Introspect = LEFT_OUT
    results: ResultsSection = LEFT_OUT
    unify: Unify = LEFT_OUT
    clone: Clone = LEFT_OUT
    improve: Improve = LEFT_OUT
    clone_test: CloneTest = LEFT_OUT
    recall: Recall = LEFT_OUT
    feedback: Feedback = LEFT_OUT

    def has(self, section: str) -> bool:
        """Whether the profile has that section, or leaves it out."""
        return section in self.model_fields_set

    if not TYPE_CHECKING:  # a type checker would take it for a promise that every attribute exists

        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if found is LEFT_OUT and name in Params.model_fields:
                raise ValueError(f"Section {name} is left out of this profile, and is needed here: add it.")
            return found

    @model_validator(mode="after")
    def _nothing_is_missing(self) -> "Params":
        for kind, sections in NEEDS.items():
            for section in sections:
                if getattr(self.items, kind) and not self.has(section):
                    raise ValueError(
                        f"{section} is missing, and items.{kind} (={list(getattr(self.items, kind))}) needs it: add "
                        "this section, or empty that list."
                    )
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> "Params":
        for kind, known in (("experiments", self.experiments), ("baselines", self.baselines)):
            for name in getattr(self.items, kind):
                known_or_raise(known, name, kind)
                for suite in known[name].suites:
                    known_or_raise(self.tests.suites, suite, "suites of tests")
        for name in self.items.introspect:
            known_or_raise(self.items.experiments, name, "items.experiments")
        for name in self.items.experiments:
            for trained_on in self.experiments[name].data.sets:
                known_or_raise((*self.items.train_sets, *GENERATED), trained_on, "items.train_sets")
        if self.items.clones:
            for name in (self.clone.shadow.set, self.improve.set, *self.clone_test.sets):
                known_or_raise(self.items.train_sets, name, "items.train_sets")
            for name in self.clone_test.sets:
                known_or_raise(self.items.test_sets, name, "items.test_sets")
        for name in self.items.feedback:
            known_or_raise(self.feedback.experiments, name, "feedback.experiments")
            for trained_on in filter(None, [self.feedback.trained_on(name)]):
                known_or_raise(self.items.train_sets, trained_on, "items.train_sets")
            for tested_on in filter(None, [self.feedback.tested_on(name)]):
                known_or_raise(self.items.test_sets, tested_on, "items.test_sets")
        for name in self.items.recall:
            known_or_raise(self.recall.experiments, name, "recall.experiments")
        for suite in self.tests.suites.values() if self.has("tests") else ():
            for task in suite.values():
                known_or_raise((*self.items.test_sets, *GENERATED), task.set, "items.test_sets")
        return self

    @model_validator(mode="after")
    def _random_features_are_of_linear_baselines(self) -> "Params":
        for name in self.random_features.baselines if self.has("random_features") else ():
            rival = known_or_raise(self.baselines, name, "baselines")
            if rival.hidden_layers or rival.convolutions:
                raise ValueError(
                    f"baselines.{name}, which random_features.baselines names, must be linear: give it neither hidden "
                    f"layers (={rival.hidden_layers}) nor convolutions (={rival.convolutions})."
                )
        return self

    @model_validator(mode="after")
    def _introspection_fits(self) -> "Params":
        if not self.has("introspect"):
            return self
        known_or_raise(self.items.test_sets, self.introspect.set, "items.test_sets")
        if self.introspect.length % self.introspect.every:
            raise ValueError(
                f"introspect.every (={self.introspect.every}) must divide introspect.length "
                f"(={self.introspect.length}): choose such a number."
            )
        if self.introspect.shown > self.introspect.lives:
            raise ValueError(
                f"introspect.shown (={self.introspect.shown}) must be at most introspect.lives "
                f"(={self.introspect.lives}): show fewer, or live more."
            )
        return self


def read(path: str | Path = paths.PARAMS) -> Params:
    """Read and check a profile.

    Raises:
      FileNotFoundError: there is no such file; a stage runs in the folder of its profile.
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path.resolve()} is missing: run in the folder of a profile, which has one.")
    return checked(Params, path, _overlay)


def _overlay(tree: Any) -> Any:
    """Complete the experiments of the profile, and those of the systems with sections of their own."""
    if not isinstance(tree, dict):
        return tree
    systems = {name: overlaid(tree[name], kind, f"{name}.experiments") for name, kind in SYSTEMS if name in tree}
    return overlaid(tree, Experiment, "experiments") | systems
