"""The artifact plane: how what a job reads and leaves travels through MLflow, by digest and never by trust.

Whoever starts a job writes an *order* into its run: the words, the profile, and for each file to read its sha256 and
the run that has it. The order's own sha256 goes another way (with the Job), so that nothing in MLflow can change what
is done. Each *attempt* at the job leaves its outs in a folder of its own with a manifest; the first to set the param
COMMITTED, which MLflow lets nobody change, is the one that counts. So a job that is started twice cannot mix outs.
"""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.flow import ARTIFACTS
from pipeline.run.job import Job
from pipeline.track import tracking, uploads
from pipeline.track.store import MissingInStoreError, Store

COMMITTED = "committed"  # a param: the attempt that counts, and the sha256 of its manifest
ORDER = "order.json"
REFUSED = "refused"  # a tag, for a result that is not what its manifest says
UPLOAD = "upload"  # the name of runs that hold deps which no stage has left


class IntegrityError(RuntimeError):
    """Bytes are not those that were promised."""


def place(store: Store, job: Job, image: str, dirty: bool) -> tuple[str, str]:
    """Make the run of a job with its order, and see that all that it reads is in the store; return run and sha256."""
    here = Path.cwd()
    reads = _reads(job)
    digests = {name: artifacts.sha256_file(path) for name, path in reads.items()}
    order = {
        "stage": job.stage,
        "item": list(job.item),
        "profile": here.relative_to((here / job.params.root).resolve()).as_posix(),
        "fingerprint": job.fingerprint,
        "image": image,
        "dirty": dirty,  # code there may differ from the code here
        "code": job.code,
        "here": {name: digest for name, digest in job.deps.items() if name not in reads},
        "reads": {name: {"sha256": digests[name], **at} for name, at in _placed(store, reads, digests).items()},
    }
    tags = {"executor": "kubernetes", "image": image} | ({"auditable": "false"} if dirty else {})
    run = uploads.begin(store, tracking.facts(job), tags)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ORDER
        artifacts.write_json(path, order)
        store.upload(run, ORDER, path)
        return run, artifacts.sha256_file(path)


def commit(store: Store, run: str, attempt: str, manifest: dict[str, Any], profile: Path) -> bool:
    """Put outs and manifest into the run, as this attempt's; say whether this is the attempt that counts.

    All of it may be done again after a failure, and the manifest is written when all outs are there.
    """
    folder = f"attempts/{attempt}"
    for name, digest in manifest["outs"].items():
        if artifacts.sha256_file(profile / name) != digest:
            raise IntegrityError(f"{name} changed after the stage had left it: its sha256 is no longer {digest}.")
        store.upload(run, f"{folder}/outs/{name}", profile / name)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "manifest.json"
        artifacts.write_json(path, manifest | {"attempt": attempt})
        store.upload(run, f"{folder}/manifest.json", path)
        own = f"{folder} {artifacts.sha256_file(path)}"
        if store.once(run, COMMITTED, own) != own:
            return False
        store.upload(run, "manifest.json", path)
    store.tag(run, tracking.by_digest(f"{folder}/outs", manifest["outs"]))
    store.end(run, "FINISHED")
    return True


def collect(store: Store, run: str, job: Job) -> bool:
    """Put the committed outs of a run in their places, if there are any: all of them verified, or none.

    A result that is not what its manifest says is set aside for good, and counts as none.
    """
    found = store.get(run)
    if COMMITTED not in found.params or REFUSED in found.tags:
        return False
    attempt, digest = found.params[COMMITTED].split()
    expected = set(job.flow.outs)
    try:
        outs = fetch_json(store, run, f"{attempt}/manifest.json", digest)["outs"]
        if outs.keys() != expected:
            raise IntegrityError(f"Run {run} left {sorted(outs)}, expected {sorted(expected)}.")
        with contextlib.ExitStack() as places:
            for name, digest in outs.items():
                fetch(store, run, f"{attempt}/outs/{name}", digest, places.enter_context(artifacts.atomic(name)))
    except (IntegrityError, MissingInStoreError) as error:
        print(f"The result of MLflow run {run} is not what it says and is set aside: {error}", flush=True)
        store.tag(run, {REFUSED: str(error)[:500]})
        return False
    return True


def fetch(store: Store, run: str, name: str, digest: str, path: Path) -> None:
    """Copy a file of a run to `path`.

    Raises:
      IntegrityError: it is not the file that was promised.
    """
    store.download(run, name, path)
    found = artifacts.sha256_file(path)
    if found != digest:
        raise IntegrityError(f"{name} of MLflow run {run} has the sha256 {found}, expected {digest}.")


def fetch_json(store: Store, run: str, name: str, digest: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "value.json"
        fetch(store, run, name, digest, path)
        return json.loads(path.read_text(encoding="utf-8"))


def lay_out(store: Store, order: dict[str, Any], workspace: Path) -> Path:
    """Make the folder of the order's profile, with all that the job reads, in a workspace; return it.

    Code is that of the installed package, in the places where the profile looks for it.

    Raises:
      IntegrityError: a file is not the one that the order names.
    """
    profile = workspace / order["profile"]
    for name, read in order["reads"].items():
        with artifacts.atomic(profile / name) as temporary:
            fetch(store, read["run"], read["path"], read["sha256"], temporary)
    for top in {name.split("/")[0] for name in (*order["code"], *order["here"])}:
        if not (workspace / top).exists():
            (workspace / top).symlink_to(paths.ROOT / top)
    return profile


def _reads(job: Job) -> dict[str, Path]:
    """What has to travel: the flow, params, the plan and what earlier stages left. Files of the repository do not, they
    lie in the image."""
    files = provenance.dep_files(job.flow, job.params.root)
    own = {name: Path(name) for name in ("dvc.yaml", "params.yaml")}
    return own | {name: path for name, path in files.items() if path.parts[0] == ARTIFACTS.name}


def _placed(store: Store, reads: dict[str, Path], digests: dict[str, str]) -> dict[str, dict[str, str]]:
    """Run and path of each file in the store, found by digest; what no run has is uploaded, once."""
    paths.JOBS.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.JOBS / "upload.lock"):
        found = {digest: store.having(digest) for digest in set(digests.values())}
        known = {digest: at for digest, at in found.items() if at is not None}
        missing = {digest: name for name, digest in digests.items() if digest not in known}
        if missing:
            run = store.create(UPLOAD, {"stage": UPLOAD})
            for name in missing.values():
                store.upload(run, f"deps/{name}", reads[name])
            store.tag(run, tracking.by_digest("deps", {name: digest for digest, name in missing.items()}))
            store.end(run, "FINISHED")
            known |= {digest: (run, f"deps/{name}") for digest, name in missing.items()}
    return {name: dict(zip(("run", "path"), known[digest], strict=True)) for name, digest in digests.items()}
