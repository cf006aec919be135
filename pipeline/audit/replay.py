"""`python -m pipeline replay STAGE ITEM…` runs an item again, as it ran, and says how alike the outs are.

It checks out the commit of the item's run into a worktree of its own, lays out params.yaml as it was then and the deps
by the sha256 of the run's manifest (from here, or from MLflow), runs the stage there, unknown to MLflow,
and compares. Exit status 0: alike, in one of the first three ways; 1: different; 2: it could not be run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.__main__ import xla_flags
from pipeline.audit.compare import DIFFERENT, compare
from pipeline.audit.run_checks import place
from pipeline.audit.whence import manifest
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.flow import Flow
from pipeline.run.params import digest as digest_of
from pipeline.track import tracking, uploads
from pipeline.track.store import Found, IntegrityError, MissingInStoreError, Store, TrackingError


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline replay", description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("item", nargs="*", help="its words, as for the stage itself")
    given = parser.parse_args(words)
    try:
        alike = replay(given.stage, tuple(given.item))
    except (OSError, ValueError, TrackingError, IntegrityError) as error:
        print(f"It could not be replayed: {error}", file=sys.stderr)
        sys.exit(2)
    if not alike:
        sys.exit(1)


def replay(stage: str, item: tuple[str, ...]) -> bool:
    """Replay an item of the profile in this folder; print what is found, and say whether the outs are alike.

    Raises:
      ValueError: no such item, no run of it, or its commit is not in this repository.
    """
    one = Flow().item(stage, item)
    made, _ = provenance.planned(one)
    uploads.flush()
    store = Store()
    run = _run_of(store, stage, one.names, digest_of(made["params"]))
    deps, outs = (manifest(store, run)[kind] for kind in ("deps", "outs"))
    here = Path.cwd().relative_to(paths.ROOT.resolve())
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "worktree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), run.tags["commit"])
        try:
            profile = tree / here
            _lay_out(store, deps, profile)
            print(f"{stage} {' '.join(item)}: replaying run {run.id} at commit {run.tags['commit'][:12]}", flush=True)
            _execute(tree, profile, stage, item)
            originals = Path(folder) / "originals"
            verdicts = {name: _verdict(store, run, name, digest, profile, originals) for name, digest in outs.items()}
        finally:
            _git("worktree", "remove", "--force", str(tree))
    for name, (kind, words) in verdicts.items():
        print(f"  {name}: {kind}{f' ({words})' if words else ''}")
    for line in _machines(run, any(name.startswith("vsml/") for name in deps)):
        print(f"  {line}")
    return all(kind != DIFFERENT for kind, _ in verdicts.values())


def _run_of(store: Store, stage: str, names: Mapping[str, str], digest: str) -> Found:
    """The newest run of the item with the params of now, if git has its code."""
    found = [run for run in store.find({"stage": stage, "params_digest": digest, **names}) if run.status == "FINISHED"]
    if not found:
        raise ValueError(
            f"{store.uri} has no finished run of {stage} {names} with the params of now: "
            "name the server that has it in MLFLOW_TRACKING_URI, or make it with dvc repro."
        )
    commit = found[0].tags.get("commit", "none")
    if subprocess.run(["git", "-C", str(paths.ROOT), "cat-file", "-e", f"{commit}^{{commit}}"], check=False).returncode:
        raise ValueError(f"commit {commit} of run {found[0].id} is not in this repository: git fetch --all.")
    if found[0].tags.get("tree") != "clean":
        print(
            f"The run's tree was {found[0].tags.get('tree')}: what is replayed is the code of its commit.", flush=True
        )
    return found[0]


def _lay_out(store: Store, deps: Mapping[str, str], profile: Path) -> None:
    """Put each dep that is no code into its place: the file here if it is the one, else that of a run that left it."""
    for name, digest in deps.items():
        if not name.startswith("artifacts/") or name.startswith("artifacts/plan/"):
            continue
        with artifacts.atomic(profile / name) as target:
            if Path(name).is_file() and artifacts.sha256_file(name) == digest:
                target.write_bytes(Path(name).read_bytes())
                continue
            at = store.having(digest)
            if at is None:
                raise ValueError(
                    f"{name} with sha256 {digest} is neither here nor in {store.uri}: dvc pull, or dvc repro."
                )
            store.download(*at, target, digest)


def _execute(tree: Path, profile: Path, stage: str, item: tuple[str, ...]) -> None:
    """Run the very command that DVC records, with that commit's code and with nothing kept from earlier runs."""
    state = tree / ".replay"
    (state / "spool").mkdir(parents=True)
    env = {name: value for name, value in os.environ.items() if name not in ("DVC_STAGE", "DVC_ROOT")}
    env |= {"PYTHONPATH": str(tree), "VSML_STATE": str(state), "JAX_COMPILATION_CACHE_DIR": str(state / "compiled")}
    env |= {"PIPELINE_EXECUTOR": "local", tracking.FOLDER: str(state / "spool"), tracking.RUN: "replay"}
    if paths.DOWNLOADS.is_dir():
        (state / ".downloads").symlink_to(paths.DOWNLOADS)
    for words in (("plan",), (stage, *item)):
        done = subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=profile, env=env, check=False)
        if done.returncode:
            raise ValueError(f"{words[0]} ended with exit code {done.returncode} in the replay; what it said is above.")


def _verdict(store: Store, run: Found, name: str, digest: str, profile: Path, folder: Path) -> tuple[str, str]:
    """How alike an out is to that of the run, which is fetched only if the bytes differ."""
    if artifacts.sha256_file(profile / name) == digest:
        return compare(profile / name, profile / name)
    original = folder / name
    original.parent.mkdir(parents=True, exist_ok=True)
    try:
        store.download(run.id, f"{place(run)}/{name}", original, digest)
    except (IntegrityError, MissingInStoreError) as error:
        return DIFFERENT, f"and the original cannot be looked into: {error}"
    return compare(original, profile / name)


def _machines(run: Found, computed: bool) -> list[str]:
    """Devices, flags and versions, then and now; what is the same, once. Only what computes has a device."""
    now: dict[str, Any] = {f"version.{name}": value for name, value in provenance.versions().items()}
    now |= {"device": provenance.device() if computed else "cpu", "xla_flags": xla_flags()}
    other = {name: (run.tags.get(name, "unknown"), value) for name, value in now.items() if run.tags.get(name) != value}
    same = ", ".join(f"{name.removeprefix('version.')} {value}" for name, value in now.items() if name not in other)
    lines = [f"{name}: {then} then, {value} now" for name, (then, value) in other.items()]
    return [*lines, f"the same then and now: {same}"]


def _git(*words: str) -> None:
    done = subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"`git {' '.join(words)}` failed: {done.stderr.strip()}")
