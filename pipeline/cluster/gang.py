"""A stage in several processes, the pods of an Indexed Job: they share a population as the devices of one machine do.

Process 0 speaks for all: it alone prints, sends curve and checkpoints, and commits. All of them start from its
checkpoint. Without one of them the collectives of the others fail or wait for ever; so the others end too, with the
exit code LOST, and whoever started them starts them all again, from the last checkpoint.
"""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.run import checkpoints, paths
from pipeline.run.job import Job
from pipeline.track import tracking
from pipeline.track.patience import seconds

COORDINATOR, PROCESSES = "VSML_COORDINATOR", "VSML_PROCESSES"  # environment: address of process 0, and how many
NUMBER = "JOB_COMPLETION_INDEX"  # set by Kubernetes
STALLED_AFTER = "VSML_STALLED_AFTER_S"  # for a template whose meta-steps, or the compiling before them, take longer
LOST = 75  # exit code, EX_TEMPFAIL of sysexits.h: not this process failed, and to try again is of use
JOINED_WITHIN_S = 1800  # nodes may have to be made
STALLED_AFTER_S, ALONE_AFTER_S = 900.0, 3600.0


class Member(NamedTuple):
    """One process of a gang, which may be a gang of one."""

    number: int = 0
    processes: int = 1
    coordinator: str = ""

    @property
    def alone(self) -> bool:
        return self.processes == 1

    @property
    def leads(self) -> bool:
        return self.number == 0


def member() -> Member:
    """What this process is, by its environment.

    Raises:
      ValueError: the environment contradicts itself.
    """
    processes = int(os.environ.get(PROCESSES) or 1)
    if processes == 1:
        return Member()
    number, coordinator = os.environ.get(NUMBER, ""), os.environ.get(COORDINATOR)
    if not number.isdecimal() or int(number) >= processes or not coordinator:
        raise ValueError(
            f"{PROCESSES} is {processes}, {NUMBER} {number!r} and {COORDINATOR} {coordinator!r}: expected a number "
            f"from 0 to {processes - 1} and an address. Only Indexed Jobs number their pods."
        )
    return Member(int(number), processes, coordinator)


@contextlib.contextmanager
def joined(one: Member) -> Iterator[None]:
    """Be one of several processes of jax; this has to come before anything asks jax for devices.

    Whatever goes wrong ends the process at once: an orderly end would wait for the others, and they for this one.
    """
    if one.alone:
        yield
        return
    import jax

    try:
        own = {"cluster_detection_method": "deactivate", "initialization_timeout": JOINED_WITHIN_S}
        jax.distributed.initialize(one.coordinator, one.processes, one.number, **own)
        # What process 0 says, all would say.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(sys.stdout if one.leads else nowhere):
            yield
    except BaseException as error:
        traceback.print_exc()
        lost = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error)
        if lost:
            print(f"Process {one.number} of {one.processes} ends: it has lost the others.", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(LOST if lost else 1)


def start_alike(one: Member, job: Job) -> None:
    """Put the newest checkpoint of process 0 in the place of those that the others have, if any.

    Raises:
      ValueError: the others have other jobs than process 0.
    """
    if one.alone:
        return
    from jax.experimental.multihost_utils import broadcast_one_to_all

    folder = checkpoints.Folder(paths.CHECKPOINTS / job.fingerprint)
    newest = folder.newest() if one.leads else None
    name, checkpoint = (newest.name, newest.read_bytes()) if newest else ("", b"")
    own = np.frombuffer(b"\n".join([job.fingerprint.encode(), name.encode(), checkpoint]), np.uint8)
    size = int(broadcast_one_to_all(np.int32(len(own))))  # all have to hold out an array of the size of the first's
    first = np.asarray(broadcast_one_to_all(np.resize(own, size)))
    fingerprint, name, checkpoint = first.tobytes().split(b"\n", 2)
    if fingerprint.decode() != job.fingerprint:
        raise ValueError(
            f"Process {one.number} has the job {job.fingerprint}, process 0 has {fingerprint.decode()}: expected the "
            "same. Do all pods have the same image, and nodes of one kind?"
        )
    if not one.leads:
        folder.replace(name.decode(), checkpoint)


class Watchdog:
    """Knows whether a stage goes on: that it has joined the others, if any, and rows of its curve, are progress."""

    def __init__(self, folder: Path, one: Member) -> None:
        self._folder, self._seen, self._since_s = folder, (False, 0), time.monotonic()
        self._after_s = seconds(STALLED_AFTER, ALONE_AFTER_S if one.alone else STALLED_AFTER_S)

    def stalled(self) -> str:
        """That it has stood still for too long, or nothing; until it has joined the others, it may wait for them."""
        curve = self._folder / tracking.CURVE
        seen = ((self._folder / tracking.BEGIN).exists(), curve.stat().st_size if curve.exists() else 0)
        if seen != self._seen:
            self._seen, self._since_s = seen, time.monotonic()
        still_s = time.monotonic() - self._since_s
        too_long = still_s > self._after_s + (0 if seen[0] else JOINED_WITHIN_S)
        return f"No meta-step was finished in {still_s:.0f} s" if too_long else ""
