"""Runs an item as a Job on a cluster, and waits for it here: submits it, or attaches to it, or collects its result.

The fingerprint is the key: whoever asks for the same work, now or later, from this machine or another, finds the Job by
its name and the result by the tag of its run. So this process may die at any moment and nothing is lost. It knows of
the other machine only its image; what decides the outs is the command, the params, the deps, that image and, where
sums are split, the number of pods.
"""

import os
import signal
import sys
import time
from typing import Any

from pipeline.cluster import exchange
from pipeline.cluster.connection import Api, ClusterError
from pipeline.cluster.following import Follower, Stuck, outcome
from pipeline.cluster.manifest import Submission, env_of, image_of, manifest, name_of, pods_of, template_name
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.track import uploads
from pipeline.track.patience import patiently
from pipeline.track.store import MissingInStoreError, Store, TrackingError

PATIENCE_S = 20 * 60  # with MLflow away
DELETED_WITHIN_S = 300
COMPLETE = "Complete"


class Detached(SystemExit):
    """This process has to go; the Job stays."""


def execute(stage: str, item: tuple[str, ...]) -> None:
    signal.signal(signal.SIGTERM, _detach)
    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        raise TrackingError("On a cluster, results travel through MLflow: set MLFLOW_TRACKING_URI to its address.")
    api = Api()
    template = api.template(template_name(stage))
    image, commit = image_of(template)
    pods = pods_of(stage, template)
    where = f"{image} {commit}" + (f" on {pods} pods" if pods > 1 else "")
    where += f" with {flags}" if (flags := env_of(template).get("XLA_FLAGS")) else ""
    dirty = not _auditable(commit, provenance.git())
    provenance.own_code()
    job = provenance.job(stage, item, where)
    patiently(uploads.flush, "Taking up what was run here", PATIENCE_S)
    store = patiently(Store, "Starting", PATIENCE_S)
    name, follower = name_of(stage, job.fingerprint), Follower(api)
    going_on = f"Detached from Job {name}, which goes on. `dvc repro` attaches to it again."
    while True:
        try:
            return _obtain(api, store, follower, job, where, dirty)
        except Detached:
            print(going_on, flush=True)
            raise
        except KeyboardInterrupt:  # without a terminal, or at a second Ctrl-C, the Job goes on and this process ends
            answer = "d"
            if sys.stdin.isatty():
                try:
                    question = f"\nJob {name} runs. [d]etach and let it run, [c]ancel it, or Enter to go on watching: "
                    answer = input(question).strip().lower()[:1]
                except (KeyboardInterrupt, EOFError):
                    print()
            if answer == "c":
                cancel(api, store, name)
            elif answer == "d":
                print(going_on, flush=True)
            else:
                continue
            raise SystemExit(130) from None


def cancel(api: Api, store: Store, name: str) -> None:
    """Delete a Job and mark its run as killed, so that who waits for it knows."""
    job = api.job(name)
    if job is None:
        print(f"Job {name} is gone already.", flush=True)
        return
    try:
        store.end(_run_of(job), "KILLED")
    except MissingInStoreError as error:
        print(f"Its run is not in this MLflow: {error}", flush=True)
    api.delete(name)
    print(f"Job {name} is cancelled; its checkpoints are kept in MLflow run {_run_of(job)}.", flush=True)


def _obtain(api: Api, store: Store, follower: Follower, job: Job, image: str, dirty: bool) -> None:
    """Have the outs of a job put in their places, by the cheapest way that there is."""
    known, name = {"fingerprint": job.fingerprint, "executor": "kubernetes"}, name_of(job.stage, job.fingerprint)
    for found in patiently(lambda: store.find(known), "Looking for a result", PATIENCE_S):
        if _collected(store, found.id, job):
            print(f"Collected from MLflow run {found.id}, which had finished.", flush=True)
            return
    run = _attach(api, name)
    if run is None:
        run, order = patiently(
            lambda: exchange.place(store, job, image, dirty), "Placing what the job reads", PATIENCE_S
        )
        submission = Submission(job.stage, job.item, job.fingerprint, run, order)
        try:
            created = api.create(manifest(submission, api.template(template_name(job.stage))))
        except (ValueError, ClusterError):
            store.end(run, "FAILED")
            raise
        standing = None if created else api.job(name)
        if standing is not None and _run_of(standing) != run:
            store.forget(run)
            run = _run_of(standing)
            print(f"Attached to Job {name}, which another process has just started.", flush=True)
        else:
            print(f"Submitted Job {name} in {api.namespace}, MLflow run {run}.", flush=True)
    try:
        ended = follower.follow(name)
    except Stuck:
        patiently(lambda: store.end(run, "FAILED"), "Closing the run", PATIENCE_S)
        api.delete(name)
        raise
    if _collected(store, run, job):
        return
    if ended is None:
        killed = patiently(lambda: store.get(run), "Looking for a result", PATIENCE_S).status == "KILLED"
        how = "was cancelled" if killed else "was deleted before it had committed a result"
        raise ClusterError(f"Job {name} {how}. The same command starts it anew.")
    if ended == COMPLETE:
        raise ClusterError(f"Job {name} is complete, but run {run} has no result that is whole. Run this again.")
    patiently(lambda: store.end(run, "FAILED"), "Closing the run", PATIENCE_S)
    raise ClusterError(f"Job {name} failed ({ended}). What its pods said is above. The same command starts it anew.")


def _attach(api: Api, name: str) -> str | None:
    """The run of a Job that is at it already; one that is over without a result, or not ours to see, is removed."""
    found = api.job(name)
    if found is None:
        return None
    if outcome(found) is None and "deletionTimestamp" not in found["metadata"]:
        print(f"Attached to Job {name}, which runs already.", flush=True)
        return _run_of(found)
    if "deletionTimestamp" not in found["metadata"]:
        print(f"Job {name} is over and left no result that is whole: it is made anew.", flush=True)
        api.delete(name)
    give_up = time.monotonic() + DELETED_WITHIN_S
    while api.job(name) is not None:
        if time.monotonic() > give_up:
            raise ClusterError(f"Job {name} is being deleted, but not gone in {DELETED_WITHIN_S} s. Is a pod stuck?")
        time.sleep(0.5)
    return None


def _collected(store: Store, run: str, job: Job) -> bool:
    found = patiently(lambda: exchange.collect(store, run, job), "Collecting the result", PATIENCE_S)
    return found is not None


def _run_of(job: dict[str, Any]) -> str:
    return job["metadata"]["annotations"]["vsml/run"]


def _auditable(commit: str | None, here: dict[str, str]) -> bool:
    """Whether the image holds the code of the working tree, as committed.

    Raises:
      ValueError: it does not, and no one has allowed it.
    """
    if here["tree"] == "clean" and commit == here["commit"]:
        return True
    has = f"the image has commit {commit}" if commit else "the image says of no commit (VSML_COMMIT) that it holds it"
    why = f"The working tree is {here['tree']} at commit {here['commit']}, and {has}."
    if os.environ.get("PIPELINE_ALLOW_DIRTY") == "1":
        print(f"{why} The run is marked as not auditable.", flush=True)
        return False
    remedy = "Commit, build and deploy the image, or set PIPELINE_ALLOW_DIRTY=1 to have a run that cannot be audited"
    raise ValueError(f"{why} {remedy}.")


def _detach(number: int, frame: object) -> None:
    raise Detached(128 + number)
