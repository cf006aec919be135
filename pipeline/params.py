"""The parameters of a profile, read from its params.yaml: typed, complete, and nothing unknown.

`defaults` holds whole sections, an entry of `experiments` replaces whole sections, and the overlay happens here:
YAML merge keys would break `dvc exp run -S`.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import paths

Count = Annotated[int, Field(ge=0)]
Sizes = tuple[PositiveInt, ...]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Learner(Section):
    """What `vsml.learners.network` is built from, and the sizes of its hidden layers."""

    hidden_layers: Sizes
    hidden: PositiveInt
    message: PositiveInt
    ticks: PositiveInt
    backward_pass: bool
    feed_label: bool
    layer_norm: bool
    per_layer: bool


class Backprop(Section):
    """`segment` examples are lived again at a time on the way back; null keeps every state."""

    name: Literal["backprop"]
    segment: PositiveInt | None


class TruncatedBptt(Section):
    name: Literal["truncated_bptt"]
    chunk: PositiveInt


class AntitheticEs(Section):
    name: Literal["antithetic_es"]
    std: PositiveFloat
    at_once: PositiveInt


Estimator = Annotated[Backprop | TruncatedBptt | AntitheticEs, Field(discriminator="name")]


class Optimizer(Section):
    """Adam on clipped meta-gradients; `patience` non-finite ones in a row stop the run.

    The learning rate rises to `learning_rate` over `warmup` meta-steps and falls to `final` of it on a cosine.
    """

    learning_rate: PositiveFloat
    warmup: Count
    final: Annotated[float, Field(gt=0, le=1)]
    clip: PositiveFloat
    patience: PositiveInt


class Phase(Section):
    """`steps` meta-steps, each on `population` episodes of this size."""

    steps: PositiveInt
    inputs: PositiveInt
    classes: Annotated[int, Field(ge=2, le=10)]
    length: PositiveInt
    population: PositiveInt


class MetaTest(Section):
    lives: PositiveInt
    length: PositiveInt
    seed: Count


class Introspect(Section):
    lives: PositiveInt
    seed: Count


class Experiment(Section):
    """All that decides what an experiment learns."""

    learner: Learner
    estimator: Estimator
    optimizer: Optimizer
    curriculum: Annotated[tuple[Phase, ...], Field(min_length=1)]


class Defaults(Experiment):
    """`meta_test` and `introspect` are nobody's to replace: every learner must live the same lives."""

    meta_test: MetaTest
    introspect: Introspect


class Baseline(Section):
    optimizer: Literal["sgd", "adam"]
    hidden_layers: Sizes
    rates: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]


class Items(Section):
    """What `dvc repro` makes: the items of every stage in dvc.yaml."""

    sets: tuple[str, ...]
    experiments: tuple[str, ...]
    seeds: tuple[Count, ...]
    baselines: tuple[str, ...]
    figures: tuple[str, ...]


class Params(Section):
    root: str
    items: Items
    defaults: Defaults
    experiments: dict[str, Experiment]
    baselines: dict[str, Baseline]

    @model_validator(mode="after")
    def _items_exist(self) -> "Params":
        for kind, known in (("experiments", self.experiments), ("baselines", self.baselines)):
            for name in getattr(self.items, kind):
                known_or_raise(known, name, kind)
        return self


def read(path: str | Path = paths.PARAMS) -> Params:
    """Read and check a profile.

    Raises:
      FileNotFoundError: there is no such file; a stage runs in the folder of its profile.
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path.resolve()} is missing: run in the folder of a profile, which has one.")
    try:
        tree = YAML(typ="safe", pure=True).load(path)  # the parser that DVC uses: 1e-3 is a number in both
        return Params.model_validate_json(json.dumps(_overlay(tree)))
    except YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    except ValidationError as error:
        lines = [_sentence(problem) for problem in error.errors(include_url=False)]
        raise ValueError(f"{path}:\n" + "\n".join(f"  {line}" for line in dict.fromkeys(lines))) from None


def _overlay(tree: Any) -> Any:
    """Replace whole sections of `defaults` by those of each experiment; leave what is malformed to the check."""
    if not isinstance(tree, dict):
        return tree
    defaults, experiments = tree.get("defaults"), tree.get("experiments")
    if not isinstance(defaults, dict) or not isinstance(experiments, dict):
        return tree
    shared = {name: section for name, section in defaults.items() if name in Experiment.model_fields}
    overlaid = {name: shared | own if isinstance(own, dict) else own for name, own in experiments.items()}
    return tree | {"experiments": overlaid}


def _sentence(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"] if part not in ("backprop", "truncated_bptt", "antithetic_es"))
    match problem["type"]:
        case "missing":
            return f"{name} is missing: add it (an experiment replaces whole sections, so each must be complete)."
        case "extra_forbidden":
            return f"{name} (={problem['input']!r}) is unknown: remove it or correct its name."
        case "value_error":
            return str(problem["ctx"]["error"])
        case _:
            return f"{name} (={problem['input']!r}) is wrong: {problem['msg'].lower()}; correct it."


def known_or_raise(known: dict[str, Any], name: str, kind: str) -> Any:
    """Look a name up.

    Raises:
      ValueError: it is none of `known`.
    """
    if name not in known:
        raise ValueError(f"{name!r} is none of the {kind} {sorted(known)}: add it there or correct its name.")
    return known[name]


def plain(section: Section) -> dict[str, Any]:
    """The section as plain JSON types, for files, digests and keyword arguments."""
    return section.model_dump(mode="json")


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
