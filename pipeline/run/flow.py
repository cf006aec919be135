"""The flow, as dvc.yaml and params.yaml say it: what each item of a stage reads and leaves. Read here and nowhere else.

DVC's Python interface is not a stable one and its state database is what an audit must not believe, so the files are
read as the plain YAML that they are. A stage has one name: its module, its word on the command line and its folder
under artifacts/; but `shipped_clone` leaves its outs where the stages leave theirs that learn them. Its entry in
dvc.yaml has that name, too, but for figures, which have an entry for each study.
"""

import itertools
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from pipeline.run.params import read_yaml, shaped
from pipeline.run.paths import ARTIFACTS

PLAN = ARTIFACTS / "plan"
HOLE = re.compile(r"\$\{\s*([^}\s]+)\s*\}")
ABSENT = "absent"


OnePath = str | Annotated[dict[str, Any], Field(min_length=1, max_length=1)]  # with what DVC is to do about it


class _Entry(BaseModel):
    """A stage of dvc.yaml, as far as it is read here."""

    cmd: Annotated[str, Field(pattern=r"^exec python \S+ \S+ \S")]
    matrix: dict[str, str | list[Any]] = {}
    deps: list[OnePath] = []
    outs: list[OnePath] = []
    plots: list[OnePath] = []
    metrics: list[OnePath] = []


class _Entries(BaseModel):
    stages: dict[str, _Entry]


class _Line(BaseModel):
    """A dep or an out in dvc.lock."""

    path: str
    hash: str | None = None
    md5: str
    size: int | None = None
    nfiles: int | None = None


class _Locked(BaseModel):
    cmd: str
    deps: list[_Line] = []
    outs: list[_Line] = []


class _Lock(BaseModel):
    stages: dict[str, _Locked] = {}


class Item(NamedTuple):
    """One item of a stage. Paths are relative to the profile."""

    name: str  # as DVC has it: meta_train@vsml-0
    stage: str  # the word of its command
    words: tuple[str, ...]
    names: dict[str, str]  # its words by what they are: experiment, seed, …
    cmd: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]

    @property
    def standard(self) -> str:
        """The command that it must have."""
        return " ".join(("exec python -m pipeline", self.stage, *self.words))

    @property
    def plan(self) -> Path:
        """The file that says what decides its outs; `plan` itself has none."""
        return PLAN / f"{self.name}.json"


class Flow:
    """All stages of the profile in a folder.

    Raises:
      FileNotFoundError: it has no dvc.yaml or no params.yaml.
      ValueError: one of them is none.
    """

    def __init__(self, profile: Path = Path()) -> None:
        for name in ("dvc.yaml", "params.yaml"):
            if not (profile / name).is_file():
                raise FileNotFoundError(f"{(profile / name).resolve()} is missing: name the folder of a profile.")
        self._params, tree = read_yaml(profile / "params.yaml"), read_yaml(profile / "dvc.yaml")
        if not isinstance(self._params, dict) or not isinstance(self._params.get("root"), str):
            must = "must have `root`, the way to the repository: take the file of a profile that runs"
            raise ValueError(f"{(profile / 'params.yaml').resolve()} {must}.")
        self.root: str = self._params["root"]  # the way from the profile to the repository
        shaped(_Entries, tree, (profile / "dvc.yaml").resolve(), "take that of the repository")
        self._entries: dict[str, Any] = tree["stages"]
        self._stages = {entry: body["cmd"].split()[4] for entry, body in self._entries.items()}

    def items(self) -> list[Item]:
        """Every item that `dvc repro` makes, in the order of dvc.yaml."""
        found = []
        for entry, body in self._entries.items():
            axes = [_filled(values, self._params) or () for values in body.get("matrix", {}).values()]
            found += [self._item(entry, words) for words in itertools.product(*axes)]
        return found

    def item(self, stage: str, words: tuple[str, ...]) -> Item:
        """The item of a stage that has these words, whether or not the profile makes it.

        Raises:
          ValueError: no such stage, or not as many words as it takes.
        """
        entries = [entry for entry, one in self._stages.items() if one == stage]
        if not entries:
            raise ValueError(f"{stage!r} is none of the stages {list(dict.fromkeys(self._stages.values()))}.")
        axes = list(self._entries[entries[0]].get("matrix", {}))
        if len(words) != len(axes):
            wanted = " ".join(axes).upper() or "none"
            raise ValueError(f"{stage} takes {len(axes)} words ({wanted}), got {list(words)}.")
        for axis, word in zip(axes, words, strict=True):
            if axis == "seed" and not word.isdecimal():
                raise ValueError(f"seed (={word!r}) must be a whole number, 0 or more.")
        made = next((item for item in self.items() if (item.stage, item.words) == (stage, words)), None)
        if made is None and len(entries) > 1:
            raise ValueError(f"{stage} {' '.join(words)} is no item of this profile: add it to items of params.yaml.")
        return made or self._item(entries[0], words)

    def matching(self, *patterns: str) -> list[Path]:
        """What the items leave whose path under artifacts/ matches a pattern: a file left over from another choice of
        items never does."""
        outs = (Path(out) for item in self.items() for out in item.outs)
        return [out for out in outs if any(fnmatchcase(out.relative_to(ARTIFACTS).as_posix(), p) for p in patterns)]

    def _item(self, entry: str, values: tuple[Any, ...]) -> Item:
        body, words = self._entries[entry], tuple(map(str, values))
        names = dict(zip(body.get("matrix", {}), words, strict=True))
        tree = self._params | {"item": names}

        def paths(*kinds: str) -> tuple[str, ...]:
            listed = [next(iter(one)) if isinstance(one, dict) else one for kind in kinds for one in body.get(kind, [])]
            return tuple(os.path.normpath(_filled(path, tree)) for path in listed)

        name = f"{entry}@{'-'.join(words)}" if words else entry
        cmd = _filled(body["cmd"], tree)
        return Item(name, self._stages[entry], words, names, cmd, paths("deps"), paths("outs", "plots", "metrics"))


def locked(source: Path | bytes) -> dict[str, dict[str, Any]]:
    """The entries of a dvc.lock by the names of their items.

    Raises:
      ValueError: it is none.
    """
    name = "What git has as dvc.lock" if isinstance(source, bytes) else source.resolve()
    shaped(_Lock, tree := {} if (held := read_yaml(source)) is None else held, name, "git checkout dvc.lock")
    return tree.get("stages", {})


def _filled(value: Any, tree: Any) -> Any:
    """`value` with its ${…} filled, as DVC does; one that is nothing else keeps its kind.

    Raises:
      ValueError: the tree has no such key.
    """

    def at(hole: re.Match[str]) -> Any:
        found = tree
        for part in hole[1].split("."):
            if not isinstance(found, dict) or part not in found:
                raise ValueError(f"params.yaml has no {hole[1]}, which dvc.yaml names: add it.")
            found = found[part]
        return found

    if not isinstance(value, str):
        return value
    whole = HOLE.fullmatch(value)
    return at(whole) if whole else HOLE.sub(lambda hole: str(at(hole)), value)


def named(path: str, root: str) -> str:
    """A dep by the name that a manifest has: files of the repository relative to it, artifacts to the profile."""
    return path if path.startswith(f"{ARTIFACTS}/") or path == "params.yaml" else os.path.relpath(path, root)
