"""`python -m pipeline repro` does what `dvc repro` does, with several items of stages at once.

This process asks DVC what is changed and writes dvc.lock, and it alone. The items run in forks of it, in which JAX is
imported already. An item starts when all that it depends on is done, those first that most time depends on; if one
fails, only what depends on it is left out. No item outlives this process, except as a Job on a cluster. Outs and
dvc.lock do not depend on how many items run at once, and are those of `dvc repro`.
"""

import ctypes
import gc
import importlib
import json
import logging
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from pipeline.run import job, paths, phases
from pipeline.run.artifacts import atomic, write_json
from pipeline.run.flow import Flow

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_EVERY_S = 0.1
SAY_EVERY_S = 30.0  # what long items said last
# DVC takes half a second to read and write dvc.lock for each item. If this process is killed before one is noted, its
# outs come back from DVC's cache of runs.
NOTE_EVERY_S = 30.0
STOPS_WITHIN_S = 20.0
OWN = re.compile(r"exec python -m pipeline (\w+)(.*)")
OF_EVERY_ITEM = ("pipeline.cluster.execute", "pipeline.studies.headline")  # what it imports, by name as it does
OF_JOBS = ("pipeline.cluster.kubernetes", "mlflow")  # and what every item does that runs on a cluster
LINES_SHOWN = 15  # of an item that failed
UNKNOWN_S = 10.0  # an item of a stage that never ran here
MEMORY = 1.5 * 2**30  # bytes that must be free before another item starts: what the largest of the default profile take


class Running(NamedTuple):
    """A running item."""

    name: str
    stage: Any  # of DVC
    process: Any  # of multiprocessing
    log: IO[bytes]
    asked: float  # before DVC looked at what it reads
    began: float
    held: ExitStack  # its log, and DVC's locks on what it reads and writes


def main(jobs: int, file: Path) -> None:
    os.chdir(file.parent)
    Flow()  # a profile; and its files are parsed here, not once an item
    began_ms = time.time_ns() // 10**6
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of the commands' `python`
    # Not above: every stage imports this module, and stages need no DVC.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.index import Index
    from networkx import ancestors
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # a thread that DVC starts at the end of an interpreter would never start
    logging.getLogger("dvc").setLevel(logging.WARNING)  # our own lines say what runs
    try:
        with Repo(_wait_for_lock=True) as repo:
            graph = Index.from_file(repo, str(Path(file.name).absolute())).graph
            with repo.lock:
                _remove_if_torn(Path(str(repo.tmp_dir), "rwlock"))
                changed = [stage for stage in graph if stage.changed()]
            due = set(changed).union(*(ancestors(graph, stage) for stage in changed))  # what depends on them, too
            stages = {stage.addressing: stage for stage in graph if stage in due}
            needs = {name: {one.addressing for one in graph[stage] if one in due} for name, stage in stages.items()}
            os.environ["VSML_REPRO"] = uuid.uuid4().hex  # what its items say that they are part of
            states = run(repo, stages, needs, jobs) if due else {}
    except DvcException as error:
        sys.exit(f"DVC cannot go on in {Path.cwd()}: {error}")
    # Whether what is there now is what was published; studies are reached by name alone.
    lines = importlib.import_module("pipeline.studies.compare").after_repro(states, began_ms)
    # Runs that wait are taken up; one of them that cannot be taken up now is no failure of an item.
    subprocess.run([sys.executable, "-m", "pipeline", "uploads"], check=False)
    print(*lines, sep="\n", flush=True)
    if any(state != "done" for state in states.values()):
        sys.exit(1)


