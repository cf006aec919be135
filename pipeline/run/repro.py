"""`python -m pipeline repro --jobs N` does what `dvc repro` does, with up to N items of stages at once.

An item is due if DVC finds it changed, or once something that it depends on has run; it starts when all of that is
done. Each is a `dvc repro --single-item` of its own, which waits for DVC's lock and decides itself whether to run. If
one fails, only what depends on it is left out. No item outlives this process, except as a Job on a cluster.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, NamedTuple

from pipeline.run import paths

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_EVERY_S = 0.1
STOPS_WITHIN_S = 20.0
LINES_SHOWN = 15  # of an item that failed


class Running(NamedTuple):
    """A running item."""

    name: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    began: float


class Stopped(SystemExit):
    """A signal ends it all."""


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline repro", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="items at once (default: one a core)")
    parser.add_argument("file", nargs="?", default="dvc.yaml", help="the dvc.yaml of a profile")
    given = parser.parse_args(words)
    if given.jobs < 1:
        parser.error(f"--jobs is {given.jobs}, expected 1 or more.")
    os.chdir(Path(given.file).parent)
    file = Path(given.file).name
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of the commands' `python`
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", "--json", file]
    status = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if status.returncode:
        sys.exit(f"`dvc status` ended with exit code {status.returncode}; see above.")
    needs = graph(file)
    due = closure(json.loads(status.stdout), needs)
    states = run({name: needs[name] & due for name in needs if name in due}, given.jobs) if due else {}
    # Runs that wait are taken up; one of them that cannot be taken up now is no failure of an item.
    subprocess.run([sys.executable, "-m", "pipeline", "uploads"], check=False)
    if not due:
        print("Data and pipelines are up to date.")
        return
    done = list(states.values()).count("done")
    print(f"{done} of {len(states)} items are done.", flush=True)
    if done < len(states):
        sys.exit(1)


def graph(file: str) -> dict[str, set[str]]:
    """What each item of a dvc.yaml in this folder needs of its other items, as DVC sees it."""
    # Not above: every stage imports this module, and none but this function needs DVC.
    from dvc.repo import Repo
    from dvc.repo.index import Index

    with Repo() as repo:
        found = Index.from_file(repo, str(Path(file).absolute())).graph
        return {stage.addressing: {need.addressing for need in found.successors(stage)} for stage in found}


def closure(changed: Iterable[str], needs: Mapping[str, set[str]]) -> set[str]:
    """The items that are changed, and all that depend on them."""
    due = set(changed) & needs.keys()
    for name in TopologicalSorter(needs).static_order():
        if needs[name] & due:
            due.add(name)
    return due


def run(needs: Mapping[str, set[str]], jobs: int) -> dict[str, str]:
    """Run items, each after those that it needs, up to `jobs` at once; how each ended.

    Raises:
      Stopped: a signal came; nothing runs any more.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    logs = paths.JOBS / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    print(f"{len(needs)} items are due, up to {jobs} at once; what they say: {logs}", flush=True)
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready: list[str] = []
    running: list[Running] = []
    states: dict[str, str] = {}

    def settle(name: str, state: str, more: str) -> None:
        states[name] = state
        print(f"{name}: {state} {more} ({len(states)} of {len(needs)})", flush=True)
        sorter.done(name)  # however it ended: what needs it is told below

    try:
        while sorter.is_active():
            ready += sorter.get_ready()
            while ready and len(running) < jobs:
                name = ready.pop(0)
                if lost := [need for need in sorted(needs[name]) if states[need] != "done"]:
                    settle(name, "skipped", f"it needs {', '.join(lost)}")
                    continue
                log = (logs / f"{name.replace('/', '_')}.log").open("w+b")
                # A session of its own, so that a Ctrl-C is told to it by us alone; and it dies with us.
                process = subprocess.Popen(
                    [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", name],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
                running.append(Running(name, process, log, time.monotonic()))
            time.sleep(LOOK_EVERY_S)
            for item in [one for one in running if one.process.poll() is not None]:
                running.remove(item)
                took = f"in {time.monotonic() - item.began:.0f} s"
                if item.process.returncode == 0:
                    settle(item.name, "done", took)
                else:
                    settle(item.name, "FAILED", f"{took}, all that it said is in {item.log.name}; its end:")
                    item.log.seek(0)
                    lines = item.log.read().decode(errors="replace").rstrip().splitlines()[-LINES_SHOWN:]
                    print("\n".join(f"    {line}" for line in lines), flush=True)
                item.log.close()
    except Stopped:
        # Everything that runs ends: as after a Ctrl-C, then, what does not mind that, by force.
        for blow, wait_s in ((signal.SIGINT, STOPS_WITHIN_S), (signal.SIGKILL, 5.0)):
            for item in running:
                if item.process.poll() is None:
                    os.killpg(item.process.pid, blow)
            give_up = time.monotonic() + wait_s
            while any(item.process.poll() is None for item in running) and time.monotonic() < give_up:
                time.sleep(LOOK_EVERY_S)
        for item in running:
            item.log.close()
            print(f"{item.name}: stopped", flush=True)
        raise
    return states


def _stop(number: int, frame: object) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    raise Stopped(128 + number)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however it ends.

    SIGTERM to `dvc repro` leaves its child running, and what an orphan writes would mix with the work of the next
    repro. SIGKILL is safe: outputs are written atomically and a run goes on from its checkpoint. The parent must be
    `dvc repro` itself: the commands in dvc.yaml begin with `exec`, since some shells would stay in between. Only Linux
    offers this; elsewhere it does nothing, and whoever kills `dvc repro` must kill the stage too.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(number)}")
    if os.getppid() != parent:  # it died before the kernel was told to watch it
        sys.exit("The process that started this stage is gone; run `dvc repro` again.")
