"""Where the time of an item goes: into compiling, into computing, and into what stands around both.

A file for each item, .jobs/phases/PROFILE/NAME.json, has its last run here; `python -m benchmarks --items` shows them.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.run import paths
from pipeline.run.artifacts import write_json

STARTING, COMPILING, COMPUTING = "starting", "compiling", "computing"  # seconds of each, one after the other
CPU = "cpu"  # seconds of all cores while it compiled and computed


def file(item: str) -> Path:
    """Of an item of the profile in this folder."""
    return paths.JOBS / "phases" / paths.profile().lstrip("/") / f"{item.replace('/', '_')}.json"


@contextmanager
def measured(item: str, by_jax: bool) -> Iterator[None]:
    """Write how long what stands inside took, and how much of it went into tracing, lowering and compiling programs."""
    spans: list[tuple[float, float]] = []
    if by_jax:
        import jax.monitoring  # slow, and needless for a stage that computes nothing

        def compiled(event: str, duration_secs: float, **more: object) -> None:
            if event.startswith("/jax/core/compile/"):
                spans.append(((now := time.monotonic()) - duration_secs, now))

        jax.monitoring.register_event_duration_secs_listener(compiled)
    began, cpu = time.monotonic(), time.process_time()
    yield
    whole, cpu, compiling, end = time.monotonic() - began, time.process_time() - cpu, 0.0, began
    for start, stop in sorted(spans):  # a program is traced within another one's tracing
        compiling += max(0.0, stop - max(start, end))
        end = max(end, stop)
    write_json(file(item), {COMPILING: round(compiling, 2), COMPUTING: round(whole - compiling, 2), CPU: round(cpu, 2)})


def add_starting(item: str, whole: float) -> None:
    """Note the rest of `whole` seconds as starting: DVC's hashes before and after, a process, imports, the tracker."""
    if (path := file(item)).exists():  # an item that runs as a Job has none here
        found = json.loads(path.read_text())
        write_json(path, {**found, STARTING: round(whole - found[COMPILING] - found[COMPUTING], 2)})
