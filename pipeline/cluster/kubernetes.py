"""Runs an item as a Job on a cluster, and waits for it here: submits it, or attaches to it, or collects its result.

The fingerprint is the key: whoever asks for the same work, now or later, from this machine or another, finds the Job by
its name and the result by the tag of its run. So this process may die at any moment and nothing is lost. It knows of
the other machine only its image; what decides the outs is the command, the params, the deps, that image and, where
sums are split, the number of pods and of GPUs.
"""

import os
import signal
import sys
import time
from functools import partial
from typing import Any

from pipeline.cluster import exchange
from pipeline.cluster.connection import Api, ClusterError
from pipeline.cluster.execute import Told, told
from pipeline.cluster.following import Follower, Stuck, outcome
from pipeline.cluster.manifest import manifest, name_of, other_code, template_name, where_of
from pipeline.run import job as provenance
from pipeline.run.job import Job
from pipeline.track import uploads
from pipeline.track.patience import patiently
from pipeline.track.store import Found, MissingInStoreError, Store, TrackingError

DELETED_WITHIN_S = 300
waited = partial(patiently, for_s=20 * 60)  # with MLflow away


def execute(stage: str, item: tuple[str, ...]) -> None:
    signal.signal(signal.SIGTERM, told)
    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        raise TrackingError("On a cluster, results travel through MLflow: set MLFLOW_TRACKING_URI to its address.")
    api = Api()
    template = api.template(template_name(stage))
    where = where_of(stage, template)
    if other := other_code(template, provenance.git()):
        if os.environ.get("PIPELINE_ALLOW_DIRTY") != "1":
            remedy = "Commit, build and deploy the image, or set PIPELINE_ALLOW_DIRTY=1 to have a run"
            raise ValueError(f"{other} {remedy} that cannot be audited.")
        print(f"{other} The run is marked as not auditable.", flush=True)
    provenance.own_code()
    job = provenance.job(stage, item, where)
    waited(uploads.flush, "Taking up what was run here")
    store = waited(Store, "Starting")
    name, follower = name_of(stage, job.fingerprint), Follower(api)
    going_on = f"Detached from Job {name}, which goes on if it was made. `dvc repro` attaches to it again."
    while True:
        try:
            return _obtain(api, store, follower, job, where, bool(other))
        except Told:
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
    name, again = name_of(job.stage, job.fingerprint), "The same command starts it anew."

    def collected(run: str) -> bool:
        return waited(lambda: exchange.collect(store, run, job), "Collecting the result") is not None

    def runs() -> list[Found]:
        known = {"fingerprint": job.fingerprint, "executor": "kubernetes"}
        return waited(lambda: store.find(known), "Looking for a result")

    for found in runs():
        if collected(found.id):
            print(f"Collected from MLflow run {found.id}, which had finished.", flush=True)
            return
    run = _attach(api, name) or _submit(api, store, job, image, dirty)
    # Drivers die before they have made a Job, and Jobs end or are deleted while none watches. Where there is one Job of
    # a name, no other run of it will come to an end.
    for left in (one.id for one in runs() if one.status == "RUNNING" and one.id != run):
        waited(partial(store.end, left, "FAILED"), "Closing the run")
    try:
        ended = follower.follow(name)
    except Stuck:
        waited(lambda: store.end(run, "FAILED"), "Closing the run")
        api.delete(name)
        raise
    if collected(run):
        return
    if ended is None:
        killed = waited(lambda: store.get(run), "Looking for a result").status == "KILLED"
        how = "was cancelled" if killed else "was deleted before it had committed a result"
        raise ClusterError(f"Job {name} {how}. {again}")
    if ended == "Complete":
        raise ClusterError(f"Job {name} is complete, but run {run} has no result that is whole. Run this again.")
    waited(lambda: store.end(run, "FAILED"), "Closing the run")
    raise ClusterError(f"Job {name} failed ({ended}). What its pods said is above. {again}")


def _submit(api: Api, store: Store, job: Job, image: str, dirty: bool) -> str:
    """Create the Job of an item, with a run of its own, unless another process is faster; return the run."""
    name = name_of(job.stage, job.fingerprint)
    run, order = waited(lambda: exchange.place(store, job, image, dirty), "Placing what the job reads")
    try:
        template = api.template(template_name(job.stage))
        created = api.create(manifest(template, job.stage, job.item, job.fingerprint, run, order))
    except (ValueError, ClusterError):
        waited(lambda: store.end(run, "FAILED"), "Closing the run")
        raise
    standing = None if created else api.job(name)
    if standing is not None and _run_of(standing) != run:
        store.forget(run)
        print(f"Attached to Job {name}, which another process has just started.", flush=True)
        return _run_of(standing)
    print(f"Submitted Job {name} in {api.namespace}, MLflow run {run}.", flush=True)
    return run


def _attach(api: Api, name: str) -> str | None:
    """The run of a Job that is at it already; one that is over without a result, or not ours to see, is removed."""
    give_up = time.monotonic() + DELETED_WITHIN_S
    deleted = False
    while (found := api.job(name)) is not None:
        if "deletionTimestamp" not in found["metadata"] and not deleted:
            if outcome(found) is None:
                print(f"Attached to Job {name}, which runs already.", flush=True)
                return _run_of(found)
            print(f"Job {name} is over and left no result that is whole: it is made anew.", flush=True)
            api.delete(name)
            deleted = True
        elif time.monotonic() > give_up:
            raise ClusterError(f"Job {name} is being deleted, but not gone in {DELETED_WITHIN_S} s. Is a pod stuck?")
        else:
            time.sleep(0.5)
    return None


def _run_of(job: dict[str, Any]) -> str:
    return job["metadata"]["annotations"]["vsml/run"]
