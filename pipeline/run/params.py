"""What sections of params.yaml have in common, and how such a file is read: typed, complete, and nothing unknown."""

import copy
import functools
import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PLAIN = r"^[A-Za-z0-9_]+$"
Name = Annotated[str, Field(pattern=PLAIN, max_length=64)]  # a file's name has a few of them, and at most 255 letters
Count = Annotated[int, Field(ge=0)]
Sizes = tuple[PositiveInt, ...]
Kernel = tuple[PositiveInt, PositiveInt, PositiveInt]
Share = Annotated[float, Field(gt=0, le=1)]
One = TypeVar("One")
Some = Annotated[tuple[One, ...], Field(min_length=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Optimizer(Section):
    """Adam on meta-gradients, clipped unless `clip` is null; `patience` non-finite ones in a row stop the run.

    The learning rate rises to `learning_rate` over `warmup` meta-steps and falls to `final` of it on a cosine.
    """

    learning_rate: PositiveFloat
    warmup: Count
    final: Share
    clip: PositiveFloat | None
    patience: PositiveInt


Checked = TypeVar("Checked", bound=Section)
Kind = TypeVar("Kind", bound=BaseModel)


def read_yaml(source: Path | bytes) -> Any:
    """The plain value of a YAML file, or of its bytes.

    Raises:
      ValueError: it is not YAML.
    """
    try:
        return copy.deepcopy(_parsed(source if isinstance(source, bytes) else source.read_bytes()))
    except YAMLError as error:
        name = "What git has" if isinstance(source, bytes) else source
        raise ValueError(f"{name} is not YAML: {error}: correct it.") from None


@functools.cache  # a seventh of a second each time, and an item asks a dozen times
def _parsed(source: bytes) -> Any:
    return YAML(typ="safe", pure=True).load(source)  # the parser that DVC uses: 1e-3 is a number in both


def shaped(kind: type[Kind], tree: Any, where: Any, remedy: str) -> Kind:
    """A plain value, or that of the JSON in these bytes, as what it should be; `where` it is, an error names.

    Raises:
      ValueError: it is something else.
    """
    try:
        return kind.model_validate_json(tree) if isinstance(tree, bytes) else kind.model_validate(tree)
    except ValidationError as error:
        wrong = {".".join(map(str, one["loc"][:3])): one["msg"] for one in error.errors()}
        must = "; ".join(f"{place or 'it'}: {why[0].lower()}{why[1:]}" for place, why in wrong.items())
        raise ValueError(f"{where} is not as it must be ({must}): {remedy}.") from None


def checked(kind: type[Checked], path: str | Path) -> Checked:
    """Read a YAML file as what it should be, experiments as `completed`.

    Raises:
      ValueError: unknown or missing keys or values of the wrong kind, each by its name.
    """
    tree = read_yaml(Path(path))
    try:
        return kind.model_validate_json(json.dumps(completed(tree, kind)))
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


def completed(tree: Any, kind: type[Section], place: str = "") -> Any:
    """A section as it was read from YAML with its `experiments` complete, and so in each of its own sections.

    An experiment is laid over `defaults`, which is a section of the same kind, or over the experiment that its key
    `like` names. What is malformed stays as it is: the check that follows refuses it by its name. `place` is the path
    to the section, for errors.

    Raises:
      ValueError: `like` names none of the experiments, or leads back to where it came from.
    """
    if not isinstance(tree, dict):
        return tree
    kinds: dict[str, Any] = {name: field.annotation for name, field in kind.model_fields.items()}
    inner = [name for name in tree if _is_section(kinds.get(name))]
    tree = tree | {name: completed(tree[name], kinds[name], f"{place}{name}.") for name in inner}
    defaults, experiments = tree.get("defaults", {}), tree.get("experiments")
    if "defaults" not in kinds or not isinstance(defaults, dict) or not isinstance(experiments, dict):
        return tree
    kind, where = kinds["defaults"], f"{place}experiments"
    shared = {name: section for name, section in defaults.items() if name in kind.model_fields}

    def complete(name: str, *heirs: str) -> Any:
        own = experiments[name]
        if not isinstance(own, dict) or "like" not in own:
            return merged(kind, shared, own)
        other = own["like"]
        wrong = f"{where}.{name}.like (={other!r})"
        if not isinstance(other, str) or other not in experiments:
            known = sorted(map(str, experiments))
            raise ValueError(f"{wrong} is none of {where} {known}: name one of them or remove it.")
        if other in (name, *heirs):
            chain = " -> ".join(map(str, (*reversed(heirs), name, other)))
            raise ValueError(f"{wrong} leads back to itself ({chain}): remove one of these `like`.")
        return merged(kind, complete(other, name, *heirs), {key: value for key, value in own.items() if key != "like"})

    return tree | {"experiments": {name: complete(name) for name in experiments}}


def merged(kind: Any, base: Any, own: Any) -> Any:
    """`own` laid over `base`, both values of a field of this kind.

    Sections merge leaf by leaf. All else replaces what was there: a list, a table whose keys are free, and a section of
    another kind, which its `name` tells.
    """
    if not isinstance(base, dict) or not isinstance(own, dict) or own.get("name", base.get("name")) != base.get("name"):
        return own
    kinds = [one for one in (get_args(kind) if isinstance(kind, UnionType) else (kind,)) if _is_section(one)]
    if len(kinds) > 1:  # told apart by the name that each admits
        kinds = [one for one in kinds if base.get("name") in get_args(one.model_fields["name"].annotation)]
    for one in kinds:
        fields = {name: field.annotation for name, field in one.model_fields.items() if name in base}
        own = base | {name: merged(fields.get(name), base.get(name), value) for name, value in own.items()}
    return own


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _sentence(problem: Any) -> str:
    # Below a section that is one of several kinds, its kind stands among the names.
    parts, unions = [str(part) for part in problem["loc"]], ("learner", "estimator", "start", "task")
    kinds = {place for place, part in enumerate(parts, start=1) if part in unions}
    kinds |= {2} if parts[:1] == ["baselines"] else set()
    name = ".".join(part for place, part in enumerate(parts) if place not in kinds)
    match problem["type"]:
        case "missing":
            return f"{name} is missing: add it (a section of another kind, and an entry of a list, is stated whole)."
        case "extra_forbidden":
            return f"{name} (={problem['input']!r}) is unknown: remove it or correct its name."
        case "string_pattern_mismatch" if problem["ctx"]["pattern"] == PLAIN:
            remedy = "rename it with letters, digits and underscores alone"
            return f"{problem['input']!r} is no name: it becomes part of commands and of paths, so {remedy}."
        case "value_error":
            return str(problem["ctx"]["error"])
        case _:
            return f"{name} (={problem['input']!r}) is wrong: {problem['msg'].lower()}; correct it."
