"""Where an item of a stage runs. The environment says so, and never the command, which DVC records and hashes.

PIPELINE_EXECUTOR is `local`, the default, `kubernetes`, or `pod`: what the pods of `kubernetes` have.
"""

import importlib
import os
import signal

from pipeline.cluster import gang
from pipeline.run import job as provenance
from pipeline.run import phases, repro
from pipeline.track import tracking

NAMES = ("local", "kubernetes", "pod")
DRAWN = ("figure", "report")  # stages that compute nothing and need to know no more than their words


class Told(SystemExit):
    """This process has to go, and has a moment left."""


def told(number: int, frame: object) -> None:
    """What the first SIGTERM does; others do nothing."""
    signal.signal(number, signal.SIG_IGN)
    raise Told(128 + number)


def execute(stage: str, item: tuple[str, ...]) -> None:
    """Run an item of a stage; its outs are in place when this returns."""
    name = chosen(stage, item)
    # Not where it is the first process of all, nor where a user's shell started it, which may end before.
    if name != "pod" and not {"DVC_STAGE", tracking.FOLDER}.isdisjoint(os.environ):
        repro.die_with_parent()
    if name == "local":
        execute_here(stage, item)
    else:
        importlib.import_module(f"pipeline.cluster.{name}").execute(stage, item)


def chosen(stage: str, item: tuple[str, ...]) -> str:
    """The executor of an item: drawing takes seconds, and pods have no way out of the cluster to download.

    Raises:
      ValueError: there is no such executor.
    """
    name = os.environ.get("PIPELINE_EXECUTOR") or "local"
    if name not in NAMES:
        raise ValueError(f"PIPELINE_EXECUTOR is {name!r}, which is none of {list(NAMES)}; unset, it is local.")
    stays = stage in DRAWN
    if name == "kubernetes" and stage in ("train_data", "test_data"):  # the image holds sets that ship inside packages
        known = importlib.import_module("pipeline.data.locked").sets().get(item[0])  # few need it, and it takes a while
        stays = known is not None and not all(file.wheel for file in known.files.values())
    return "local" if name == "kubernetes" and stays else name


def execute_here(stage: str, item: tuple[str, ...]) -> None:
    """Run an item in this process, which may be one of a gang."""
    one = gang.member()
    with gang.joined(one):
        provenance.own_code()
        job = provenance.job(stage, item)
        gang.start_alike(one, job)
        module = importlib.import_module(provenance.stages()[stage].module)
        with tracking.run(job) as run, phases.measured(job.flow.name, "jax" in job.plan["versions"]):
            if stage in DRAWN:
                module.main(list(item))
            else:
                module.main(job, run)
            run.measure(importlib.import_module("pipeline.studies.headline").of_item(stage, item))
