"""What sections of params.yaml have in common, and how such a file is read: typed, complete, and nothing unknown."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


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


Checked = TypeVar("Checked", bound=Section)


def read_yaml(source: Path | bytes) -> Any:
    """The plain value of a YAML file, or of its bytes."""
    return YAML(typ="safe", pure=True).load(source)  # the parser that DVC uses: 1e-3 is a number in both


def checked(kind: type[Checked], path: str | Path, change: Callable[[Any], Any] = lambda tree: tree) -> Checked:
    """Read a YAML file as what it should be.

    Raises:
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    try:
        return kind.model_validate_json(json.dumps(change(read_yaml(Path(path)))))
    except YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    except ValidationError as error:
        lines = [_sentence(problem) for problem in error.errors(include_url=False)]
        raise ValueError(f"{path}:\n" + "\n".join(f"  {line}" for line in dict.fromkeys(lines))) from None
    except ValueError as error:
        raise ValueError(f"{path}:\n  {error}") from None


def known_or_raise(known: Mapping[str, Any] | Collection[str], name: str, kind: str) -> Any:
    """Look a name up.

    Raises:
      ValueError: it is none of `known`.
    """
    if name not in known:
        raise ValueError(f"{name!r} is none of the {kind} {sorted(known)}: add it there or correct its name.")
    return known[name] if isinstance(known, Mapping) else name


def plain(section: Section) -> dict[str, Any]:
    """The section as plain JSON types, for files, digests and keyword arguments."""
    return section.model_dump(mode="json")


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _sentence(problem: Any) -> str:
    # Below a section that is one of several kinds, its kind stands among the names.
    parts, unions = [str(part) for part in problem["loc"]], ("learner", "estimator", "task")
    name = ".".join(part for before, part in zip(["", *parts], parts, strict=False) if before not in unions)
    match problem["type"]:
        case "missing":
            return f"{name} is missing: add it (a section of another kind, and an entry of a list, is stated whole)."
        case "extra_forbidden":
            return f"{name} (={problem['input']!r}) is unknown: remove it or correct its name."
        case "value_error":
            return str(problem["ctx"]["error"])
        case _:
            return f"{name} (={problem['input']!r}) is wrong: {problem['msg'].lower()}; correct it."
