"""Runs an item in a pod: fetches what it reads, has the very same words run, passes on what they say and leave.

The stage is a child process that knows nothing of this: it works in a folder laid out like its profile, and writes its
run to disk. Checkpoints go to MLflow at a bounded pace, so that whoever takes over when this pod is lost goes on.
Of the pods of a gang the first does so; the others compute with it, and end when it has committed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.cluster import exchange as plane
from pipeline.cluster import gang
from pipeline.cluster.manifest import CONFIGURATION, INTEGRITY, ORDER
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.flow import PLAN, Flow, Item
from pipeline.run.plan import differences
from pipeline.track import lineage, tracking
from pipeline.track.patience import patiently
from pipeline.track.store import MissingInStoreError, Store
from pipeline.track.uploads import Courier

PATIENCE_S = 30 * 60  # with MLflow away, at the start and when all is computed
LOOK_EVERY_S = 0.2
COMMITTED_WITHIN_LOOKS, COMMITTED_EVERY_S = 150, 2.0


class Evicted(SystemExit):
    """The pod has to go."""


class Refused(SystemExit):
    """There is no use in trying again: a sentence on stderr, and an exit code that Kubernetes knows to be final."""

    def __init__(self, code: int, why: object) -> None:
        super().__init__(code)
        print(f"This job cannot run: {why}", file=sys.stderr, flush=True)


def execute(stage: str, item: tuple[str, ...]) -> None:
    signal.signal(signal.SIGTERM, _evict)
    run, workspace = os.environ[tracking.RUN], Path("workspace").absolute()
    store = patiently(Store, "Starting", PATIENCE_S)
    order, profile = patiently(lambda: _prepare(store, run, workspace), "Fetching what the job reads", PATIENCE_S)
    if (order["stage"], tuple(order["item"])) != (stage, item):
        raise Refused(CONFIGURATION, f"it is told to run {stage} {item}, its order is {order['stage']} {order['item']}")
    folder = workspace / ".spool"
    one = gang.member()
    courier = Courier(store, run, folder) if one.leads else None
    if courier is not None:
        patiently(courier.unpack, "Looking for checkpoints", PATIENCE_S)
    status = _watch(_start(stage, item, profile, folder), courier, None if one.alone else gang.Watchdog(folder))
    if status:
        print(f"The stage ended with exit code {status}.", file=sys.stderr, flush=True)
        if courier is not None:
            courier.send(now=True)
        if status == -signal.SIGABRT and not one.alone:  # as jax ends a process whose peers do not answer
            status = gang.LOST
        sys.exit(status if status > 0 else 128 - status)
    if courier is None:
        return _await_commit(store, run)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is computed; what time is left is best spent on sending it
    patiently(courier.finish, "All is computed", PATIENCE_S)
    _commit(store, run, order, profile, folder)
    patiently(courier.drop_checkpoints, "All is committed", PATIENCE_S)


def _prepare(store: Store, run: str, workspace: Path) -> tuple[dict[str, Any], Path]:
    """The order, and the folder with all that it names; what would be computed here is what was asked for."""
    try:
        order = plane.fetch_json(store, run, plane.ORDER, os.environ[ORDER])
        profile = plane.lay_out(store, order, workspace)
    except (plane.IntegrityError, MissingInStoreError) as error:
        raise Refused(INTEGRITY, f"{error} Delete that run in MLflow and run the same command again.") from error
    os.chdir(profile)
    try:
        item = Flow().item(order["stage"], tuple(order["item"]))
        held = json.loads(item.plan.read_text(encoding="utf-8"))
        _see_that_it_is_planned_so(order, item, held)
        job = provenance.job(item.stage, item.words, order["image"])
    except (ValueError, FileNotFoundError) as error:
        raise Refused(CONFIGURATION, f"{error} Has the image the code that the driver has?") from error
    if job.fingerprint != order["fingerprint"] and not order["dirty"]:
        raise Refused(CONFIGURATION, f"its fingerprint is {job.fingerprint}, that of its order {order['fingerprint']}")
    return order, profile


def _see_that_it_is_planned_so(order: dict[str, Any], item: Item, held: dict[str, Any]) -> None:
    """Refuse code and settings other than planned; flags of XLA are those of the template, as the driver knows.

    Where the driver allows it (`dirty`), the plan of the code that is here takes the place of that of the order.
    """
    made, files = provenance.planned(item)
    differs = [name for name in differences(held, made) if name != "settings.XLA_FLAGS"]
    if not differs:
        return
    code = {name: artifacts.sha256_file(paths.ROOT / name) for name in files}
    wrong = sorted(name for name in {**code, **order["code"]} if code.get(name) != order["code"].get(name))
    if not order["dirty"]:
        raise ValueError(
            f"{', '.join(differs)} in the image are not as planned (files: {', '.join(wrong) or 'the same'})."
        )
    print(f"Code in the image is not that of the driver, as was allowed: {', '.join(wrong)}", flush=True)
    artifacts.write_json(item.plan, made)


def _start(stage: str, item: tuple[str, ...], profile: Path, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    own = {"PIPELINE_EXECUTOR": "local", "VSML_STATE": str(paths.STATE), tracking.FOLDER: str(folder)}
    return subprocess.Popen([sys.executable, "-m", "pipeline", stage, *item], cwd=profile, env=os.environ | own)


def _watch(stage: subprocess.Popen[bytes], courier: Courier | None, watchdog: gang.Watchdog | None) -> int:
    """Pass on what a stage says until it ends; return its exit status."""
    try:
        while stage.poll() is None:
            time.sleep(LOOK_EVERY_S)
            if courier is not None:
                courier.send()
            if watchdog is not None and watchdog.stalled():
                print(f"{watchdog}. A pod of this Job is lost or hangs: all of them start again.", file=sys.stderr)
                stage.kill()
                stage.wait()
                return gang.LOST
    except Evicted:
        print("This pod has to go. The last checkpoint is sent, and another pod goes on from there.", flush=True)
        stage.kill()
        stage.wait()
        if courier is not None:
            courier.send(now=True)
        raise
    return stage.returncode


def _await_commit(store: Store, run: str) -> None:
    """Stay until the first pod has committed: should it be lost before, it needs this one to compute the end again."""
    for _ in range(COMMITTED_WITHIN_LOOKS):
        if plane.COMMITTED in patiently(lambda: store.get(run), "All is computed", PATIENCE_S).params:
            return
        time.sleep(COMMITTED_EVERY_S)
    print("The first pod of this Job has not committed a result: all of them start again.", file=sys.stderr)
    sys.exit(gang.LOST)


def _commit(store: Store, run: str, order: dict[str, Any], profile: Path, folder: Path) -> None:
    """Commit what the stage left, if it read what it was given."""
    left = tracking.read(folder, tracking.END)["manifest"]
    given = {name: read["sha256"] for name, read in order["reads"].items()} | order["here"]
    wrong = [name for name, digest in left["deps"].items() if given.get(name) != digest]
    if wrong and not (order["dirty"] and all(name.startswith(f"{PLAN}/") for name in wrong)):
        raise Refused(INTEGRITY, f"the stage read other files than it was given: {', '.join(wrong)}")
    manifest = left | {"fingerprint": order["fingerprint"], "machine": left["fingerprint"]}
    attempt = os.environ["VSML_ATTEMPT"]

    def commit() -> bool:
        store.tag(run, tracking.read(folder, tracking.BEGIN)["machine"])
        counts = plane.commit(store, run, attempt, manifest, profile)
        if counts:
            lineage.describe(store, run, manifest, profile)
        return counts

    if not patiently(commit, "All is computed", PATIENCE_S):
        print("Another pod of this Job was faster: its result counts, not this one.", flush=True)


def _evict(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Evicted(128 + number)
