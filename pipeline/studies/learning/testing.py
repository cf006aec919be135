"""The sections that say how learners are tested and looked at, and what they are held against."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from pipeline.run.section import Count, Kernel, Name, Section, Sizes
from pipeline.studies.learning.params import Classes, View


class Task(Section):
    """What is tested on: a set, seen in one way, of which only some classes may occur (see `Data` and `Lives`)."""

    set: Name
    view: View = "raw"
    inputs: PositiveInt | None = None
    classes: Classes = None
    episodes: Literal["stream", "one_shot"] = "stream"


class Tests(Section):
    """The lives that learners are tested by, and the tasks of each suite of tests."""

    lives: PositiveInt
    length: PositiveInt
    seed: Count
    suites: dict[Name, dict[Name, Task]]


class Introspect(Section):
    """How often, how long and with how many probes an introspected learner is looked at."""

    set: Name  # of images
    lives: PositiveInt
    seed: Count
    ages: Annotated[tuple[Count, ...], Field(min_length=1)]  # examples lived before a sighting
    gaps: PositiveInt  # examples lived after it
    others: PositiveInt  # probes of the class of a sighting, and as many of other classes
    length: PositiveInt  # of a life whose steps are compared with gradient steps; channels are reset at its end
    every: PositiveInt  # so many examples, one step is compared
    probes: PositiveInt  # images on which those functions are compared
    shown: PositiveInt  # lives that the report's page holds, of each kind


class ResultsSection(Section):
    """Accuracies are reported after so many examples, and at the end of a life."""

    horizons: tuple[PositiveInt, ...]


class Unify(Section):
    """Methods and their instances of VSML are compared over lives of this `length`, one for each seed."""

    seeds: Annotated[tuple[Count, ...], Field(min_length=1)]
    length: PositiveInt


class Baseline(Section):
    """A convolution is channels, kernel, stride; hidden layers come after them."""

    optimizer: Literal["sgd", "adam"]
    convolutions: tuple[Kernel, ...]
    hidden_layers: Sizes
    rates: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    suites: Annotated[tuple[Name, ...], Field(min_length=1)]


class RandomFeatures(Section):
    """How many random features the shipped rules see beside those of an example, and the baselines that do so, too.

    These are linear.
    """

    count: PositiveInt
    baselines: Annotated[tuple[Literal["sgd", "adam"], ...], Field(min_length=1)]
