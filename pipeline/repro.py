"""`python -m pipeline repro --jobs N` does what `dvc repro` does, with up to N items of stages at once.

An item is due if DVC finds it changed, or once something that it depends on has run; it starts when all of that is
done. Each is a `dvc repro --single-item` of its own, which waits for DVC's lock and decides itself whether to run. If
one fails, only what depends on it is left out. No item outlives this process, except as a Job on a cluster.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from pipeline import paths, process, uploads
from pipeline.store import TrackingError

EDGE = re.compile(r'"(?P<first>[^"]+)"(?: -> "(?P<then>[^"]+)")?;')
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
    needs = graph(_dvc("dag", "--dot", Path(given.file).name))
    due = closure(json.loads(_dvc("status", "--json", Path(given.file).name)), needs)
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


class Scheduler:
    """Runs items, each after those that it needs; `states` says of each that is settled how it ended."""

    def __init__(self, needs: Mapping[str, set[str]], jobs: int) -> None:
        self._needs, self._jobs = dict(needs), jobs
        self._running: list[Item] = []
        self.states: dict[str, str] = {}
        self._logs = paths.JOBS / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)

    def run(self) -> dict[str, str]:
        try:
            while len(self.states) < len(self._needs):
                self._skip()
                self._start()
                time.sleep(LOOK_EVERY_S)
                self._settle()
        except Stopped:
            self._stop_all()
            raise
        return self.states

    def _skip(self) -> None:
        """Leave out what can never run; in passes, since one that is left out takes others with it."""
        while True:
            lost = {name for name, state in self.states.items() if state != "done"}
            hopeless = [n for n in self._needs if n not in self.states and self._needs[n] & lost]
            if not hopeless:
                return
            for name in hopeless:
                because = ", ".join(sorted(self._needs[name] & lost))
                self._say(name, "skipped", f"it needs {because}")

    def _start(self) -> None:
        busy = {item.name for item in self._running}
        done = {name for name, state in self.states.items() if state == "done"}
        ready = (n for n in self._needs if n not in self.states and n not in busy and self._needs[n] <= done)
        for name, _ in zip(ready, range(self._jobs - len(busy)), strict=False):
            log = (self._logs / f"{name.replace('/', '_')}.log").open("w+b")
            command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", name]
            # A session of its own, so that a Ctrl-C is told to it by us alone; and it dies with us.
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=process.die_with_parent,
            )
            self._running.append(Item(name, started, log, time.monotonic()))
            print(f"{name}: started", flush=True)

    def _settle(self) -> None:
        for item in [one for one in self._running if one.process.poll() is not None]:
            self._running.remove(item)
            took = f"in {time.monotonic() - item.began:.0f} s"
            if item.process.returncode == 0:
                self._say(item.name, "done", took)
            else:
                self._say(item.name, "FAILED", f"{took}, all that it said is in {item.log.name}; its end:")
                item.log.seek(0)
                lines = item.log.read().decode(errors="replace").rstrip().splitlines()[-LINES_SHOWN:]
                print("\n".join(f"    {line}" for line in lines), flush=True)
            item.log.close()

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
    try:
        uploads.flush()
    except TrackingError as error:
        print(error, file=sys.stderr, flush=True)


def graph(dot: str) -> dict[str, set[str]]:
    """What each stage item of this folder's dvc.yaml needs, from what `dvc dag --dot` writes."""
    needs: dict[str, set[str]] = {}
    for match in EDGE.finditer(dot):
        first, then = match["first"], match["then"]
        needs.setdefault(first, set())
        if then is not None:
            needs.setdefault(then, set()).add(first)
    return needs


def closure(changed: Iterable[str], needs: Mapping[str, set[str]]) -> set[str]:
    """The items that are changed, and all that depend on them."""
    due = set(changed) & needs.keys()
    while True:
        more = {name for name, others in needs.items() if others & due} - due
        if not more:
            return due
        due |= more


def _dvc(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "--wait-for-lock", *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"`dvc {' '.join(words)}` ended with exit code {done.returncode}; see above.")
    return done.stdout


def _stop(number: int, frame: object) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    raise Stopped(128 + number)
