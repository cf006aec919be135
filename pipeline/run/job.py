"""`python -m pipeline plan` writes what decides the outs of each item of a profile: the first stage.

Here is what a result depends on: the fingerprint of a job, and the state of code and machine that it ran on.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.run import artifacts, paths
from pipeline.run.flow import ARTIFACTS, Flow, Item, named
from pipeline.run.params import digest, known_or_raise
from pipeline.run.plan import NUMERIC, OURS, Tree, differences, plan, shadowed

ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


class Job(NamedTuple):
    """One item of one stage, and all that decides what comes out of it."""

    stage: str
    item: tuple[str, ...]  # its words
    params: Any  # of the profile
    flow: Item
    plan: dict[str, Any]
    code: dict[str, str]  # sha256 by file of the code that it runs, relative to the repository
    deps: dict[str, str]  # sha256 by file: its plan and all that it reads; folders are spelt out
    device: str
    fingerprint: str


def job(stage: str, words: tuple[str, ...], image: str | None = None) -> Job:
    """Look an item of the profile in this folder up and hash what it reads.

    Its fingerprint stands for all that decides the outs, as far as it is known here: stage, words, its plan, the digest
    of every other dep, and the devices of this machine or, if it runs elsewhere, the `image` there.

    Raises:
      ValueError: no such stage or item, or its plan is not that of the code, params and settings of now; or Python
        would run something else than that code.
      FileNotFoundError: a dep is missing; an earlier stage makes it.
    """
    flow, params = Flow(), read()
    item = flow.item(stage, words)
    made, files = planned(item, params)
    for name, other in shadowed(paths.ROOT, files):
        raise ValueError(f"Python would run {other} in the place of {name}, which the plan is of: remove it.")
    digests = {name: artifacts.sha256_file(path) for name, path in dep_files(item, flow.root).items()}
    held = json.loads(item.plan.read_text(encoding="utf-8"))
    # In a pod the flags of XLA are those of its template, which the driver has made part of `image`.
    flags = {"settings.XLA_FLAGS"} if in_pod() else set()
    if other := [name for name in differences(held, made) if name not in flags]:
        remedy = "`dvc repro --force --single-item plan` plans anew, after which what differs runs again"
        if own := [name.removeprefix("settings.") for name in other if name.startswith("settings.")]:
            remedy = f"{', '.join(own)} of the environment changes numbers: unset it; or {remedy}"
        raise ValueError(f"{item.plan} is not what decides this item now, {', '.join(other)} differ. {remedy}.")
    where = f"image {image}" if image is not None else device() if "jax" in made["versions"] else "cpu"
    code = {name: artifacts.sha256_file(paths.ROOT / name) for name in files}
    return Job(stage, words, params, item, made, code, digests, where, fingerprint(stage, words, digests, where))


def fingerprint(stage: str, words: Iterable[str], deps: dict[str, str], where: str) -> str:
    return digest([stage, list(words), deps, where])


def planned(item: Item, params: Any = None, tree: Tree | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The plan of an item by the code of now, and the files of that code."""
    tree, stage = tree or Tree(paths.ROOT), known_or_raise(stages(), item.stage, "stages")
    uses = stage.uses(params or read(), *item.words)
    starts = (stage.module, *uses.modules)
    return plan(tree, starts, uses.params), tree.code(starts).files


def main() -> None:
    """Write all plans of the profile in this folder."""
    own_code()
    write_plans()


def write_plans() -> None:
    """Write all plans, and make the folders that items read even if no item of this profile leaves anything there."""
    own, tree = read(), Tree(paths.ROOT)
    for item in (item for item in Flow().items() if item.stage != "plan"):
        made, _ = planned(item, own, tree)
        artifacts.write_json(item.plan, made)
        for folder in (Path(dep) for dep in item.deps if Path(dep).parent == ARTIFACTS):
            folder.mkdir(parents=True, exist_ok=True)


def read() -> Any:
    """The params of the profile in this folder: what `pipeline.studies.params.read` gives."""
    return importlib.import_module("pipeline.studies.params").read()


def stages() -> Any:
    """All stages by their names: `pipeline.studies.stages.STAGES`. Studies are reached by name alone, as by DVC."""
    return importlib.import_module("pipeline.studies.stages").STAGES


def dep_files(item: Item, root: str) -> dict[str, Path]:
    """Every file among the deps, by its name relative to the repository or, of artifacts, to the profile."""
    files: dict[str, Path] = {}
    for name, path in ((named(dep, root), Path(dep)) for dep in item.deps):
        if path.is_dir():
            files |= {f"{name}/{inner}": file for inner, file in folder_files(path).items()}
        elif path.exists():
            files[name] = path
        else:
            raise FileNotFoundError(f"{path} is missing, which {item.stage} reads. `dvc repro` makes it.")
    return dict(sorted(files.items()))


