"""A run on disk: what a stage says of itself where the tracker is another process's business, as in a pod.

The stage writes, the process that watches over it reads and passes on. So a tracker that is away can neither stop nor
slow down a computation.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.provenance import Job
from pipeline.tracking import machine, manifest

FOLDER, RUN = "VSML_SPOOL", "VSML_RUN"  # environment: where to write, and the id of the run that it will become
MACHINE, CURVE = "machine.json", "curve.jsonl"


class Spool:
    """The run of one job, as `tracking.Run` is one; it comes to be in a folder."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.id = os.environ[RUN]
        self._folder, self._written = folder, 0
        self._last_acts: list[Callable[[], None]] = []
        artifacts.write_json(folder / MACHINE, machine(job))

    def resume(self, run_id: str) -> None:
        """Nothing to do: the run is the same on every machine."""

    def follow(self, curve: dict[str, list[Any]]) -> None:
        """Write the rows of `curve` that are not yet written."""
        rows = range(self._written, len(curve["loss"]))
        lines = (json.dumps({name: float(curve[name][row]) for name in curve}) for row in rows)
        with (self._folder / CURVE).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        self._written = len(curve["loss"])

    def at_end(self, act: Callable[[], None]) -> None:
        """Have `act` done when outs are written."""
        self._last_acts.append(act)

    def finish(self, job: Job) -> None:
        digests = {out: artifacts.sha256_file(out) for out in job.flow.outs}
        artifacts.write_json(self._folder / "manifest.json", manifest(job, digests))
        for act in self._last_acts:
            act()


@contextlib.contextmanager
def run(job: Job, folder: Path) -> Iterator[Spool]:
    spooled = Spool(job, folder)
    yield spooled
    spooled.finish(job)


def rows(folder: Path, first: int) -> list[dict[str, float]]:
    """The rows of the curve from number `first` on, as far as they are written out."""
    path = folder / CURVE
    if not path.exists():
        return []
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[first:]]


def tags(folder: Path) -> dict[str, str]:
    """On what the stage runs."""
    return json.loads((folder / MACHINE).read_text(encoding="utf-8"))


def left(folder: Path) -> dict[str, Any]:
    """The manifest of what it read and left, when it is done."""
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
