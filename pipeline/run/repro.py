"""`python -m pipeline repro` does what `dvc repro` does, with several items of stages at once.

An item is due if DVC finds it changed, or once something that it depends on has run; it starts when all of that is
done, those first that most time depends on. Each is a `dvc repro --single-item` of its own, which waits for DVC's lock
and decides itself whether to run. If one fails, only what depends on it is left out. No item outlives this process,
except as a Job on a cluster. Outs do not depend on how many items run at once.
"""

import ctypes
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from pipeline.run import paths
from pipeline.run.artifacts import write_json

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_EVERY_S = 0.1
SAY_EVERY_S = 30.0  # what long items said last
STOPS_WITHIN_S = 20.0
ASK_FOR = 4  # items that may be unchanged: to ask DVC takes as long as to start two or three
LINES_SHOWN = 15  # of an item that failed
UNKNOWN_S = 10.0  # an item of a stage that never ran here
MEMORY = 1.5 * 2**30  # bytes that must be free before another item starts: what the largest of the default profile take


class Running(NamedTuple):
    """A running item."""

    name: str
    process: Any  # of multiprocessing
    log: IO[bytes]
    began: float


class Stopped(SystemExit):
    """A signal ends it all."""


def main(jobs: int, file: Path) -> None:
    os.chdir(file.parent)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of the commands' `python`
    needs, changed = look(file.name)
    due = closure(changed, needs)
    states = run(file.name, {name: needs[name] & due for name in needs if name in due}, changed, jobs) if due else {}
    # Runs that wait are taken up; one of them that cannot be taken up now is no failure of an item.
    subprocess.run([sys.executable, "-m", "pipeline", "uploads"], check=False)
    if not due:
        print("Data and pipelines are up to date.")
    else:
        done = list(states.values()).count("done")
        print(f"{done} of {len(states)} items are done.", flush=True)
        if done < len(states):
            sys.exit(1)
    # Whether what is there now is what was published; studies are reached by name alone.
    importlib.import_module("pipeline.studies.compare").after_repro()


def look(file: str) -> tuple[dict[str, set[str]], set[str]]:
    """What each item of a dvc.yaml in this folder needs of its other items, and which DVC finds changed."""
    # Not above: every stage imports this module, and stages need no DVC.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.index import Index

    try:
        with Repo(_wait_for_lock=True) as repo:
            found = Index.from_file(repo, str(Path(file).absolute())).graph
            needs = {stage.addressing: {need.addressing for need in found.successors(stage)} for stage in found}
            return needs, set(repo.status(targets=[file]))
    except DvcException as error:
        sys.exit(f"DVC cannot read {Path(file).absolute()}: {error}")


def closure(changed: Iterable[str], needs: Mapping[str, set[str]]) -> set[str]:
    """The items that are changed, and all that depend on them."""
    due = set(changed) & needs.keys()
    for name in TopologicalSorter(needs).static_order():
        if needs[name] & due:
            due.add(name)
    return due