def folder_files(path: Path) -> dict[str, Path]:
    """The files of a folder by their path in it: those that DVC hashes, all but what .dvcignore names."""
    inside = ((file.relative_to(path), file) for file in path.rglob("*") if file.is_file())
    ignored = (".", "__pycache__")
    return {name.as_posix(): file for name, file in inside if not any(part.startswith(ignored) for part in name.parts)}


def own_code() -> None:
    """See that what runs is the code of the repository that the profile in this folder belongs to.

    A pod has a folder of its own and the code of its image, which its order was compared with.

    Raises:
      ValueError: it is that of another checkout, as when its environment is active here.
    """
    root = paths.ROOT if in_pod() else (Path.cwd() / Flow().root).resolve()
    origins = (getattr(importlib.util.find_spec(top), "origin", None) or os.devnull for top in OURS)
    tops = (Path(origin).resolve().parents[1] for origin in origins)
    if other := next((one for one in (paths.ROOT, *tops) if one != root), None):
        first = f"put it first: PYTHONPATH={root}" if ":" not in str(root) else "take the colons out of its path"
        remedy = f"use that repository's own environment (make repro there), or {first}"
        raise ValueError(f"This profile belongs to {root}, but the code that runs is that of {other}: {remedy}.")


def in_pod() -> bool:
    """Whether this process is a pod's, or the stage that it runs."""
    return "VSML_ORDER" in os.environ


def versions() -> dict[str, str]:
    packages = (name for names in NUMERIC.values() for name in names)
    return {name: importlib.metadata.version(name) for name in packages} | {"python": platform.python_version()}


def device() -> str:
    import jax  # slow, and needless for a stage that computes nothing

    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({platform.machine()})"


def git() -> dict[str, str]:
    """The commit and whether the tree is as committed; dvc.lock, which a repro is there to change, does not count.

    Raises:
      ValueError: git refuses, as it does in a repository that another user owns; or there is no git for one.
    """
    head = ask_git("rev-parse", "--verify", "HEAD")
    status = ask_git("status", "--porcelain", "--", ".", ":(exclude)*dvc.lock")
    if head.returncode or status.returncode:
        said = (head.stderr + status.stderr).decode(errors="replace")
        there = any((folder / ".git").exists() for folder in (paths.ROOT, *paths.ROOT.parents))
        if not there or not status.returncode:  # there is none, or none with a commit
            return {"commit": "none", "tree": "unversioned"}
        raise ValueError(f"git does not say which commit {paths.ROOT} is at. Its own words: {said.strip()}")
    return {"commit": head.stdout.decode().strip(), "tree": "dirty" if status.stdout.strip() else "clean"}


def ask_git(*words: str, at: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """What git answers, in English, in a folder: `at`, or that of the repository. GIT_DIR and its like do not count,
    nor what stands in for an object or for the parents of a commit (`git replace`, grafts).

    Raises:
      ValueError: there is no git.
    """
    try:
        command = ["git", "-C", str(at or paths.ROOT), *words]
        return subprocess.run(command, capture_output=True, check=False, env=git_env())
    except FileNotFoundError:
        raise ValueError("git is not installed, and what it knows of this code cannot be said: install it.") from None


def git_env() -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {"LC_ALL": "C"}
    return plain | {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": f"{os.devnull}/none"}


def learned_from(job: Job, data: list[Path], meta_steps: int) -> dict[str, Any]:
    """The provenance that travels inside a rule, with the sha256 of its `data`: no clock, no host."""
    return {
        **job.flow.names,
        "meta_steps": meta_steps,
        "data": {path.as_posix(): job.deps[path.as_posix()] for path in data},
        "params": digest(job.plan["params"]),
    }


def stamp(stage: str, words: tuple[str, ...], drawn: Iterable[Path]) -> str:
    """What a drawn file says of itself: digests of its plan and of the files that are `drawn` in it.

    No clock, host, commit or version: the same inputs give the same stamp. `python -m pipeline whence` reads it.
    """
    tables = {str(path): artifacts.sha256_file(path) for path in drawn}
    return stamped(stage, words, artifacts.sha256_file(Flow().item(stage, words).plan), tables)


def stamped(stage: str, words: tuple[str, ...], plan: str, tables: dict[str, str]) -> str:
    """The words of a stamp, from the sha256 of the plan and of each table by its name."""
    return f"vsml {'@'.join((stage, *words))} plan={plan} tables={digest(tables)}"