def run(repo: Any, stages: Mapping[str, Any], needs: Mapping[str, set[str]], jobs: int) -> dict[str, str]:
    """Run items, each after those that it needs, up to `jobs` at once; how each ended. `stages` are DVC's, by name.

    Raises:
      SystemExit: a signal came; nothing runs any more.
    """
    from dvc.exceptions import DvcException

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    logs = paths.JOBS / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    print(f"{len(needs)} items are due, up to {jobs} at once; what they say: {logs}", flush=True)

    # How long each took when it last ran, here or where the published results were made, and the longest way from its
    # start to the end of all.
    profile = paths.profile()
    published = _seconds(paths.ROOT / "docs" / Path(profile).name / "seconds.json")
    here: dict[str, float] = _seconds(paths.SECONDS).get(profile, {})
    way: dict[str, float] = {}
    for name in reversed(list(TopologicalSorter(needs).static_order())):
        after = max((way[other] for other, wanted in needs.items() if name in wanted), default=0.0)
        way[name] = (_expected(name, published | here) or UNKNOWN_S) + after

    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready: list[str] = []
    running: list[Running] = []
    compiled: set[str] = set()  # kinds of which an item has run
    states: dict[str, str] = {}
    kept: list[Any] = []  # stages of DVC that dvc.lock does not have yet
    said = noted = time.monotonic()

    def settle(name: str, state: str, more: str) -> None:
        states[name] = state
        left = [_expected(other, published | here) for other in needs if other not in states]
        known = [taken for taken in left if taken is not None]
        estimate = f", about {_in_words(sum(known) / jobs)} left" if known and len(known) == len(left) else ""
        print(f"{name}: {state} {more} ({len(states)} of {len(needs)}{estimate})", flush=True)
        sorter.done(name)  # however it ended: what needs it is told below

    try:
        while sorter.is_active():
            same = 0
            for name in sorter.get_ready():
                if lost := [need for need in sorted(needs[name]) if states[need] != "done"]:
                    settle(name, "skipped", f"it needs {', '.join(lost)}")
                    continue
                with repo.lock:
                    changed = stages[name].changed()
                if changed:
                    ready.append(name)
                else:  # what it needs has left the same as before
                    states[name], same = "done", same + 1
                    sorter.done(name)
            if same:
                print(f"{same} item{'s' * (same > 1)} did not change ({len(states)} of {len(needs)})", flush=True)
            while ready and len(running) < jobs:
                if running and not _elsewhere() and psutil.virtual_memory().available < MEMORY:
                    break
                # Seeds share compiled programs: until one has left them to the others, these come last.
                compiling = {kind(item.name) for item in running} - compiled
                name = min(ready, key=lambda name: (kind(name) in compiling, -way[name]))
                ready.remove(name)
                try:
                    started = _start(repo, stages[name], logs / f"{name.replace('/', '_')}.log")
                except (DvcException, FileNotFoundError) as error:  # a dep that no item makes and that is not there
                    settle(name, "FAILED", f"before it ran: {error}")
                    continue
                if started is None:
                    kept.append(stages[name])
                    settle(name, "done", "as it was left before, from DVC's cache")
                else:
                    running.append(started)
            if running:
                time.sleep(LOOK_EVERY_S)
            if kept and time.monotonic() - noted > NOTE_EVERY_S:
                noted = time.monotonic()
                try:
                    _note(repo, kept)
                except DvcException as error:  # such as a dvc.lock in which git has left a conflict
                    print(f"dvc.lock cannot be written, and will be tried again: {error}", flush=True)
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                for item in running:
                    last = [*_said(item.log), "it has said nothing yet"][-2:][0]
                    print(f"  {item.name}, for {_in_words(said - item.began)}: {last}", flush=True)
            for item in [one for one in running if not one.process.is_alive()]:
                running.remove(item)
                took, whole, problem = time.monotonic() - item.began, item.process.exitcode == 0, ""
                with repo.lock:
                    try:
                        if whole:
                            _keep(item.stage)
                            kept.append(item.stage)
                    except (DvcException, FileNotFoundError) as error:  # an out is not there
                        whole, problem = False, f"{error} "
                    lines = [f"    {line}" for line in _said(item.log)[-LINES_SHOWN:]]
                    item.held.close()
                if whole:
                    here[item.name] = round(took, 1)
                    phases.add_starting(item.name, time.monotonic() - item.asked)
                    compiled.add(kind(item.name))
                    settle(item.name, "done", f"in {_in_words(took)}")
                else:
                    where = f"all that it said is in {item.log.name}; its end:"
                    settle(item.name, "FAILED", f"in {_in_words(took)}: {problem}{where}")
                    print("\n".join(lines), flush=True)
    except BaseException:
        # Everything that runs ends, as on a full disk: as after a Ctrl-C, then, what does not mind that, by force.
        for blow, wait_s in ((signal.SIGINT, STOPS_WITHIN_S), (signal.SIGKILL, 5.0)):
            alive = [item.process for item in running if item.process.is_alive()]
            for process in alive:
                try:
                    os.killpg(process.pid, blow)
                except ProcessLookupError:  # it has no session of its own yet
                    process.kill()
            give_up = time.monotonic() + wait_s
            for process in alive:
                process.join(max(0.0, give_up - time.monotonic()))
        for item in running:
            print(f"{item.name}: stopped", flush=True)
            with suppress(OSError), repo.lock:  # on a full disk; what stopped us is what is to be told
                item.held.close()
        raise
    finally:
        try:
            _note(repo, kept)
        finally:
            write_json(paths.SECONDS, _seconds(paths.SECONDS) | {profile: here})  # of other profiles what is there now
    return states


