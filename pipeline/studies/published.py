"""Whether what is published is what the code and the params of now make: docs/, and every dvc.lock of git.

Every item in a dvc.lock must have been planned as it would be planned now, and the results, verdicts and figures in
docs/ must be outs there. A dvc.lock is that on disk or, since another processor leaves other last digits, that of the
last commit.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from pipeline.run import job, paths
from pipeline.run.artifacts import write_json
from pipeline.run.flow import Flow
from pipeline.run.params import read_yaml
from pipeline.run.plan import Tree


def problems(root: Path) -> list[str]:
    """A sentence for each profile of which something is older than the code, or in docs/ and of no run."""
    tree, locks = Tree(paths.ROOT), (root / "dvc.lock", *sorted(root.glob("profiles/*/dvc.lock")))
    return [problem for lock in locks for problem in _of(lock, root, tree)]


def _of(lock: Path, root: Path, tree: Tree) -> Iterator[str]:
    command = ["git", "show", f"HEAD:./{lock.name}"]
    committed = subprocess.run(command, cwd=lock.parent, capture_output=True, check=False).stdout
    versions = [_items(content) for content in dict.fromkeys((lock.read_bytes(), committed)) if content]
    locked = [(name, own) for items in versions for name, own in items.items()]
    known = {(Path(out["path"]).name, out["md5"]) for _, own in locked for out in own["outs"]}
    docs = root / "docs" / ("" if lock.parent == root else lock.parent.name)
    files = [docs / "results.json", docs / "claims.json", *docs.glob("figures/*.png")]
    if lost := [one.name for one in files if one.exists() and (one.name, _md5(one.read_bytes())) not in known]:
        yield f"{docs} has {', '.join(lost)} of no run of {lock}: `python -m pipeline readme` in its folder mends it."
    plans = {(name, dep["path"], dep["md5"]) for name, own in locked for dep in own.get("deps", ())}
    names = {name for name, _ in locked} - {"plan"}
    with chdir(lock.parent), tempfile.TemporaryDirectory() as folder:
        made, own = {item.name: item for item in Flow().items()}, job.read()
        if lost := sorted(names - made.keys()):
            yield f"{lock} has entries of no item of its dvc.yaml, {_words(lost)}: remove them."
        old = []
        for name in sorted(names & made.keys()):
            write_json(now := Path(folder) / "plan.json", job.planned(made[name], own, tree)[0])
            if (name, str(made[name].plan), _md5(now.read_bytes())) not in plans:
                old.append(name)
    if old:
        yield f"{lock} has what is not of the code and params of now, {_words(old)}: make repro there."


def _words(names: list[str]) -> str:
    return names[0] + f" and {len(names) - 1} more" * (len(names) > 1)


def _items(content: bytes) -> dict[str, Any]:
    return read_yaml(content)["stages"]


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
