"""What sections of params.yaml have in common."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ValueError(
            f"{name!r} is no name: it becomes part of commands and of paths, so rename it with letters, digits and "
            "underscores alone."
        )
    return name


Name = Annotated[str, AfterValidator(_plain)]
Count = Annotated[int, Field(ge=0)]
Sizes = tuple[PositiveInt, ...]
Kernel = tuple[PositiveInt, PositiveInt, PositiveInt]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Optimizer(Section):
    """Adam on meta-gradients, clipped unless `clip` is null; `patience` non-finite ones in a row stop the run.

    The learning rate rises to `learning_rate` over `warmup` meta-steps and falls to `final` of it on a cosine.
    """

    learning_rate: PositiveFloat
    warmup: Count
    final: Annotated[float, Field(gt=0, le=1)]
    clip: PositiveFloat | None
    patience: PositiveInt
