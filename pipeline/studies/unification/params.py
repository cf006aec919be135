"""The section `unify`."""

from typing import Annotated

from pydantic import Field, PositiveInt

from pipeline.run.params import Count, Section


class Unify(Section):
    """Methods and their instances of VSML are compared over episodes of this `length`, one for each seed."""

    seeds: Annotated[tuple[Count, ...], Field(min_length=1)]
    length: PositiveInt
