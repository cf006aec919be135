"""The parameters of a profile, read from its params.yaml: typed, complete, and nothing unknown.

`defaults` is complete; an experiment states the leaves in which it differs from it or, with `like: OTHER`, from another
experiment. pipeline.run.params completes experiments: YAML's merge keys would break `dvc exp run -S`.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, RootModel, model_validator

from pipeline.run import paths
from pipeline.run.params import Count, Name, Section, checked, known_or_raise, shaped
from pipeline.studies.cloning import params as of_cloning
from pipeline.studies.feedback import params as of_feedback
from pipeline.studies.learning import params as of_learning
from pipeline.studies.recall import params as of_recall
from pipeline.studies.unification import params as of_unification

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


class _Splits(BaseModel):
    splits: dict[str, list[str]]


class _Published(RootModel[dict[str, _Splits]]):
    """The sets of datasets.lock, whose own model comes with the parsers, and these with SciPy."""


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
    learned_clones: tuple[Count, ...]
    shipped_clones: tuple[Count, ...]
    zoo: tuple[Name, ...]
    baselines: tuple[Name, ...]
    figures: Figures
    recall: tuple[Name, ...]
    recall_seeds: tuple[Count, ...]
    feedback: tuple[Name, ...]
    feedback_seeds: tuple[Count, ...]

    @model_validator(mode="after")
    def _each_once(self) -> "Items":
        for kind, named in self:
            if twice := [one for one in named if isinstance(named, tuple) and named.count(one) > 1]:
                raise ValueError(f"items.{kind} (={list(named)}) has {twice[0]!r} twice: name each once.")
        return self

    @property
    def drawn(self) -> tuple[str, ...]:
        """All figures."""
        return tuple(name for _, names in self.figures for name in names)


class Params(Section):
    """A profile. It may leave out the sections that it has no items of (NEEDS); to ask for one of these is an error."""

    root: str
    items: Items
    defaults: of_learning.Experiment = LEFT_OUT
    experiments: dict[Name, of_learning.Experiment] = Field(default_factory=dict)
    baselines: dict[Name, of_learning.Baseline] = Field(default_factory=dict)
    tests: of_learning.Tests = LEFT_OUT
    random_features: of_learning.RandomFeatures = LEFT_OUT
    introspect: of_learning.Introspect = LEFT_OUT
    results: of_learning.ResultsSection = LEFT_OUT
    unify: of_unification.Unify = LEFT_OUT
    clone: of_cloning.Clone = LEFT_OUT
    improve: of_cloning.Improve = LEFT_OUT
    clone_test: of_cloning.CloneTest = LEFT_OUT
    recall: of_recall.Recall = LEFT_OUT
    feedback: of_feedback.Feedback = LEFT_OUT

    def has(self, section: str) -> bool:
        """Whether the profile has that section, or leaves it out."""
        return section in self.model_fields_set

    def features_of(self, baseline: str) -> int:
        """How many random features a baseline sees in a second round of its tests, for rules that ship; 0 for none."""
        beside = self.items.zoo and self.has("random_features") and baseline in self.random_features.baselines
        return self.random_features.count if beside else 0

    if not TYPE_CHECKING:  # a type checker would take it for a promise that every attribute exists

        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if found is LEFT_OUT and name in Params.model_fields:
                raise ValueError(f"Section {name} is left out of this profile, and is needed here: add it.")
            return found

    @model_validator(mode="after")
    def _sound(self) -> "Params":
        for kind, sections in NEEDS.items():
            named = getattr(self.items, kind)
            if lost := [section for section in sections if named and not self.has(section)]:
                wrong = f"{lost[0]} is missing, and items.{kind} (={list(named)}) needs it"
                raise ValueError(f"{wrong}: add this section, or empty that list.")
        for names, known, kind in self._names():
            for name in names:
                known_or_raise(known, name, kind)
        clones = self.items.learned_clones + self.items.shipped_clones
        if sorted(clones) != sorted(self.items.clones):
            wrong = f"items.clones (={list(self.items.clones)}), which are tested, must be those of"
            wrong += f" items.learned_clones and items.shipped_clones (={list(clones)}), each once"
            raise ValueError(f"{wrong}: name those that are missing, drop the others.")
        for name in self.random_features.baselines if self.has("random_features") else ():
            rival = self.baselines[name]
            if isinstance(rival, of_learning.Descent) and (rival.hidden_layers or rival.convolutions):
                lacks = f"neither hidden layers (={rival.hidden_layers}) nor convolutions (={rival.convolutions})"
                wrong = f"baselines.{name}, which random_features.baselines names, must be linear"
                raise ValueError(f"{wrong}: give it {lacks}.")
        for name, rival in self.baselines.items():
            if (own := name.partition("_")[0]) in of_learning.PAPER_RATES and rival.name != own:
                wrong = f"baselines.{name}.name (={rival.name!r}) must be {own!r}, whose rates and looks it has"
                raise ValueError(f"{wrong}: name the baseline otherwise.")
        look = self.introspect if self.has("introspect") else None
        if look and look.length % look.every:
            wrong = f"introspect.every (={look.every}) must divide introspect.length (={look.length})"
            raise ValueError(f"{wrong}: choose such a number.")
        if look and look.shown > look.episodes:
            wrong = f"introspect.shown (={look.shown}) must be at most introspect.episodes (={look.episodes})"
            raise ValueError(f"{wrong}: show fewer, or run more episodes.")
        return self

    def _names(self) -> Iterator[tuple[Iterable[str], Collection[str], str]]:
        """Names that a part of the profile gives, and those that another part must have; to be checked in turn."""
        items, lock = self.items, paths.DATASETS_LOCK
        published = shaped(_Published, lock.read_bytes(), lock, "take that of git").root
        for split, named in (("train", items.train_sets), ("test", items.test_sets)):
            yield named, [name for name, one in published.items() if split in one.splits], f"sets with a {split} split"
        yield items.zoo, [path.stem for path in (paths.ROOT / "vsml/zoo").glob("*.npz")], "rules in vsml/zoo"
        train_sets, test_sets = (items.train_sets, "items.train_sets"), (items.test_sets, "items.test_sets")
        for kind, known in (("experiments", self.experiments), ("baselines", self.baselines)):
            yield getattr(items, kind), known, kind
            for name in getattr(items, kind):
                yield known[name].suites, self.tests.suites, "suites of tests"
        yield items.introspect, items.experiments, "items.experiments"
        for name in items.experiments:
            yield self.experiments[name].data.sets, (*items.train_sets, *of_learning.GENERATED), "items.train_sets"
        if items.clones:
            yield (self.clone.shadow.set, self.improve.set, *self.clone_test.sets), *train_sets
            yield self.clone_test.sets, *test_sets
        if items.feedback:
            yield items.feedback, self.feedback.experiments, "feedback.experiments"
        for task in (self.feedback.experiments[name].task for name in items.feedback):
            if isinstance(task, of_feedback.Drawings):
                yield (task.train_set,), *train_sets
                yield (task.test_set,), *test_sets
        if items.recall:
            yield items.recall, self.recall.experiments, "recall.experiments"
        for suite in self.tests.suites.values() if self.has("tests") else ():
            yield (task.set for task in suite.values()), (*items.test_sets, *of_learning.GENERATED), "items.test_sets"
        if self.has("random_features"):
            yield self.random_features.baselines, self.baselines, "baselines"
        if self.has("introspect"):
            yield (self.introspect.set,), *test_sets


def read(path: str | Path = paths.PARAMS) -> Params:
    """Read and check a profile.

    Raises:
      FileNotFoundError: there is no such file; a stage runs in the folder of its profile.
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path.resolve()} is missing: run in the folder of a profile, which has one.")

    return checked(Params, path)
