"""What a result depends on: the fingerprint of a job, and the state of code and machine that it ran on."""

import importlib.metadata
import inspect
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import artifacts, paths
from pipeline.flow import STAGES, Flow
from pipeline.params import Params, digest

PACKAGES = ("jax", "jaxlib", "numpy", "optax", "flax")


class Job(NamedTuple):
    """One item of one stage, and all that decides what comes out of it."""

    stage: str
    item: tuple[str, ...]
    params: Params
    flow: Flow
    deps: dict[str, str]  # sha256 by file; folders are spelt out
    device: str
    fingerprint: str


def job(stage: str, item: tuple[str, ...], params: Params, image: str | None = None) -> Job:
    """Look an item up and hash what it reads.

    Its fingerprint stands for all that decides the outs, as far as it is known here: stage, item, its slice of params,
    the digest of every dep, and the versions and devices of this machine or, if it runs elsewhere, the `image` there.

    Raises:
      ValueError: no such stage or item, or not as many words as the stage takes.
      FileNotFoundError: a dep is missing; an earlier stage makes it.
    """
    if stage not in STAGES:
        raise ValueError(f"{stage!r} is none of the stages {list(STAGES)}.")
    words = list(inspect.signature(STAGES[stage]).parameters)[1:]
    if len(item) != len(words):
        raise ValueError(f"{stage} takes {len(words)} words ({' '.join(words).upper() or 'none'}), got {list(item)}.")
    flow = STAGES[stage](params, *item)
    digests = {name: artifacts.sha256_file(path) for name, path in dep_files(stage, flow, params.root).items()}
    if image is not None:
        where, known = f"image {image}", {}
    else:
        where, known = device() if any(name.startswith("vsml/") for name in flow.code) else "cpu", versions()
    facts = [stage, item, flow.params, digests, known, where]
    return Job(stage, item, params, flow, digests, where, digest(facts))


def code(stage: str, flow: Flow) -> tuple[str, ...]:
    """All code deps of an item, with those that every stage has."""
    return (f"pipeline/stages/{stage}.py", "pipeline/artifacts.py", *flow.code)


def dep_files(stage: str, flow: Flow, root: str) -> dict[str, Path]:
    """Every file among the deps, by its name relative to the repository (code) or to the profile (artifacts)."""
    deps = [(name, Path(root) / name) for name in code(stage, flow)] + [(p.as_posix(), p) for p in flow.reads]
    files: dict[str, Path] = {}
    for name, path in deps:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file() and not _ignored(file.relative_to(path)))
            files |= {f"{name}/{file.relative_to(path).as_posix()}": file for file in inside}
        elif path.exists():
            files[name] = path
        else:
            raise FileNotFoundError(f"{path} is missing, which {stage} reads. `dvc repro` makes it.")
    return dict(sorted(files.items()))


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}


def device() -> str:
    import jax  # slow, and needless for a stage that computes nothing

    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({platform.machine()})"


def git() -> dict[str, str]:
    """The commit and whether the tree is as committed; dvc.lock, which a repro is there to change, does not count."""

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, check=False)

    head, status = ask("rev-parse", "HEAD"), ask("status", "--porcelain", "--", ".", ":(exclude)*dvc.lock")
    if head.returncode or status.returncode:
        return {"commit": "none", "tree": "unversioned"}
    return {"commit": head.stdout.strip(), "tree": "dirty" if status.stdout.strip() else "clean"}


def learned_from(job: Job, data: list[Path], meta_steps: int) -> dict[str, Any]:
    """The provenance that travels inside a rule, with the sha256 of its `data`: no clock, no host."""
    return {
        **job.flow.names,
        "meta_steps": meta_steps,
        "data": {path.as_posix(): job.deps[path.as_posix()] for path in data},
        "params": digest(job.flow.params),
    }


def stamp(stage: str, item: tuple[str, ...], params: Params, drawn: Iterable[Path]) -> str:
    """What a drawn file says of itself: digests of its params, of its code and of the files that are `drawn` in it.

    No clock, host, commit or version: the same inputs give the same stamp. `python -m pipeline whence` reads it.
    """
    flow = STAGES[stage](params, *item)
    of_code = dep_files(stage, flow._replace(reads=()), str(paths.ROOT))
    return stamped(stage, item, digest(flow.params), _digests(of_code), _digests({str(path): path for path in drawn}))


def stamped(stage: str, item: tuple[str, ...], own: str, code: dict[str, str], tables: dict[str, str]) -> str:
    """The words of a stamp, from the digest of the params and the sha256 of each file of code and table by its name."""
    what = "@".join((stage, *item))
    return f"vsml {what} params={own} code={digest(code)} tables={digest(tables)}"


def _digests(files: dict[str, Path]) -> dict[str, str]:
    return {name: artifacts.sha256_file(path) for name, path in files.items()}


def _ignored(path: Path) -> bool:
    """What .dvcignore and git keep out of a folder's hash."""
    return "__pycache__" in path.parts or path.name.startswith(".")
