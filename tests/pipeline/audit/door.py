"""Runs in a clone, with its code: makes its results, then audits it as often as asked, by one line of JSON each.

`python door.py` prints `ready` when all is made. Heavy stages are not run: their tables are the made-up ones of the
figures' tests, logged as their runs. Data, figures and report are really made, and all else is as after a repro.
"""

import contextlib
import csv
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audit import show, walk
from pipeline.cluster.execute import execute_here
from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import read_table, write_table
from pipeline.run.flow import Flow
from pipeline.studies import headline, params
from pipeline.track import tracking, uploads
from pipeline.track.store import Store
from tests.pipeline.studies import conftest as made_up

RUN = ("train_data", "test_data", "figure", "report")


def make() -> None:
    found = params.read()
    made_up._fill(found)
    for seed in found.items.seeds:
        curve = read_table(paths.curve("vsml", seed)).arrays
        with paths.curve_csv("vsml", seed).open("w", newline="") as file:
            csv.writer(file).writerows([["step", "loss"], *enumerate(curve["loss"].tolist())])
    paths.ROOT.joinpath("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    provenance.main()
    for item in Flow().items():
        if item.stage in RUN:
            execute_here(item.stage, item.words)
        elif item.stage != "plan":
            for number, out in enumerate(item.outs):
                if not Path(out).exists():  # a rule that no figure reads
                    write_table(out, {"theta": np.full(3, number)}, {"theta": ("value",)})
            with tracking.run(provenance.job(item.stage, item.words)) as run:
                run.measure(headline.of_item(item.stage, item.words))
    uploads.flush()


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):
        make()
    print("ready", flush=True)
    scope = {"store": Store()}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answered = {"answer": _answer(asked, scope)}
        except Exception:  # which fails the test that asked, and not those after it
            answered = {"error": traceback.format_exc()}
        print(json.dumps(answered), flush=True)


def _answer(asked: dict[str, Any], scope: dict[str, Any]) -> Any:
    if "do" not in asked:
        return show.as_json(walk.audit(asked["remote"]))
    exec(asked["do"], scope)
    return scope.pop("answer", None)


if __name__ == "__main__":
    main()
