"""`python -m pipeline replay STAGE ITEM…` runs an item again, as it ran, and says how alike the outs are.

It checks out the commit of the item's run into a worktree of its own, lays out the deps by the sha256 of the run's
manifest (from here, or from MLflow), and runs the stage there: unknown to MLflow, with nothing that was compiled
before, and of the environment with no more than KEPT and the settings that may change numbers, as they are here now.
Then it compares. Exit status 0: alike, in one of the first three ways; 1: different; 2: it could not be run.
"""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import permutation_test

from pipeline.__main__ import xla_flags
from pipeline.audit.runs import WHOLE, attempt, committed, manifest
from pipeline.run import artifacts, npz, paths
from pipeline.run import job as provenance
from pipeline.run.flow import Flow
from pipeline.run.params import digest as digest_of
from pipeline.run.plan import settings
from pipeline.track import tracking, uploads
from pipeline.track.lineage import left_by_a_run
from pipeline.track.store import IntegrityError, MissingInStoreError, Store

IDENTICAL, EQUAL, ALIKE, DIFFERENT = "bit-identical", "equal within tolerance", "statistically equivalent", "different"
TOLERANCE, LEVEL = 1e-5, 0.01
FLIPS = 40_000  # at most
SAMPLES = ("episode", "seed")
# Environment variables, by patterns: where to find programs and publishers' files, and where to compute.
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_*", "*_PROXY", "*_proxy", "SSL_CERT_*", "VSML_DATA_MIRROR")
KEPT += ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORM*", "JAX_*VISIBLE_DEVICES")


def main(stage: str, item: list[str]) -> None:
    """Replay an item of the profile in this folder; print what is found, and exit with 1 if the outs are not alike.

    Raises:
      ValueError: no such item, no run of it, or its commit is not in this repository.
    """
    provenance.own_code()
    flow, words = Flow().item(stage, tuple(item)), (stage, *item)
    plan, _ = provenance.planned(flow)
    uploads.flush()
    store = Store()
    # The newest run of the item with the params of now.
    same = store.find({"stage": stage, "params_digest": digest_of(plan["params"]), **flow.names})
    run = next((run for run in same if run.status == "FINISHED"), None)
    if run is None:
        raise ValueError(
            f"{store.uri} has no finished run of {stage} {flow.names} with the params of now: "
            "name the server that has it in MLFLOW_TRACKING_URI, or make it with dvc repro."
        )
    commit, tree = run.tags.get("commit", "none"), run.tags.get("tree")
    if tree != "clean":
        print(f"The run's tree was {tree}: what is replayed is the code of its commit.", flush=True)
    told = manifest(store, run)
    deps, outs = told.deps, told.outs
    if not outs:
        raise ValueError(f"manifest.json of MLflow run {run.id} names no outs to compare with: dvc repro makes others.")
    with tempfile.TemporaryDirectory() as folder:
        worktree, verdicts = Path(folder) / "worktree", {}
        add = ("-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--quiet", "--detach")
        if (held := committed(commit)) and held[1]:
            raise ValueError(f"git object {held[1]} of commit {commit} has other content than its id says: {WHOLE}.")
        if (done := provenance.ask_git(*add, str(worktree), f"{commit}^{{commit}}")).returncode:
            said = f"{done.stderr.decode().strip()} (git fetch --all, if it is not in this repository)"
            raise ValueError(f"commit {commit} of run {run.id} cannot be checked out: {said}.")
        try:
            profile = worktree / Path.cwd().relative_to(paths.ROOT.resolve())
            # Each dep that is no code: the file here if it is the one, else that of a run that left it.
            for name in filter(left_by_a_run, deps):
                with artifacts.atomic(profile / name) as target:
                    if Path(name).is_file() and artifacts.sha256_file(name) == deps[name]:
                        shutil.copyfile(name, target)
                    elif at := store.having(deps[name]):
                        store.download(*at, target, deps[name])
                    else:
                        where = f"neither here nor in {store.uri}"
                        raise ValueError(f"{name} with sha256 {deps[name]} is {where}: dvc pull, or dvc repro.")

            # The very command that DVC records, with that commit's code and with nothing kept from earlier runs.
            print(f"{' '.join(words)}: replaying run {run.id} at commit {commit[:12]}", flush=True)
            state = worktree / ".replay"
            (state / "runs").mkdir(parents=True)
            env = {name: value for name, value in os.environ.items() if any(fnmatchcase(name, one) for one in KEPT)}
            env |= settings() | {"PYTHONPATH": str(worktree), "PYTHONPYCACHEPREFIX": str(state / "bytecode")}
            env |= {"VSML_STATE": str(state), tracking.FOLDER: str(state / "runs"), tracking.RUN: "replay"}
            if paths.DOWNLOADS.is_dir():
                (state / ".downloads").symlink_to(paths.DOWNLOADS)
            for one in (("plan",), words):
                status = subprocess.run([sys.executable, "-m", "pipeline", *one], cwd=profile, env=env).returncode
                if status:
                    why = f"ended with exit code {status} in the replay; what it said is above."
                    raise ValueError(f"{one[0]} {why}")

            # An original is fetched only if the bytes differ.
            for name, digest in outs.items():
                verdicts[name], original = (IDENTICAL, ""), Path(folder) / Path(name).name
                if artifacts.sha256_file(profile / name) != digest:
                    try:
                        store.download(run.id, f"{attempt(run)}outs/{name}", original, digest)
                        verdicts[name] = compare(original, profile / name)
                    except (IntegrityError, MissingInStoreError) as error:
                        verdicts[name] = DIFFERENT, f"and the original cannot be looked into: {error}"
        finally:
            provenance.ask_git("worktree", "remove", "--force", str(worktree))
    for name, (kind, more) in verdicts.items():
        print(f"  {name}: {kind}{f' ({more})' if more else ''}")
    # Devices, flags and versions, then and now; what is the same, once. Only what computes has a device.
    now = {f"version.{name}": version for name, version in provenance.versions().items()}
    now["device"] = "cpu" if run.tags.get("device") == "cpu" else provenance.device()
    now["xla_flags"] = xla_flags()
    other = [name for name in now if run.tags.get(name) != now[name]]
    for name in other:
        print(f"  {name}: {run.tags.get(name, 'unknown')} then, {now[name]} now")
    known = [f"{name.removeprefix('version.')} {now[name]}" for name in now if name not in other]
    print(f"  the same then and now: {', '.join(known)}")
    if any(kind == DIFFERENT for kind, _ in verdicts.values()):
        sys.exit(1)


