"""A thousand items, a server that is killed twenty times, and a disk that fills up ten times: nothing is lost.

pytest -n 0 -s -m load tests/pipeline/run/test_load.py    prints times and memory
"""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import psutil
import pytest

from pipeline.run.params import read_yaml
from tests.servers import free_port, mlflow_server

THOUSAND = """
stages:
  one:
    matrix: {number: NUMBERS}
    cmd: exec python -SEc pass one ${item.number} > out-${item.number}
    outs: ["out-${item.number}"]
"""
# As many runs as there are numbers, written to disk as stages do.
RUNS = """
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.track import tracking
provenance.main()
job = provenance.job("test_data", ("iris",))
for number in range(1000):
    out = f"artifacts/test_data/{number}.npz"
    with tracking.run(job._replace(item=(str(number),), flow=job.flow._replace(outs=(out,)))):
        artifacts.write_text(out, f"number {number}")
"""


def _followed(clone, *command, **env):
    """What a command says, how long it takes in s, and the most memory that it and what it starts takes in MB."""
    began, most = time.monotonic(), 0
    process = clone.start(*command, **env)
    own = psutil.Process(process.pid)
    with ThreadPoolExecutor(1) as pool:  # a pipe that nobody reads stops who writes
        said = pool.submit(process.communicate)
        while not said.done():
            with contextlib.suppress(psutil.NoSuchProcess):
                most = max(most, sum(one.memory_full_info().pss for one in (own, *own.children(recursive=True))))
            time.sleep(0.5)
        out, error = said.result()
    assert process.returncode == 0, out + error
    return out, time.monotonic() - began, most / 1e6


@pytest.fixture
def small(clone, write_params):
    """A clone whose flow is data alone."""
    flow = read_yaml(clone.root / "dvc.yaml")
    flow["stages"] = {name: flow["stages"][name] for name in ("plan", "train_data", "test_data")}
    write_params(clone.root / "dvc.yaml", flow)
    return clone


def _finished(uri):
    """How many runs of items the store has, by name; all of them have ended, and well."""
    runs = mlflow.MlflowClient(uri).search_runs(["1"], max_results=5000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    names = [str(run.info.run_name) for run in runs]
    return [name for name in names if not name.startswith("repro")]


@pytest.mark.load
def test_a_thousand_items_are_made_and_noted(clone, capsys):
    (clone.root / "dvc.yaml").write_text(THOUSAND.replace("NUMBERS", str(list(range(1000)))))
    out, seconds, memory = _followed(clone, "python", "-m", "pipeline", "repro", "--jobs", "4")
    assert "1000 of 1000 items are done." in out.splitlines()
    assert len(read_yaml(clone.root / "dvc.lock")["stages"]) == len(list(clone.root.glob("out-*"))) == 1000
    again, idle, _ = _followed(clone, "python", "-m", "pipeline", "repro", "--jobs", "4")
    assert "Data and pipelines are up to date." in again
    with capsys.disabled():
        print(f"\n1,000 items: {seconds:.0f} s, {memory:.0f} MB; with nothing to do {idle:.1f} s")


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own store
@pytest.mark.load
def test_a_thousand_runs_are_taken_up(clone, capsys):
    _, written, _ = _followed(clone, "python", "-c", RUNS)
    _, seconds, memory = _followed(clone, "python", "-m", "pipeline", "uploads")
    names = _finished(f"sqlite:///{clone.root}/mlflow.db")
    assert sorted(names) == sorted(f"test_data {number}" for number in range(1000))
    assert not list((clone.root / ".runs").glob("*/begin.json"))
    with capsys.disabled():
        print(f"\n1,000 runs: written in {written:.0f} s, taken up in {seconds:.0f} s with {memory:.0f} MB")


@pytest.mark.load
def test_a_server_killed_twenty_times_loses_no_run(small, tmp_path, capsys):
    port, chance, kills, began = free_port(), random.Random(0), 0, time.monotonic()
    env = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "VSML_UPLOAD": "background"}
    with contextlib.ExitStack() as going:
        server = going.enter_context(contextlib.ExitStack())
        server.enter_context(mlflow_server(tmp_path, port=port))
        repro = small.start("python", "-m", "pipeline", "repro", "--jobs", "2", **env)
        while kills < 20:
            time.sleep(chance.uniform(0.0, 2.0))
            for process in psutil.process_iter(["cmdline"]):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if f"--port={port}" in (process.info["cmdline"] or []):
                        for one in (*process.children(recursive=True), process):
                            one.kill()
            with contextlib.suppress(AssertionError, ProcessLookupError):
                server.close()
            kills += 1
            server.enter_context(mlflow_server(tmp_path, port=port))
        out, error = repro.communicate(timeout=300)
        assert repro.returncode == 0, out + error
        small.run("python", "-m", "pipeline", "uploads", **env)
        made = read_yaml(small.root / "dvc.lock")["stages"].keys() - {"plan"}
        assert sorted(_finished(env["MLFLOW_TRACKING_URI"])) == sorted(name.replace("@", " ") for name in made)
    with capsys.disabled():
        print(f"\nA server killed {kills} times: all {len(made)} runs whole after {time.monotonic() - began:.0f} s")


