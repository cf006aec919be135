"""How what a job reads and leaves travels through MLflow, by digest and never by trust.

Whoever starts a job writes an *order* into its run: the words, the profile, and for each file to read its sha256 and
the run that has it. The order's own sha256 goes another way (with the Job), so that nothing in MLflow can change what
is done. Each *attempt* at the job leaves its outs in a folder of its own with a manifest; the first to set the param
COMMITTED, which MLflow lets nobody change, is the one that counts. So a job that is started twice cannot mix outs.
"""

import contextlib
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel

from pipeline.run import artifacts, paths
from pipeline.run.job import Job, dep_files
from pipeline.run.params import shaped
from pipeline.track import lineage, tracking
from pipeline.track.store import IntegrityError, MissingInStoreError, Store

COMMITTED = "committed"  # a param: the attempt that counts, and the sha256 of its manifest
ORDER = "order.json"
REFUSED = "refused"  # a tag, for a result that is not what its manifest says
UPLOAD = "upload"  # the name of runs that hold deps which no stage has left


class _Read(BaseModel):
    sha256: str
    run: str
    path: str


class _Order(BaseModel):
    stage: str
    item: list[str]
    profile: tracking.Place
    fingerprint: str
    image: str
    dirty: bool
    code: tracking.Files
    here: tracking.Files
    reads: dict[tracking.Place, _Read]


def place(store: Store, job: Job, image: str, dirty: bool) -> tuple[str, str]:
    """Make the run of a job with its order, and see that all that it reads is in the store; return run and sha256."""
    # The flow, params, the plan and what earlier stages left travel. Files of the repository lie in the image.
    reads = {name: Path(name) for name in ("dvc.yaml", "params.yaml")}
    files = dep_files(job.flow, job.params.root)
    reads |= {name: path for name, path in files.items() if path.parts[0] == paths.ARTIFACTS.name}
    digests = {name: artifacts.sha256_file(path) for name, path in reads.items()}
    paths.JOBS.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.JOBS / "upload.lock"):  # what no run has is uploaded once
        at: dict[str, Any] = {digest: store.having(digest) for digest in digests.values()}  # run and path of each
        if missing := {digest: name for name, digest in digests.items() if at[digest] is None}:
            run = store.create(UPLOAD, {"stage": UPLOAD})
            store.end(run, "FAILED")  # unless it comes to its end below
            for digest, name in missing.items():
                store.upload(run, f"deps/{name}", reads[name])
                at[digest] = run, f"deps/{name}"
            store.tag(run, tracking.by_digest("deps", {name: digest for digest, name in missing.items()}))
            store.end(run, "FINISHED")
    here = Path.cwd()
    order = {
        "stage": job.stage,
        "item": list(job.item),
        "profile": here.relative_to((here / job.params.root).resolve()).as_posix(),
        "fingerprint": job.fingerprint,
        "image": image,
        "dirty": dirty,  # code there may differ from the code here
        "code": job.code,
        "here": {name: digest for name, digest in job.deps.items() if name not in reads},
        "reads": {name: {"sha256": one, "run": at[one][0], "path": at[one][1]} for name, one in digests.items()},
    }
    facts = tracking.facts(job)
    tags = {"executor": "kubernetes", "image": image} | ({"auditable": "false"} if dirty else {})
    run = store.create(facts["name"], facts["tags"] | tags)
    store.log_params(run, facts["params"])
    return run, store.write(run, ORDER, order)


def read_order(content: bytes, run: str) -> dict[str, Any]:
    """An order that was placed.

    Raises:
      ValueError: it is none.
    """
    order = shaped(_Order, content, f"{ORDER} of MLflow run {run}", "run the command again")
    return order.model_dump()


def lay_out(store: Store, order: dict[str, Any], workspace: Path) -> Path:
    """Make the folder of the order's profile, with all that the job reads, in a workspace; return it.

    Code is that of the installed package, in the places where the profile looks for it.

    Raises:
      IntegrityError: a file is not the one that the order names.
    """
    profile = workspace / order["profile"]
    for name, read in order["reads"].items():
        with artifacts.atomic(profile / name) as temporary:
            store.download(read["run"], read["path"], temporary, read["sha256"])
    for top in {name.split("/")[0] for name in (*order["code"], *order["here"])}:
        if not (workspace / top).exists():
            (workspace / top).symlink_to(paths.ROOT / top)
    return profile


def commit(store: Store, run: str, attempt: str, manifest: dict[str, Any], profile: Path) -> bool:
    """Put outs and manifest into the run, as this attempt's; say whether this is the attempt that counts.

    All of it may be done again after a failure, and the manifest is written when all outs are there.
    """
    folder, manifest = f"attempts/{attempt}", manifest | {"attempt": attempt}
    for name, digest in manifest["outs"].items():
        if artifacts.sha256_file(profile / name) != digest:
            raise IntegrityError(f"{name} changed after the stage had left it: its sha256 is no longer {digest}.")
        store.upload(run, f"{folder}/outs/{name}", profile / name)
    own = f"{folder} {store.write(run, f'{folder}/manifest.json', manifest)}"
    if store.once(run, COMMITTED, own) != own:
        return False
    make_known(store, run, manifest, profile)
    return True


def make_known(store: Store, run: str, manifest: dict[str, Any], profile: Path) -> None:
    """Let a committed result, whose outs lie under `profile`, be found by digest, and say where it is from."""
    store.write(run, "manifest.json", manifest)
    store.tag(run, tracking.by_digest(f"attempts/{manifest['attempt']}/outs", manifest["outs"]))
    store.end(run, "FINISHED")  # before the rest: the lineage of what reads these outs looks for finished runs
    lineage.describe(store, run, manifest, profile)


def collect(store: Store, run: str, job: Job) -> dict[str, Any] | None:
    """Put the committed outs of a run in their places, if there are any: all of them verified, or none.

    A result that is not what its manifest says is set aside for good, and counts as none. Returns its manifest.
    """
    found = store.get(run)
    if COMMITTED not in found.params or REFUSED in found.tags:
        return None
    attempt, _, digest = found.params[COMMITTED].partition(" ")
    try:
        manifest = store.read(run, f"{attempt}/manifest.json", digest)
        outs = shaped(tracking.Manifest, manifest, "manifest.json", "run the command again").outs
        if outs.keys() != set(job.flow.outs):
            raise IntegrityError(f"Run {run} left {sorted(outs)}, expected {sorted(job.flow.outs)}.")
        with contextlib.ExitStack() as places:
            for name, digest in outs.items():
                path = places.enter_context(artifacts.atomic(name))
                store.download(run, f"{attempt}/outs/{name}", path, digest)
    except (IntegrityError, MissingInStoreError, ValueError) as error:
        print(f"The result of MLflow run {run} is not what it says and is set aside: {error}", flush=True)
        store.tag(run, {REFUSED: str(error)[:500]})
        return None
    return manifest
