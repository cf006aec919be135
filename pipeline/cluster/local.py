"""Runs an item here, in this process."""

import importlib

from pipeline.cluster import gang
from pipeline.run import job as provenance
from pipeline.track import tracking

DRAWN = ("figure", "report")  # stages that compute nothing and need to know no more than their words


def execute(stage: str, item: tuple[str, ...]) -> None:
    one = gang.member()
    with gang.joined(one):
        _execute(stage, item, one)


def _execute(stage: str, item: tuple[str, ...], one: gang.Member) -> None:
    provenance.own_code()
    job = provenance.job(stage, item)
    gang.start_alike(one, job)
    module = importlib.import_module(provenance.stages()[stage].module)
    with tracking.run(job) as run:
        if stage in DRAWN:
            module.main(list(item))
        else:
            module.main(job, run)
