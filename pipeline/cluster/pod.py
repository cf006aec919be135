"""Runs an item in a pod: fetches what it reads, has the very same words run, passes on what they say and leave.

The stage is a child process that knows nothing of this: it works in a folder laid out like its profile, and writes its
run to disk. Checkpoints go to MLflow at a bounded pace, so that whoever takes over when this pod is lost goes on.
Of the pods of a gang the first does so; the others compute with it, and end when it has committed.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.cluster import exchange, gang
from pipeline.cluster.execute import Told, told
from pipeline.cluster.manifest import CONFIGURATION, INTEGRITY, ORDER, TRAINING
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.flow import PLAN, Flow
from pipeline.run.plan import differences
from pipeline.track import tracking
from pipeline.track.patience import patiently
from pipeline.track.store import IntegrityError, MissingInStoreError, Store
from pipeline.track.uploads import LiveUpload

waited = partial(patiently, for_s=30 * 60)  # with MLflow away, at the start and when all is computed
LOOK_EVERY_S = 0.2
PR_SET_DUMPABLE = 4  # linux/prctl.h
COMMITTED_WITHIN_S, LOOK_FOR_IT_EVERY_S = 300.0, 2.0


class Refused(SystemExit):
    """There is no use in trying again: a sentence on stderr, and an exit code that Kubernetes knows to be final."""

    def __init__(self, code: int, why: object) -> None:
        super().__init__(code)
        print(f"This job cannot run: {why}", file=sys.stderr, flush=True)


def execute(stage: str, item: tuple[str, ...]) -> None:
    signal.signal(signal.SIGTERM, told)
    run, workspace = os.environ[tracking.RUN], Path("workspace").absolute()
    store = waited(Store, "Starting")
    order, job, profile = waited(lambda: _prepare(store, run, workspace), "Fetching what the job reads")
    one = gang.member()

    def is_committed() -> bool:
        return exchange.COMMITTED in store.get(run).params

    if waited(is_committed, "Looking for a result"):
        # By a pod that this one succeeds. It may not have come to the end, and the others of its gang are gone: there
        # is nothing to compute, nor anyone to do it with.
        if one.leads and (manifest := waited(lambda: exchange.collect(store, run, job), "Collecting")):
            waited(lambda: exchange.make_known(store, run, manifest, profile), "All is committed")
        return

    folder = workspace / ".run"
    folder.mkdir(exist_ok=True)
    upload = LiveUpload(store, run, folder) if one.leads else None
    if upload is not None:
        waited(upload.unpack, "Looking for checkpoints")
    # The stage gets no login, nor may it look for one in this process.
    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError("The kernel refuses prctl(PR_SET_DUMPABLE), without which the stage could read the login.")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    own = {"PIPELINE_EXECUTOR": "local", "VSML_STATE": str(paths.STATE), tracking.FOLDER: str(folder)}
    command = [sys.executable, "-m", "pipeline", stage, *item]
    child = subprocess.Popen(command, cwd=profile, env=env | own)
    status = _watch(child, upload, gang.Watchdog(folder, one) if stage in TRAINING else None)
    if status:
        print(f"The stage ended with exit code {status}.", file=sys.stderr, flush=True)
        if upload is not None:
            upload.send(now=True)
        if status == -signal.SIGABRT and not one.alone:  # as jax ends a process whose peers do not answer
            status = gang.LOST
        sys.exit(status if status > 0 else 128 - status)

    if upload is None:  # should the first pod be lost before it has committed, it needs this one to compute the end
        give_up = time.monotonic() + COMMITTED_WITHIN_S
        while time.monotonic() < give_up:
            if waited(is_committed, "All is computed"):
                return
            time.sleep(LOOK_FOR_IT_EVERY_S)
        print("The first pod of this Job has not committed a result: all of them start again.", file=sys.stderr)
        sys.exit(gang.LOST)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is computed; what time is left is best spent on sending it
    left = tracking.read(folder, tracking.END)["manifest"]
    given = {name: read["sha256"] for name, read in order["reads"].items()} | order["here"]
    wrong = [name for name, digest in left["deps"].items() if given.get(name) != digest]
    if wrong and not (order["dirty"] and all(name.startswith(f"{PLAN}/") for name in wrong)):
        raise Refused(INTEGRITY, f"the stage read other files than it was given: {', '.join(wrong)}")

    def commit() -> bool:
        upload.log(folder)
        begin = tracking.read(folder, tracking.BEGIN)
        store.tag(run, begin["machine"] | ({"resumed": "true"} if begin.get("resumed") else {}))
        manifest = left | {"fingerprint": order["fingerprint"], "machine": left["fingerprint"]}
        return exchange.commit(store, run, os.environ["VSML_ATTEMPT"], manifest, profile)

    if not waited(commit, "All is computed"):
        print("Another pod of this Job was faster: its result counts, not this one.", flush=True)
    waited(lambda: upload.refer_to([]), "All is committed")


def _prepare(store: Store, run: str, workspace: Path) -> tuple[dict[str, Any], provenance.Job, Path]:
    """The order, its job, and the folder with all that it names; what would be computed here is what was asked for."""
    try:
        order = exchange.read_order(store.content(run, exchange.ORDER, os.environ[ORDER]), run)
        profile = exchange.lay_out(store, order, workspace)
    except (IntegrityError, MissingInStoreError, ValueError) as error:
        raise Refused(INTEGRITY, f"{error} Delete run {run} in MLflow and run the same command again.") from error
    os.chdir(profile)
    try:
        item = Flow().item(order["stage"], tuple(order["item"]))
        held, (made, files) = json.loads(item.plan.read_text(encoding="utf-8")), provenance.planned(item)
        # The flags of XLA are those of the template, as the driver knows.
        differs = [name for name in differences(held, made) if name != "settings.XLA_FLAGS"]
        if differs:
            code = {name: artifacts.sha256_file(paths.ROOT / name) for name in files}
            wrong = ", ".join(sorted({name for name, _ in code.items() ^ order["code"].items()}))
            if not order["dirty"]:
                where = wrong or "the same"
                raise ValueError(f"{', '.join(differs)} in the image are not as planned (files: {where}).")
            print(f"Code in the image is not that of the driver, as was allowed: {wrong}", flush=True)
            artifacts.write_json(item.plan, made)  # what is here takes the place of what the order has
        job = provenance.job(item.stage, item.words, order["image"])
    except (ValueError, FileNotFoundError) as error:
        raise Refused(CONFIGURATION, f"{error} Has the image the code that the driver has?") from error
    if job.fingerprint != order["fingerprint"] and not order["dirty"]:
        raise Refused(CONFIGURATION, f"its fingerprint is {job.fingerprint}, that of its order {order['fingerprint']}")
    return order, job, profile


def _watch(stage: subprocess.Popen[bytes], upload: LiveUpload | None, watchdog: gang.Watchdog | None) -> int:
    """Pass on what a stage says until it ends; return its exit status."""
    try:
        while stage.poll() is None:
            time.sleep(LOOK_EVERY_S)
            if upload is not None:
                upload.send()
            if watchdog is not None and (stalled := watchdog.stalled()):
                print(f"{stalled}: it hangs, or a pod of this Job is lost. It starts again.", file=sys.stderr)
                stage.kill()
                stage.wait()
                return gang.LOST
    except Told:  # by an eviction
        print("This pod has to go. The last checkpoint is sent, and another pod goes on from there.", flush=True)
        stage.kill()
        stage.wait()
        if upload is not None:
            upload.send(now=True)
        raise
    return stage.returncode
