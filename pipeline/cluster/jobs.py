"""`python -m pipeline jobs` lists the Jobs of this project on the cluster, follows one, or cancels some.

A Job is named by as much of its name as no other shares.
"""

import argparse
import contextlib
import datetime

from pipeline.cluster import kubernetes
from pipeline.cluster.connection import Api
from pipeline.cluster.following import Follower, outcome
from pipeline.cluster.manifest import LABEL
from pipeline.track.store import Store


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline jobs", description=__doc__)
    act = parser.add_subparsers(dest="act", metavar="ACT")
    act.add_parser("list", help="what runs, and what has run (the default)")
    act.add_parser("follow", help="its log, to its end").add_argument("name")
    act.add_parser("cancel", help="delete it; its checkpoints stay").add_argument("name", nargs="+")
    given = parser.parse_args(words)
    api = Api()
    jobs = sorted(api.jobs(LABEL), key=lambda job: job["metadata"].get("creationTimestamp") or "")
    match given.act:
        case "follow":
            name = _named(jobs, given.name)
            with contextlib.suppress(KeyboardInterrupt):  # the Job goes on
                print(f"Job {name}: {Follower(api).follow(name) or 'gone'}")
        case "cancel":
            names, store = [_named(jobs, name) for name in given.name], Store()
            for name in names:
                kubernetes.cancel(api, store, name)
        case _ if not jobs:
            print(f"No Jobs in namespace {api.namespace}.")
        case _:
            for job in jobs:
                about, status = job["metadata"], job.get("status", {})
                age = "-"
                if began := about.get("creationTimestamp"):
                    past = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(began)
                    age = datetime.timedelta(seconds=int(past.total_seconds()))
                state = outcome(job) or ("Running" if status.get("active") else "Waiting")
                lost = f", {status['failed']} pods lost" if status.get("failed") else ""
                print(f"{about['name']}  {about['annotations']['vsml/item']}  {age}  {state}{lost}")


def _named(jobs: list[dict], name: str) -> str:
    names = [job["metadata"]["name"] for job in jobs]
    found = [one for one in names if one == name] or [one for one in names if name in one]
    if len(found) != 1:
        raise SystemExit(f"{name!r} names {len(found) or 'none'} of the Jobs {names}; name one.")
    return found[0]
