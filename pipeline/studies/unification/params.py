"""The section `unify`."""

from pydantic import PositiveInt

from pipeline.run.params import Count, Section, Some


class Unify(Section):
    """Methods and their instances of VSML are compared over episodes of this `length`, one for each seed."""

    seeds: Some[Count]
    length: PositiveInt
