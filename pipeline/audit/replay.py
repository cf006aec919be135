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

from pipeline.__main__ import xla_flags
from pipeline.audit.compare import DIFFERENT, IDENTICAL, compare
from pipeline.audit.runs import attempt, manifest
from pipeline.cluster.exchange import IntegrityError, fetch
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.flow import Flow
from pipeline.run.params import digest as digest_of
from pipeline.track import tracking, uploads
from pipeline.track.store import MissingInStoreError, Store, TrackingError


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


def replay(stage: str, words: tuple[str, ...]) -> bool:
    """Replay an item of the profile in this folder; print what is found, and say whether the outs are alike.

    Raises:
      ValueError: no such item, no run of it, or its commit is not in this repository.
    """
    item = Flow().item(stage, words)
    plan, _ = provenance.planned(item)
    uploads.flush()
    store = Store()
    # The newest run of the item with the params of now.
    alike = store.find({"stage": stage, "params_digest": digest_of(plan["params"]), **item.names})
    run = next((run for run in alike if run.status == "FINISHED"), None)
    if run is None:
        raise ValueError(
            f"{store.uri} has no finished run of {stage} {item.names} with the params of now: "
            "name the server that has it in MLFLOW_TRACKING_URI, or make it with dvc repro."
        )
    commit, tree = run.tags.get("commit", "none"), run.tags.get("tree")
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise ValueError(f"commit {commit} of run {run.id} is not in this repository: git fetch --all.")
    if tree != "clean":
        print(f"The run's tree was {tree}: what is replayed is the code of its commit.", flush=True)
    deps, outs = (manifest(store, run)[kind] for kind in ("deps", "outs"))
    with tempfile.TemporaryDirectory() as folder:
        worktree, originals = Path(folder) / "worktree", Path(folder) / "originals"
        done = _git("worktree", "add", "--quiet", "--detach", str(worktree), commit)
        if done.returncode:
            raise ValueError(f"`git worktree add` failed: {done.stderr.strip()}")
        try:
            profile = worktree / Path.cwd().relative_to(paths.ROOT.resolve())
            _lay_out(store, deps, profile)
            print(f"{stage} {' '.join(words)}: replaying run {run.id} at commit {commit[:12]}", flush=True)
            _execute(worktree, profile, stage, words)
            verdicts = {}
            for name, digest in outs.items():
                verdicts[name], original = (IDENTICAL, ""), originals / name
                if artifacts.sha256_file(profile / name) != digest:
                    original.parent.mkdir(parents=True, exist_ok=True)
                    try:
                        fetch(store, run.id, f"{attempt(run)}outs/{name}", digest, original)
                        verdicts[name] = compare(original, profile / name)
                    except (IntegrityError, MissingInStoreError) as error:
                        verdicts[name] = DIFFERENT, f"and the original cannot be looked into: {error}"
        finally:
            _git("worktree", "remove", "--force", str(worktree))
    for name, (kind, words_of_it) in verdicts.items():
        print(f"  {name}: {kind}{f' ({words_of_it})' if words_of_it else ''}")
    # Devices, flags and versions, then and now; what is the same, once. Only what computes has a device.
    now = {f"version.{name}": version for name, version in provenance.versions().items()}
    now["device"] = provenance.device() if any(name.startswith("vsml/") for name in deps) else "cpu"
    now["xla_flags"] = xla_flags()
    same = []
    for name, value in now.items():
        if run.tags.get(name) == value:
            same.append(f"{name.removeprefix('version.')} {value}")
        else:
            print(f"  {name}: {run.tags.get(name, 'unknown')} then, {value} now")
    print(f"  the same then and now: {', '.join(same)}")
    return all(kind != DIFFERENT for kind, _ in verdicts.values())


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, check=False)


def _lay_out(store: Store, deps: Mapping[str, str], profile: Path) -> None:
    """Put each dep that is no code into its place: the file here if it is the one, else that of a run that left it."""
    for name, digest in deps.items():
        if not name.startswith("artifacts/") or name.startswith("artifacts/plan/"):
            continue
        with artifacts.atomic(profile / name) as target:
            if Path(name).is_file() and artifacts.sha256_file(name) == digest:
                target.write_bytes(Path(name).read_bytes())
            elif at := store.having(digest):
                fetch(store, *at, digest, target)
            else:
                where = f"neither here nor in {store.uri}"
                raise ValueError(f"{name} with sha256 {digest} is {where}: dvc pull, or dvc repro.")


def _execute(worktree: Path, profile: Path, stage: str, item: tuple[str, ...]) -> None:
    """Run the very command that DVC records, with that commit's code and with nothing kept from earlier runs."""
    state = worktree / ".replay"
    (state / "spool").mkdir(parents=True)
    env = {name: value for name, value in os.environ.items() if name not in ("DVC_STAGE", "DVC_ROOT")}
    env |= {"PYTHONPATH": str(worktree), "VSML_STATE": str(state), "JAX_COMPILATION_CACHE_DIR": str(state / "compiled")}
    env |= {"PIPELINE_EXECUTOR": "local", tracking.FOLDER: str(state / "spool"), tracking.RUN: "replay"}
    if paths.DOWNLOADS.is_dir():
        (state / ".downloads").symlink_to(paths.DOWNLOADS)
    for words in (("plan",), (stage, *item)):
        done = subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=profile, env=env, check=False)
        if done.returncode:
            raise ValueError(f"{words[0]} ended with exit code {done.returncode} in the replay; what it said is above.")
