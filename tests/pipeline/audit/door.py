"""Runs in a clone, with its code: makes its results, then audits it as often as asked, by one line of JSON each.

`python door.py` prints `ready` when all is made. Heavy stages are not run: their tables are the made-up ones of the
figures' tests, logged as their runs. Data, figures and report are really made, and all else is as after a repro.
"""

import contextlib
import csv
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from pipeline.__main__ import main as command
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
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # all else that is said here, or by children, goes to the log
    make()
    print("ready", file=answers, flush=True)
    scope = {"store": Store()}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answered = {"answer": _answer(asked, scope)}
        except Exception:  # which fails the test that asked, and not those after it
            answered = {"error": traceback.format_exc()}
        print(json.dumps(answered), file=answers, flush=True)


def _answer(asked: dict[str, Any], scope: dict[str, Any]) -> Any:
    if "remote" in asked:
        return show.as_json(walk.audit(asked["remote"]))
    if "do" in asked:
        exec(asked["do"], scope)
        return scope.pop("answer", None)
    said, status = [io.StringIO(), io.StringIO()], 0
    with contextlib.redirect_stdout(said[0]), contextlib.redirect_stderr(said[1]), mock.patch.dict(os.environ):
        try:
            command(asked["command"])
        except SystemExit as end:
            status = end.code
    return status, *(one.getvalue() for one in said)


if __name__ == "__main__":
    main()
