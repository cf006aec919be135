"""The section `feedback` of params.yaml: feedback with local plasticity, and gradient descent on the same tasks.

An experiment is called METHOD_on_TASK; it states the leaves in which it differs from `feedback.defaults`.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from pipeline.run.params import Count, Kernel, Name, Section, Share, Sizes

Per = Literal["synapse", "neuron", "layer", "one"]


class Course(Section):
    """Support and query examples of each part (function or class); in order, a part ends before the next begins."""

    parts: PositiveInt
    support: PositiveInt
    queries: PositiveInt
    in_order: bool


class Sines(Course):
    """Sine waves, `points` of one function a support example; so many `functions` in all, or null for ever new ones."""

    name: Literal["sines"]
    points: PositiveInt
    functions: PositiveInt | None


class Characters(Course):
    """So many output units. Training classes that are `rotated` make four each, `mirrored` two; `jitter` redraws them
    whenever they are shown, see `vsml.feedback.hands.redrawn`.
    """

    outputs: PositiveInt
    rotated: bool
    mirrored: bool
    jitter: Annotated[float, Field(ge=0, lt=1)]


class Glyphs(Characters):
    """Characters drawn by a rule."""

    name: Literal["glyphs"]
    train_classes: PositiveInt
    test_classes: PositiveInt
    drawings: PositiveInt


class Drawings(Characters):
    """Characters of one set to train on and of another one to test on: images with ink 0 and paper 255."""

    name: Literal["drawings"]
    train_set: Name
    test_set: Name


class Network(Section):
    """Convolutions (channels, kernel, stride) that never change in an episode; then layers, the last of which do."""

    convolutions: tuple[Kernel, ...]
    hidden_layers: Sizes


class LocalPlasticity(Section):
    """`vsml.feedback.local_plasticity.Rule` says what each field means."""

    name: Literal["local_plasticity"]
    plastic: PositiveInt
    source: Literal["error", "target"]
    output: Literal["mixed", "target"]
    hidden_hear: Literal["signed", "size", "nothing"]
    drive: Literal["feedback", "backprop"]
    derivative: bool
    rectified: bool
    feedback_hidden: Sizes
    decay: bool
    per: Per
    plasticity: float
    hidden_gain: PositiveFloat
    strength: float
    birth: Literal["learned", "random", "zero"]


class Descent(Section):
    """`vsml.feedback.descent.Descent` says what each field means."""

    name: Literal["descent"]
    plastic: PositiveInt
    order: Literal["first", "second"]
    rate: PositiveFloat
    per: Per | None
    clip: PositiveFloat | None


class Pretrained(Section):
    """Gradient descent of first order in each episode, from weights that were trained on all parts at once, without
    episodes. Of characters the output layer is then zero.
    """

    name: Literal["pretrained"]
    plastic: PositiveInt
    rate: PositiveFloat
    clip: PositiveFloat | None


class Rate(Section):
    """Adam's learning rate rises to `peak` over `warmup` meta-steps and falls to `final` of it on a cosine.

    With a peak of 0 the group stays at its initial value.
    """

    peak: NonNegativeFloat
    warmup: Count


class Training(Section):
    """`population` episodes a meta-step. Groups of theta have rates of their own; meta-gradients are clipped together.

    `patience` non-finite ones in a row stop the run; `segment` support examples are run again at a time on the way
    back, null keeps every state.
    """

    steps: PositiveInt
    population: PositiveInt
    rates: dict[str, Rate]
    final: Share
    clip: PositiveFloat
    patience: PositiveInt
    segment: PositiveInt | None


class Experiment(Section):
    task: Annotated[Sines | Glyphs | Drawings, Field(discriminator="name")]
    network: Network
    learner: Annotated[LocalPlasticity | Descent | Pretrained, Field(discriminator="name")]
    training: Training


class Trials(Section):
    """Episodes of a test, with so many query examples of each part: one is learned from, to see what it does."""

    episodes: PositiveInt
    queries: Annotated[int, Field(ge=2)]
    seed: Count


class Feedback(Section):
    tests: Trials
    defaults: Experiment
    experiments: dict[Name, Experiment]

    @model_validator(mode="after")
    def _named_by_method_and_task(self) -> "Feedback":
        for name in self.experiments:
            if name.count("_on_") != 1:
                raise ValueError(f"feedback.experiments.{name} must be called METHOD_on_TASK: rename it.")
        return self
