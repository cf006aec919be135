"""Whether what is published is what the code and the params of now make: docs/, and every dvc.lock of git.

Every item in a dvc.lock must have been planned as it would be planned now, and the results, verdicts and figures in
docs/ must be outs there. A dvc.lock is that on disk or, since another processor leaves other last digits, that of the
last commit.
"""

import hashlib
import tempfile
from collections.abc import Collection, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from pipeline.run import job, paths
from pipeline.run.artifacts import write_json
from pipeline.run.flow import Flow, locked
from pipeline.run.plan import Tree


def problems(root: Path) -> list[str]:
    """What is older than the code or of no run, in sentences; of the profiles that have results in docs/."""
    tree = Tree(paths.ROOT)
    docs = [path.parent for path in sorted(root.glob("docs/**/results.json"))]
    return [problem for folder in docs for problem in _of(folder, root, tree)]


def _of(docs: Path, root: Path, tree: Tree) -> Iterator[str]:
    lock = root / ("" if docs == root / "docs" else f"profiles/{docs.name}") / "dvc.lock"
    own, committed = _items(lock.read_bytes()) if lock.exists() else {}, _items(_committed(lock))
    locked = [*own.items(), *committed.items()]
    known = {(Path(out["path"]).name, out["md5"]) for _, item in locked for out in item.get("outs", ())}
    files = [docs / "results.json", docs / "claims.json", *docs.glob("figures/*.png")]
    if lost := [file.name for file in files if file.exists() and (file.name, _md5(file.read_bytes())) not in known]:
        yield f"{docs} has {', '.join(lost)} of no run of {lock}: `python -m pipeline readme` in its folder mends it."
    plans = {(name, dep["path"], dep["md5"]) for name, item in locked for dep in item.get("deps", ())}
    with chdir(lock.parent), tempfile.TemporaryDirectory() as folder:
        made, params, old = {item.name: item for item in Flow().items()}, job.read(), []
        for name in sorted(made.keys() - {"plan"}):
            write_json(now := Path(folder) / "plan.json", job.planned(made[name], params, tree)[0])
            if (name, str(made[name].plan), _md5(now.read_bytes())) not in plans:
                old.append(name)
    if gone := sorted(own.keys() - made.keys()):
        yield f"{lock} has entries of no item of its dvc.yaml, {_words(gone)}: remove them."
    if old:
        yield f"{lock} has nothing of the code and params of now for {_words(old)}: make repro there."


def _committed(lock: Path) -> bytes:
    return job.ask_git("show", f"HEAD:./{lock.name}", at=lock.parent).stdout  # nothing where git has no such file


def _items(content: bytes) -> dict[str, Any]:
    return locked(content) if content else {}


def _words(names: Collection[str]) -> str:
    first, *others = names
    return first + f" and {len(others)} more" * bool(others)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
