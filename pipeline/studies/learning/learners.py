"""The section `learner` of an experiment: what learns."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from pipeline.run.section import Kernel, Section, Sizes


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
