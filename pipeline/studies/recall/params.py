"""The section `recall`: rules that learn to remember, how they are meta-trained and what they are asked."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from pipeline.run.params import Count, Name, Optimizer, Section, Share, Some, known_or_raise

Degree = Annotated[float, Field(ge=0, le=1)]


class RecallGraph(Section):
    """The network: of `hidden` hidden neurons, and with that share of its synapses, drawn for each episode."""

    name: Literal["direct", "hidden", "recurrent"]
    hidden: Count
    density: Share


class RecallRules(Section):
    """The two learned functions: see `vsml.recall.rules.Rules`."""

    body: PositiveInt
    synapse: PositiveInt
    embedding: PositiveInt
    width: PositiveInt
    kind: Literal["gated", "mlp", "gru"]
    types: bool
    plastic: bool


class RecallTraining(Section):
    """Each meta-step, `population` episodes of `length` snippets, with so many questions after each snippet.

    The meta-gradient goes back through `window` snippets and no further. One rule is trained for each of `horizons`:
    the number of past snippets to remember.
    """

    steps: PositiveInt
    population: PositiveInt
    length: PositiveInt
    window: PositiveInt
    queries: PositiveInt
    horizons: Some[PositiveInt]
    optimizer: Optimizer

    @model_validator(mode="after")
    def _windows_fit(self) -> "RecallTraining":
        if self.length % self.window:
            wrong = f"window (={self.window}) must divide length (={self.length}) of recall's training"
            raise ValueError(f"{wrong}: choose such a one.")
        return self


class RecallExperiment(Section):
    graph: RecallGraph
    rules: RecallRules
    training: RecallTraining


class RecallTests(Section):
    """Episodes of `length` snippets with questions about the last `lags`; what counts comes after `settled` snippets.

    Experiments named in `thorough` also meet flipped bits (`noise`), cues alike (`correlation`), other `sizes` and
    other networks (`transfer`) than that of their meta-training; the fixed rules are tuned beside them.
    """

    episodes: PositiveInt
    length: PositiveInt
    settled: PositiveInt
    lags: PositiveInt
    seed: Count
    thorough: tuple[Name, ...]
    noise: tuple[Degree, ...]
    correlation: tuple[Degree, ...]
    sizes: tuple[PositiveInt, ...]
    transfer: tuple[RecallGraph, ...]

    @model_validator(mode="after")
    def _episodes_last(self) -> "RecallTests":
        if not self.lags <= self.settled < self.length:
            wrong = (
                f"settled (={self.settled}) must be at least lags (={self.lags}) and less than length (={self.length})"
            )
            raise ValueError(f"recall.tests: {wrong}: every question that counts is about a snippet of the episode.")
        return self


class Recall(Section):
    """`size` bits of each cue and of each answer; an experiment states the leaves that are not those of `defaults`."""

    size: PositiveInt
    defaults: RecallExperiment
    experiments: dict[Name, RecallExperiment]
    tests: RecallTests

    @model_validator(mode="after")
    def _horizons_are_asked(self) -> "Recall":
        for name, experiment in self.experiments.items():
            if (longest := max(experiment.training.horizons)) > self.tests.lags:
                wrong = f"the longest horizon (={longest}) must be at most recall.tests.lags (={self.tests.lags})"
                remedy = "ask about more snippets, or remember fewer"
                raise ValueError(f"recall.experiments.{name}: {wrong}: {remedy}.")
        for name in self.tests.thorough:
            known_or_raise(self.experiments, name, "recall.experiments that recall.tests.thorough may name")
        return self
