"""`python -m pipeline jobs` lists the Jobs of this project on the cluster, follows one, or cancels some.

A Job is named by as much of its name as no other shares.
"""

import datetime
import sys

from pipeline.cluster import kubernetes
from pipeline.cluster.connection import Api
from pipeline.cluster.following import Follower, outcome
from pipeline.cluster.manifest import LABEL
from pipeline.track.store import Store


def main(act: str, names: list[str]) -> None:
    if not (names if act == "cancel" else len(names) == (act == "follow")):
        wanted = {"list": "no name", "follow": "one name", "cancel": "at least one name"}[act]
        raise ValueError(f"{act} takes {wanted}, got {names}.")
    api = Api()
    jobs = sorted(api.jobs(LABEL), key=lambda job: job["metadata"]["creationTimestamp"])
    match act:
        case "follow":
            name = _named(jobs, *names)
            end = Follower(api).follow(name) or "gone"
            print(f"Job {name}: {end}")
            if end != "Complete":
                sys.exit(1)
        case "cancel":
            store = Store()
            for name in [_named(jobs, name) for name in names]:
                kubernetes.cancel(api, store, name)
        case _ if not jobs:
            print(f"No Jobs in namespace {api.namespace}.")
        case _:
            now = datetime.datetime.now(datetime.UTC)
            for job in jobs:
                about, status = job["metadata"], job.get("status", {})
                age = str(now - datetime.datetime.fromisoformat(about["creationTimestamp"])).partition(".")[0]
                state = outcome(job) or ("Running" if status.get("active") else "Waiting")
                lost = f", {status['failed']} pods lost" if status.get("failed") else ""
                print(f"{about['name']}  {about['annotations']['vsml/item']}  {age}  {state}{lost}")


def _named(jobs: list[dict], name: str) -> str:
    names = [job["metadata"]["name"] for job in jobs]
    found = [one for one in names if one == name] or [one for one in names if name in one]
    if len(found) != 1:
        raise ValueError(f"{name!r} names {len(found) or 'none'} of the Jobs {names}; name one.")
    return found[0]
