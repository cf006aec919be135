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


class Item(NamedTuple):
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
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of the commands' `python`
    changed, needs = _changed(Path(given.file).name), graph(Path(given.file).name)
    due = closure(changed, needs)
    if not due:
        _upload()
        print("Data and pipelines are up to date.")
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    states = Scheduler({name: needs[name] & due for name in needs if name in due}, given.jobs).run()
    _upload()
    lost = [name for name, state in states.items() if state != "done"]
    print(f"{len(states) - len(lost)} of {len(states)} items are done.", flush=True)
    if lost:
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


class Scheduler:
    """Runs items, each after those that it needs; `states` says of each that is settled how it ended."""

    def __init__(self, needs: Mapping[str, set[str]], jobs: int) -> None:
        self._needs, self._jobs = dict(needs), jobs
        self._order = tuple(TopologicalSorter(self._needs).static_order())
        self._sorter = TopologicalSorter(self._needs)
        self._sorter.prepare()
        self._ready: list[str] = []
        self._running: list[Item] = []
        self.states: dict[str, str] = {}
        self._logs = paths.JOBS / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)

    def run(self) -> dict[str, str]:
        print(f"{len(self._needs)} items are due, up to {self._jobs} at once; what they say: {self._logs}", flush=True)
        try:
            while len(self.states) < len(self._needs):
                self._ready += self._sorter.get_ready()
                while self._ready and len(self._running) < self._jobs:
                    self._start(self._ready.pop(0))
                time.sleep(LOOK_EVERY_S)
                self._settle()
        except Stopped:
            self._stop_all()
            raise
        return self.states

    def _start(self, name: str) -> None:
        log = (self._logs / f"{name.replace('/', '_')}.log").open("w+b")
        # A session of its own, so that a Ctrl-C is told to it by us alone; and it dies with us.
        started = subprocess.Popen(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._running.append(Item(name, started, log, time.monotonic()))

    def _settle(self) -> None:
        for item in [one for one in self._running if one.process.poll() is not None]:
            self._running.remove(item)
            took = f"in {time.monotonic() - item.began:.0f} s"
            if item.process.returncode == 0:
                self._say(item.name, "done", took)
                self._sorter.done(item.name)  # of what failed it is never told, so nothing that needs that gets ready
            else:
                self._say(item.name, "FAILED", f"{took}, all that it said is in {item.log.name}; its end:")
                item.log.seek(0)
                lines = item.log.read().decode(errors="replace").rstrip().splitlines()[-LINES_SHOWN:]
                print("\n".join(f"    {line}" for line in lines), flush=True)
                self._skip()
            item.log.close()

    def _skip(self) -> None:
        """Leave out what can never run, in an order in which one that is left out comes before those that need it."""
        for name in self._order:
            lost = {need for need in self._needs[name] if self.states.get(need, "done") != "done"}
            if lost and name not in self.states:
                self._say(name, "skipped", f"it needs {', '.join(sorted(lost))}")

    def _say(self, name: str, state: str, more: str) -> None:
        self.states[name] = state
        print(f"{name}: {state} {more} ({len(self.states)} of {len(self._needs)})", flush=True)

    def _stop_all(self) -> None:
        """Have everything that runs end: as after a Ctrl-C, then, what does not mind that, by force."""
        for blow, wait_s in ((signal.SIGINT, STOPS_WITHIN_S), (signal.SIGKILL, 5.0)):
            for item in self._running:
                if item.process.poll() is None:
                    os.killpg(item.process.pid, blow)
            give_up = time.monotonic() + wait_s
            while any(item.process.poll() is None for item in self._running) and time.monotonic() < give_up:
                time.sleep(LOOK_EVERY_S)
        for item in self._running:
            item.log.close()
            print(f"{item.name}: stopped", flush=True)


def _upload() -> None:
    """Take the runs up that wait; one of them that cannot be taken up now is no failure of an item."""
    subprocess.run([sys.executable, "-m", "pipeline", "uploads"], check=False)


def _changed(file: str) -> list[str]:
    """The items of a dvc.yaml in this folder that DVC finds changed."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", "--json", file]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"`dvc status` ended with exit code {done.returncode}; see above.")
    return list(json.loads(done.stdout))


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