def _remove_if_torn(locks: Path) -> None:
    """Remove DVC's list of what is read and written, if it is torn: it writes it in place, also on a full disk."""
    if locks.exists():
        try:
            json.loads(locks.read_bytes())
        except ValueError:
            locks.unlink()


def _start(repo: Any, stage: Any, path: Path) -> Running | None:
    """Start an item as DVC does, but in a fork of this process; None if DVC has its outs from an earlier run.

    Raises:
      DvcException, FileNotFoundError: a dep is missing.
    """
    from dvc.rwlock import rwlock
    from dvc.stage.cache import RunCacheNotFoundError

    reads, writes = ([one.fs_path for one in some] for some in (stage.deps, stage.outs))
    hard = repo.config["core"].get("hardlink_lock", False)
    asked = time.monotonic()
    with repo.lock, ExitStack() as stack:
        stack.enter_context(rwlock(repo.tmp_dir, repo.fs, " ".join(sys.argv), reads, writes, hard))
        stage.remove_outs(ignore_remove=False, force=False)
        try:
            repo.stage_cache.restore(stage)
            return _keep(stage)
        except RunCacheNotFoundError:
            stage.save_deps()
        held = stack.pop_all()
    phases.file(stage.addressing).unlink(missing_ok=True)
    if own := OWN.fullmatch(stage.cmd):  # here, and not once an item
        stages = (one.module for name, one in job.stages().items() if name == own[1])
        for module in (*OF_EVERY_ITEM, *(OF_JOBS if _elsewhere() else stages)):
            importlib.import_module(module)
    path.unlink(missing_ok=True)
    log = held.enter_context(path.open("a+b"))  # appends always: the item shares the place in it with us, who read
    sys.stdout.flush()
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_item, args=(stage.cmd, log.fileno(), os.getpid()), daemon=True)
    process.start()
    return Running(stage.addressing, stage, process, log, asked, time.monotonic(), held)


def _keep(stage: Any) -> None:
    """Have DVC, whose lock is held, keep the outs of an item.

    Raises:
      DvcException, FileNotFoundError: an out is missing.
    """
    stage.save(run_cache=True)
    stage.commit()


def _note(repo: Any, kept: list[Any]) -> None:
    """Write items that DVC has kept into dvc.lock, all of which are of one.

    DVC writes a file in place, and half of it would be no dvc.lock: so it writes a copy.

    Raises:
      DvcException: the file cannot be read or written; all stay to be noted.
    """
    from dvc.dvcfile import LOCK_FILE, Lockfile

    if kept:
        own = Path(LOCK_FILE)
        with repo.lock, atomic(own) as copy:
            if own.exists():
                shutil.copyfile(own, copy)
            Lockfile(repo, str(copy)).dump_stages(kept)
        kept.clear()


def _item(command: str, log: int, parent: int) -> None:
    """Run the command of an item, in a fork of this process."""
    # A session of its own, so that a Ctrl-C is told to it by us alone; and it dies with us.
    os.setsid()
    gc.freeze()  # a collection would write to all that is shared with us, and so make it our own
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if own := OWN.fullmatch(command):
        importlib.import_module("pipeline.__main__").main([own[1], *own[2].split()])
    else:
        os.execl("/bin/sh", "sh", "-c", command)


def _elsewhere() -> bool:
    """Whether items run as Jobs, which take no memory here."""
    return os.environ.get("PIPELINE_EXECUTOR") == "kubernetes"


def _seconds(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _expected(name: str, seconds: Mapping[str, float]) -> float | None:
    """How long an item will take; None if neither it nor another one of its stage ever ran."""
    alike = [taken for other, taken in seconds.items() if other.partition("@")[0] == name.partition("@")[0]]
    return seconds.get(name, sum(alike) / len(alike) if alike else None)


def kind(name: str) -> str:
    """What all seeds of an item are: `meta_train@vsml` of `meta_train@vsml-0`."""
    return re.sub(r"[@-]\d+$", "", name)


def _said(log: IO[bytes]) -> list[str]:
    """The last lines of a log."""
    log.seek(max(0, os.fstat(log.fileno()).st_size - 20_000))
    return log.read().decode(errors="replace").rstrip().splitlines()


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _stop(number: int, frame: object) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    sys.exit(128 + number)


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
