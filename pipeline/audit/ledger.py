"""What dvc.yaml asks for, what params.yaml says now, and what dvc.lock recorded, item by item.

DVC's Python interface is not a stable one and its state database is what an audit must not believe, so the three
files are read here as the plain YAML that they are.
"""

import itertools
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.params import read_yaml

HOLE = re.compile(r"\$\{\s*([^}\s]+)\s*\}")
ABSENT = "absent"


class Entry(NamedTuple):
    """One item of a stage: what dvc.yaml asks for now, and what dvc.lock recorded (None: it never ran)."""

    name: str  # as DVC has it: meta_train@vsml-0
    stage: str
    words: tuple[str, ...]  # of the item
    cmd: str
    deps: tuple[str, ...]  # relative to the profile
    outs: tuple[str, ...]
    params: dict[str, Any]  # value now, by dotted key
    lock: dict[str, Any] | None


def read(profile: Path) -> list[Entry]:
    """All items of the profile in this folder.

    Raises:
      FileNotFoundError: it has no dvc.yaml, params.yaml or dvc.lock.
    """
    for name in ("dvc.yaml", "params.yaml", "dvc.lock"):
        if not (profile / name).is_file():
            raise FileNotFoundError(f"{profile / name} is missing: name a profile's folder in which `dvc repro` ran.")
    tree = read_yaml(profile / "params.yaml")
    locked = (read_yaml(profile / "dvc.lock") or {}).get("stages") or {}
    stages = read_yaml(profile / "dvc.yaml")["stages"]
    return [entry for stage, body in stages.items() for entry in _entries(stage, body, tree, locked)]


def _entries(stage: str, body: dict[str, Any], tree: Any, locked: dict[str, Any]) -> list[Entry]:
    matrix = {name: _filled(values, tree) for name, values in body.get("matrix", {}).items()}
    found = []
    for chosen in itertools.product(*matrix.values()):
        own = tree | {"item": dict(zip(matrix, chosen, strict=True))}
        name = "@".join((stage, "-".join(map(str, chosen)))) if matrix else stage
        cmd = _filled(body["cmd"], own)
        keys = [_filled(key, own) for key in body.get("params", [])]
        outs = [_path(out, own) for kind in ("outs", "plots", "metrics") for out in body.get(kind, [])]
        deps = [_path(dep, own) for dep in body.get("deps", [])]
        values = {key: at(tree, key) for key in keys}
        found.append(
            Entry(name, stage, tuple(map(str, chosen)), cmd, tuple(deps), tuple(outs), values, locked.get(name))
        )
    return found


def at(tree: Any, key: str) -> Any:
    """The value at a dotted key, or ABSENT."""
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return ABSENT
        tree = tree[part]
    return tree


def differences(expected: Any, found: Any, key: str) -> list[tuple[str, Any, Any]]:
    """Where two values differ: dotted key, what was expected, what was found."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = list(dict.fromkeys((*expected, *found)))
        pairs = [(expected.get(name, ABSENT), found.get(name, ABSENT), f"{key}.{name}") for name in names]
        return [one for left, right, inner in pairs for one in differences(left, right, inner)]
    return [] if expected == found else [(key, expected, found)]


def named(path: str, root: str) -> str:
    """A path of dvc.yaml by the name that a manifest has: code relative to the repository, artifacts to the profile."""
    return path if path.startswith("artifacts/") else os.path.relpath(path, root)


def _path(value: Any, tree: Any) -> str:
    written = next(iter(value)) if isinstance(value, dict) else value
    return os.path.normpath(_filled(written, tree))


def _filled(value: Any, tree: Any) -> Any:
    if not isinstance(value, str):
        return value
    whole = HOLE.fullmatch(value)
    return at(tree, whole[1]) if whole else HOLE.sub(lambda hole: str(at(tree, hole[1])), value)