def compare(first: Path, second: Path) -> tuple[str, str]:
    """How alike two files are, and in words what differs.

    Equal within tolerance: every number within 1e-5 of the other, relative to the largest of its array, and all else
    the same. It is what another order of sums leaves of single precision. Statistically equivalent: where arrays have
    an axis `episode` or `seed`, so that each entry of it is a sample, the means over the other axes differ by no more
    than chance would have it: a paired two-sided test on each array by flipping signs, at 1 % for all of them together
    (Bonferroni), with so many samples that it can fail. It is no proof of equality, so n is said with it: a difference
    below the noise of n samples passes.
    """
    if first.read_bytes() == second.read_bytes():
        return IDENTICAL, ""
    if first.suffix != ".npz":
        return DIFFERENT, "other bytes"
    try:
        left, right = artifacts.read_arrays(first), artifacts.read_arrays(second)
    except npz.DAMAGED as error:
        return DIFFERENT, str(error)
    if left.keys() != right.keys():
        return DIFFERENT, f"arrays {sorted(left.keys() ^ right.keys())} are in one only"
    off = {name: _distance(left[name], right[name]) for name in left}
    worst = max(off, key=lambda name: off[name])
    if off[worst] <= TOLERANCE:
        return EQUAL, f"at most {off[worst]:.1e} of the largest number apart, in {worst}"
    by_so_much = DIFFERENT, f"{worst} by {off[worst]:.1e} of its largest number"
    if off.get("__axes__") != 0:
        return by_so_much

    axes, names = artifacts.read_table(first).axes, [name for name in off if off[name] > TOLERANCE]
    tested = []
    for name in names:
        one, other = left[name], right[name]
        sampled = [axis for axis, of in enumerate(axes[name]) if of in SAMPLES]
        testable = one.shape == other.shape and one.dtype.kind in "bif" and sampled
        if not testable or not _alike_where_not_finite(one, other):
            return by_so_much
        size = math.prod(one.shape[axis] for axis in sampled)
        if 2.0 ** (1 - size) > LEVEL / len(names):  # the least p that there can be
            return DIFFERENT, f"{name}, of which {size} samples are too few to call them alike"
        samples = np.moveaxis(one.astype(np.float64) - other, sampled, range(len(sampled))).reshape(size, -1)
        # All flips of signs are tried of up to 15 samples; of more, FLIPS at random, which are always the same.
        # `batch` bounds what memory it takes.
        flips: dict[str, Any] = {"n_resamples": FLIPS, "batch": 1000, "rng": np.random.default_rng(0)}
        test = permutation_test((np.nanmean(samples, axis=1),), np.sum, permutation_type="samples", **flips)
        tested.append((float(test.pvalue), name, size))
    p, name, size = min(tested)
    words = f"n = {size}, p = {p:.2g} in {name}, the least of {len(tested)} arrays"
    return (ALIKE if p >= LEVEL / len(tested) else DIFFERENT), words


def _distance(left: np.ndarray, right: np.ndarray) -> float:
    """The largest difference relative to the largest number; infinity if they are not of one kind or shape."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return np.inf
    if left.dtype.kind != "f":
        return 0.0 if (left == right).all() else np.inf
    if not _alike_where_not_finite(left, right):
        return np.inf
    here = np.isfinite(left)
    largest = np.abs(left[here]).max(initial=0.0)
    return float(np.abs(left[here] - right[here]).max(initial=0.0) / (largest or 1.0))


def _alike_where_not_finite(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether the same entries are inf, -inf and nan."""
    first, second = (np.where(np.isfinite(one), 0, one) for one in (left, right))
    return np.array_equal(first, second, equal_nan=True)
