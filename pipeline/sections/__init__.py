"""What every section of params.yaml is made of. Systems with sections of their own have them in this folder."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Count = Annotated[int, Field(ge=0)]
Sizes = tuple[PositiveInt, ...]
Kernel = tuple[PositiveInt, PositiveInt, PositiveInt]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