@pytest.fixture
def disk(tmp_path):
    """The folder of a file system of its own, and what sets its size."""
    (folder := tmp_path / "disk").mkdir()

    def mount(*options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", *options, "none", str(folder)], check=True, capture_output=True)

    try:
        mount()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NO FULL DISK WAS TRIED: only root mounts one ({error}); `unshare -rm` makes one root for that.")
    yield folder, lambda size: mount("-o", f"remount,size={size}")
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.load
def test_a_file_system_that_is_full_at_ten_sizes_damages_nothing(clone, tiny, disk, write_params, tmp_path, capsys):
    (folder, resize), chance, ends = disk, random.Random(0), []
    tiny["items"]["seeds"] = [0]
    write_params(clone.root / "params.yaml", tiny)
    flow = read_yaml(clone.root / "dvc.yaml")
    flow["stages"] = {name: flow["stages"][name] for name in ("plan", "train_data", "test_data", "meta_train")}
    write_params(clone.root / "dvc.yaml", flow)
    command, compiled = ("python", "-m", "pipeline", "repro", "--jobs", "2"), str(tmp_path / "compiled")

    def used() -> int:
        return (found := os.statvfs(folder)).f_frsize * (found.f_blocks - found.f_bfree)

    def left(root: Path) -> dict[Path, bytes]:
        files = [path for path in root.glob("artifacts/*_*/**/[!.]*") if path.is_file()]
        return {path.relative_to(root): path.read_bytes() for path in files}

    made = clone.copy(folder)
    before = used()
    made.run(*command, JAX_COMPILATION_CACHE_DIR=compiled)
    whole, most = left(made.root), used() - before
    for _ in range(10):
        shutil.rmtree(made.root)
        made = clone.copy(folder)
        resize(used() + int(chance.uniform(0, most)))
        process = made.start(*command, TMPDIR=str(folder), JAX_COMPILATION_CACHE_DIR=compiled)
        out, error = process.communicate(timeout=600)
        ends.append(process.returncode)
        assert "Traceback" not in out + error and (process.returncode == 0 or "full" in out + error), out + error
        resize(2**30)
        made.run(*command, JAX_COMPILATION_CACHE_DIR=compiled)
        assert left(made.root) == whole and "are up to date" in made.run(*command)
        with contextlib.closing(sqlite3.connect(made.root / "mlflow.db")) as store:
            runs = store.execute("select name, status from runs").fetchall()
        assert "RUNNING" not in {status for _, status in runs}
        assert {name for name, status in runs if status == "FINISHED"} >= {"train_data digits", "meta_train vsml 0"}
        assert not list((made.root / ".runs").glob("*/")), "all are taken up"
    assert sum(map(bool, ends)) > 0
    with capsys.disabled():
        print(f"\nA full file system, {most / 1e6:.1f} MB short at most: exit statuses {ends}; then the same bytes")


@pytest.mark.slow
def test_a_disk_full_at_any_moment_is_said_and_costs_nothing(small, capsys):
    chance, said = random.Random(0), []
    for _ in range(5):
        blocks = int(2 ** chance.uniform(0, 12))  # files of half a kB to two MB
        process = small.start("sh", "-c", f"ulimit -f {blocks}; exec python -m pipeline repro --jobs 2")
        error = process.communicate(timeout=120)[1]
        said.append(process.returncode)
        assert "Traceback" not in error, f"{blocks}: {error}"
        assert not [path for path in Path(small.root, "artifacts").rglob(".*.npz")], "half a file"
        for out_of_item in small.root.rglob("artifacts/*_data/*.npz"):
            out_of_item.unlink()
    assert any(said)
    small.run("python", "-m", "pipeline", "repro")
    assert "Data and pipelines are up to date." in small.run("python", "-m", "pipeline", "repro")
    with capsys.disabled():
        print(f"\nA disk full at 5 moments: exit statuses {said}; then all is made")