def run(file: str, needs: Mapping[str, set[str]], changed: set[str], jobs: int) -> dict[str, str]:
    """Run items of a dvc.yaml, each after those that it needs, up to `jobs` at once; how each ended.

    Of those that are not `changed` themselves DVC is asked again when what they need is done.

    Raises:
      Stopped: a signal came; nothing runs any more.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    logs, known = paths.JOBS / "logs", paths.JOBS / "seconds.json"
    logs.mkdir(parents=True, exist_ok=True)
    print(f"{len(needs)} items are due, up to {jobs} at once; what they say: {logs}", flush=True)

    # How long each took when it last ran here, and the longest way from its start to the end of all.
    profile = str(Path.cwd().relative_to(paths.ROOT)) if Path.cwd().is_relative_to(paths.ROOT) else str(Path.cwd())
    times = json.loads(known.read_text()) if known.exists() else {}
    seconds: dict[str, float] = times.setdefault(profile, {})
    way: dict[str, float] = {}
    for name in reversed(list(TopologicalSorter(needs).static_order())):
        after = max((way[other] for other, wanted in needs.items() if name in wanted), default=0.0)
        way[name] = _expected(name, seconds)[0] + after

    # DVC is imported once, here, and not once an item.
    import dvc.cli.parser

    fork = multiprocessing.get_context("fork")
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready: list[str] = []
    running: list[Running] = []
    states: dict[str, str] = {}
    ran, looked_at = 0, 0  # how many have run, now and when DVC was last asked what is changed
    said = time.monotonic()

    def settle(name: str, state: str, more: str) -> None:
        states[name] = state
        left = [_expected(other, seconds) for other in needs if other not in states]
        estimate = ""
        if left and all(sure for _, sure in left):
            estimate = f", about {_in_words(sum(taken for taken, _ in left) / jobs)} left"
        print(f"{name}: {state} {more} ({len(states)} of {len(needs)}{estimate})", flush=True)
        sorter.done(name)  # however it ended: what needs it is told below

    try:
        while sorter.is_active():
            ready = sorted((*ready, *sorter.get_ready()), key=lambda name: -way[name])
            maybe = [name for name in ready if name not in changed]
            if len(maybe) >= ASK_FOR and looked_at < ran:
                looked_at, changed = ran, changed | look(file)[1]
            kept = [
                name for name in maybe if name not in changed and all(states[need] == "done" for need in needs[name])
            ]
            if looked_at == ran and kept:
                states |= dict.fromkeys(kept, "done")
                sorter.done(*kept)
                ready = [name for name in ready if name not in kept]
                print(
                    f"{len(kept)} item{'s' * (len(kept) > 1)} did not change ({len(states)} of {len(needs)})",
                    flush=True,
                )
                continue
            while ready and len(running) < jobs:
                if running and psutil.virtual_memory().available < MEMORY:
                    break
                name = ready.pop(0)
                if lost := [need for need in sorted(needs[name]) if states[need] != "done"]:
                    settle(name, "skipped", f"it needs {', '.join(lost)}")
                    continue
                path = logs / f"{name.replace('/', '_')}.log"
                path.unlink(missing_ok=True)
                log = path.open("a+b")  # appends always: the item shares the place in it with us, who read
                process = fork.Process(target=_repro, args=(dvc.cli.main, name, log.fileno(), os.getpid()))
                process.start()
                running.append(Running(name, process, log, time.monotonic()))
            time.sleep(LOOK_EVERY_S)
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                for item in running:
                    if last := _said(item.log)[-1:]:
                        print(f"  {item.name}, for {_in_words(said - item.began)}: {last[0]}", flush=True)
            for item in [one for one in running if not one.process.is_alive()]:
                running.remove(item)
                ran += 1
                took = time.monotonic() - item.began
                if item.process.exitcode == 0:
                    if not any(
                        "skipping" in line for line in _said(item.log)
                    ):  # DVC ran it, and found no reason not to
                        seconds[item.name] = round(took, 1)
                    settle(item.name, "done", f"in {_in_words(took)}")
                else:
                    settle(
                        item.name, "FAILED", f"in {_in_words(took)}, all that it said is in {item.log.name}; its end:"
                    )
                    lines = _said(item.log)[-LINES_SHOWN:]
                    print("\n".join(f"    {line}" for line in lines), flush=True)
                item.log.close()
    except Stopped:
        # Everything that runs ends: as after a Ctrl-C, then, what does not mind that, by force.
        for blow, wait_s in ((signal.SIGINT, STOPS_WITHIN_S), (signal.SIGKILL, 5.0)):
            for item in running:
                if item.process.is_alive():
                    os.killpg(item.process.pid, blow)
            give_up = time.monotonic() + wait_s
            while any(item.process.is_alive() for item in running) and time.monotonic() < give_up:
                time.sleep(LOOK_EVERY_S)
        for item in running:
            item.log.close()
            print(f"{item.name}: stopped", flush=True)
        raise
    finally:
        write_json(known, times)
    return states


def _repro(dvc: Callable[[list[str]], int], name: str, log: int, parent: int) -> None:
    """`dvc repro --single-item NAME` in a fork of this process, which has DVC imported."""
    # A session of its own, so that a Ctrl-C is told to it by us alone; and it dies with us.
    os.setsid()
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.exit(dvc(["--wait-for-lock", "repro", "--single-item", name]))


def _expected(name: str, seconds: Mapping[str, float]) -> tuple[float, bool]:
    """How long an item will take, and whether it or another one of its stage ever ran here."""
    if name in seconds:
        return seconds[name], True
    alike = [taken for other, taken in seconds.items() if other.partition("@")[0] == name.partition("@")[0]]
    return (sum(alike) / len(alike), True) if alike else (UNKNOWN_S, False)


def _said(log: IO[bytes]) -> list[str]:
    """The last lines of a log."""
    log.seek(max(0, os.fstat(log.fileno()).st_size - 20_000))
    return log.read().decode(errors="replace").rstrip().splitlines()


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _stop(number: int, frame: object) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    raise Stopped(128 + number)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends, however it ends.

    SIGTERM to `dvc repro` leaves its child running, and what an orphan writes would mix with the work of the next
    repro. SIGKILL is safe: outputs are written atomically and a run goes on from its checkpoint. The parent must be
    `dvc repro` itself: the commands in dvc.yaml begin with `exec`, since some shells would stay in between. Only Linux
    offers this; elsewhere it does nothing, and whoever kills `dvc repro` must kill the stage too. `parent` is its pid;
    None for whoever is the parent now.
    """
    if sys.platform != "linux":
        return
    parent = parent or os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(number)}")
    if os.getppid() != parent:  # it died before the kernel was told to watch it
        sys.exit("The process that started this stage is gone; run `dvc repro` again.")
