"""The parameters of VSML and of what it is held against: what learns, how it is meta-trained, tested and looked at."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    TypeAdapter,
    ValidationError,
    computed_field,
    model_validator,
)

from pipeline.run.artifacts import read_rule, sha256_file
from pipeline.run.params import Count, Kernel, Name, Optimizer, Section, Sizes, Some, plain
from pipeline.run.paths import ROOT

PAPER_RATES = {"sgd": 0.01, "adam": 0.001}  # arXiv 2012.14905, released code: linear and 784-160-10, on images


class Vsml(Section):
    """What `vsml.learners.network` is built from, and the sizes of its hidden layers; fits tasks of every size.

    A convolution is channels, kernel, stride.
    """

    name: Literal["vsml"]
    convolutions: tuple[Kernel, ...]
    hidden_layers: Sizes
    hidden: PositiveInt
    message: PositiveInt
    ticks: PositiveInt
    backward_pass: bool
    feed_label: bool
    layer_norm: bool
    per_layer: bool


class FixedSize(Section):
    """A learner of one size: smaller tasks are padded. `front` are the channels of its convolutions, null for none."""

    inputs: PositiveInt
    outputs: PositiveInt
    front: PositiveInt | None


class MetaRnn(FixedSize):
    name: Literal["meta_rnn"]
    hidden: PositiveInt
    ticks: PositiveInt


class Hebbian(FixedSize):
    name: Literal["hebbian"]
    oja: bool


class FastMemory(FixedSize):
    name: Literal["fast_memory"]
    hidden: PositiveInt
    rows: PositiveInt
    columns: PositiveInt


Learner = Annotated[Vsml | MetaRnn | Hebbian | FastMemory, Field(discriminator="name")]


GENERATED = ("random", "sum_sign")  # sets without a file


class Estimating(Section):
    """At most `at_once` episodes (of ES: pairs of them) side by side on each device; null for all.

    Few need less memory, and on a CPU less time.
    """

    at_once: PositiveInt | None


class Backprop(Estimating):
    """`segment` examples are computed again at a time on the way back; null keeps every state."""

    name: Literal["backprop"]
    segment: PositiveInt | None


class TruncatedBptt(Estimating):
    name: Literal["truncated_bptt"]
    chunk: PositiveInt


class AntitheticEs(Estimating):
    name: Literal["antithetic_es"]
    std: PositiveFloat


Estimator = Annotated[Backprop | TruncatedBptt | AntitheticEs, Field(discriminator="name")]


class Data(Section):
    """What is meta-trained on. In a `stream` every prediction counts, and classes are equally frequent.

    In a `proportional_stream` they are as frequent as in the set, as in the released code. In `one_shot` each class is
    shown once, and only the prediction for one more example counts. Episodes see the sets through so many different
    `projections` in all; null draws one for each episode.
    """

    sets: Some[Name]
    episodes: Literal["stream", "proportional_stream", "one_shot"]
    projections: PositiveInt | None


Classes = Annotated[int, Field(ge=2)] | Annotated[tuple[Count, ...], Field(min_length=2)] | None
View = Literal["raw", "projected", "resized_projected", "shuffled"]


class EpisodeSizes(Section):
    """`population` episodes a meta-step, spread over all combinations of sets, views, inputs and classes.

    views: raw images, resized to a square of `inputs` pixels; projected to as many features at random; resized and
    then projected; shuffled pixels. inputs: null for those of the set. classes: how many, in a fresh random order
    for each episode; or which, in this order; or null for all in their own order.
    """

    views: Some[View]
    inputs: Some[PositiveInt | None]
    classes: Some[Classes]
    length: PositiveInt
    population: PositiveInt


class Phase(Section):
    """`steps` meta-steps, each on all of `episodes`, whose sizes may differ."""

    steps: PositiveInt
    episodes: Some[EpisodeSizes]


class WarmStart(Section):
    """Theta of a rule that ships, from which meta-training goes on: it stands for all leaves of theta, by their names.

    Its learner must be of the same form, and may have other hidden layers and ticks.
    """

    rule: Name

    @computed_field
    @property
    def sha256(self) -> str:
        return sha256_file(self._file)

    @property
    def _file(self) -> Path:
        if not (file := ROOT / f"vsml/zoo/{self.rule}.npz").is_file():
            known = sorted(path.stem for path in file.parent.glob("*.npz"))
            raise ValueError(f"start.rule (={self.rule!r}) is none of the rules that ship, {known}: name one.")
        return file

    def items(self) -> Iterable[tuple[str, Any]]:
        return read_rule(self._file).theta.items()

    def check(self, wanted: dict[str, Any]) -> None:
        """Raise a ValueError if its learner is not of the form of that which is `wanted`."""
        both, free = (read_rule(self._file).learner, wanted), ("hidden_layers", "convolutions", "ticks")
        own, other = ({name: one[name] for name in sorted(one) if name not in free} for one in both)
        if own != other:
            raise ValueError(f"start.rule (={self.rule!r}) is of the learner {own}, not of {other}: make them alike.")


def _kind_of_start(value: Any) -> str:
    return "warm" if isinstance(value, WarmStart) or (isinstance(value, dict) and "rule" in value) else "leaves"


Start = Annotated[
    Annotated[dict[str, float], Tag("leaves")] | Annotated[WarmStart, Tag("warm")], Discriminator(_kind_of_start)
]


class Experiment(Section):
    """All that decides what an experiment learns, and the suites of tests that it goes through.

    start: the number that a leaf of theta starts from, by the leaf's name; others are drawn as the learner draws them.
    Or `rule: NAME`, a warm start: all of theta is that of a rule that ships.
    snapshots: meta-steps after which the rule is kept, to be tested on the first task.
    """

    learner: Learner
    estimator: Estimator
    optimizer: Optimizer
    data: Data
    curriculum: Some[Phase]
    suites: Some[Name]
    start: Start = Field(default_factory=dict)
    snapshots: tuple[Count, ...] = ()

    @model_validator(mode="after")
    def _start_fits(self) -> "Experiment":
        if isinstance(self.start, WarmStart):
            self.start.check(plain(self.learner))
        return self

    @model_validator(mode="after")
    def _snapshots_are_of_the_curriculum(self) -> "Experiment":
        steps = sum(phase.steps for phase in self.curriculum)
        if wrong := [step for step in self.snapshots if step > steps]:
            raise ValueError(f"snapshots (={wrong}) must be at most {steps}, the meta-steps of the curriculum.")
        return self


class Task(Section):
    """What is tested on: a set, seen in one way, of which only some classes may occur (see `Data`, `EpisodeSizes`)."""

    set: Name
    view: View = "raw"
    inputs: PositiveInt | None = None
    classes: Classes = None
    episodes: Literal["stream", "one_shot"] = "stream"


class Tests(Section):
    """The episodes that learners are tested by, and the tasks of each suite of tests."""

    episodes: PositiveInt
    length: PositiveInt
    seed: Count
    suites: dict[Name, dict[Name, Task]]


class Introspect(Section):
    """How often, how long and with how many queries an introspected learner is looked at."""

    set: Name  # of images
    episodes: PositiveInt
    seed: Count
    ages: Some[Count]  # examples before an exposure
    gaps: PositiveInt  # examples after it
    others: PositiveInt  # queries of the class of an exposure, and as many of other classes
    length: PositiveInt  # of an episode whose steps are compared with gradient steps; channels are reset at its end
    every: PositiveInt  # so many examples, one step is compared
    queries: PositiveInt  # images on which those functions are compared
    shown: PositiveInt  # episodes that the report's page holds, of each kind


class ResultsSection(Section):
    """Accuracies are reported after so many examples, and at the end of an episode."""

    horizons: tuple[PositiveInt, ...]


class Rival(Section):
    """What rules are held against, in so many suites of tests."""

    suites: Some[Name]

    @property
    def grid(self) -> tuple[float, ...]:
        """The rates of a table: learning rates, strengths, or what is not a number where there is nothing to choose."""
        return getattr(self, "rates", getattr(self, "strengths", (float("nan"),)))


class Descent(Rival):
    """Gradient descent at each learning rate. A convolution is channels, kernel, stride; hidden layers come after."""

    name: Literal["sgd", "adam"]
    convolutions: tuple[Kernel, ...]
    hidden_layers: Sizes
    rates: Some[PositiveFloat]


class Regularised(Rival):
    """A rival of `vsml.learners.rivals` at each strength of its regularisation."""

    name: Literal["ridge", "naive_bayes"]
    strengths: Some[PositiveFloat]


class Parameterless(Rival):
    """A rival of `vsml.learners.rivals` that has nothing to choose."""

    name: Literal["nearest_mean", "nearest_neighbour"]


Baseline = Annotated[Descent | Regularised | Parameterless, Field(discriminator="name")]


class RandomFeatures(Section):
    """How many random features the shipped rules see beside those of an example; linear baselines that do so, too."""

    count: PositiveInt
    baselines: Some[Literal["sgd", "adam"]]


def learner_section(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check a `learner` section that was stored with a rule.

    Raises:
      ValueError: this version knows no such learner, or other settings of it.
    """
    try:
        return plain(TypeAdapter(Learner).validate_json(json.dumps(settings)))
    except ValidationError as error:
        problems = "; ".join(problem["msg"].lower() for problem in error.errors(include_url=False))
        wrong = f"The rule has the settings {dict(settings)}, which this version does not understand ({problems})"
        raise ValueError(f"{wrong}: meta-train it again.") from None
