"""Runs as users make them: real stages, real stores, a real server, and uploaders that are killed."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import time
from pathlib import Path
from unittest import mock

import pytest

from pipeline.__main__ import main
from pipeline.run import artifacts, paths
from pipeline.track import store, tracking, uploads
from tests.servers import free_port, mlflow_server, until

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own store
OUT = "artifacts/test_data/iris.npz"
# A run that follows a curve, as a stage does that goes on from a checkpoint, and that a test can stop where it likes.
CURVED = """
import sys, time
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.track import tracking
rows, ends, resumed = int(sys.argv[1]), sys.argv[2] == "ends", sys.argv[3:]
provenance.main()
with tracking.run(provenance.job("test_data", ("iris",))) as run:
    if resumed:
        run.resume(*resumed)
    run.follow({"loss": [float(step) for step in range(rows)]})
    print(run.id, flush=True)
    while not ends:
        time.sleep(0.02)
    artifacts.write_text(paths.test_data("iris"), "made")
"""
# Runs each of which reads what the one before it left.
CHAIN = """
from pathlib import Path
from pipeline.run import artifacts
from pipeline.run import job as provenance
from pipeline.track import tracking
provenance.main()
job, reads = provenance.job("test_data", ("iris",)), ()
for number in range({runs}):
    out = Path(f"artifacts/chain/{{number}}.npz")
    deps = job.deps | {{path.as_posix(): artifacts.sha256_file(path) for path in reads}}
    flow = job.flow._replace(deps=(*job.flow.deps, *map(str, reads)), outs=(out.as_posix(),))
    with tracking.run(job._replace(item=(str(number),), flow=flow, deps=deps)) as run:
        run.follow({{"loss": [float(step) for step in range({rows})]}})
        artifacts.write_text(out, f"number {{number}}")
    reads = (out,)
"""
# The run of a repro that they are part of.
REPRO = """
manifest = {"stage": "repro", "item": [], "fingerprint": "all of it", "deps": {}, "outs": {}}
begin = {"name": "repro", "tags": {"stage": "repro"}, "began_ms": 1}
tracking.whole("0" * 32, begin, {"status": "FINISHED", "manifest": manifest})
"""


@pytest.fixture
def clone(small):
    """Its runs stay on disk until they are taken up."""
    return small


@pytest.fixture
def take_up(clone, empty_store, monkeypatch, capsys):
    """What `python -m pipeline uploads` does in a clone with a store: exit status and stderr. This process does it,
    which has imported MLflow already."""
    shutil.copy(empty_store, clone.root)
    for name in ("RUNS", "MLFLOW_DATABASE", "MLFLOW_ARTIFACTS"):
        monkeypatch.setattr(paths, name, clone.root / getattr(paths, name).name)
    for module in (store, uploads):
        monkeypatch.setattr(module, "IN_REPOSITORY", f"sqlite:///{paths.MLFLOW_DATABASE}")

    def call(*words, **env):
        status = 0
        with mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": "", **env}):
            try:
                main(["uploads", *words])
            except SystemExit as end:
                status = end.code
        return status, capsys.readouterr().err

    return call


def _ask(root, words, *values):
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as store:
        return store.execute(words, values).fetchall()


def _runs(root):
    names = "run_uuid, name, status, artifact_uri"
    return _ask(root, f"select {names} from runs where lifecycle_stage = 'active' order by name")


def _tags(root, run):
    return dict(_ask(root, "select key, value from tags where run_uuid = ?", run))


def _steps(root, run):
    return [step for (step,) in _ask(root, "select step from metrics where run_uuid = ? order by step", run)]


def _end(process):
    """How a process ended, and its stderr."""
    _, error = process.communicate(timeout=180)
    return process.returncode, error


def _folder(uri):
    return Path(uri.removeprefix("file://").replace("%20", " "))


def _waiting(root):
    """The runs on disk."""
    return [path for path in (root / ".runs").glob("*") if path.is_dir()]


def test_two_at_once_on_a_new_store_all_leave_a_whole_run(clone):
    sets = ("iris", "wine")
    started = [clone.start("python", "-m", "pipeline", "test_data", name, VSML_UPLOAD="now") for name in sets]
    ended = [_end(process) for process in started]
    assert not any(status for status, _ in ended), ended
    runs = _runs(clone.root)
    assert [(name, status) for _, name, status, _ in runs] == [(f"test_data {name}", "FINISHED") for name in sets]
    assert not _waiting(clone.root)

    run, _, _, uri = runs[0]
    folder = _folder(uri)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["outs"] == {OUT: artifacts.sha256_file(clone.root / OUT)}
    assert artifacts.sha256_file(folder / "outs" / OUT) == manifest["outs"][OUT]
    for name, digest in manifest["deps"].items():
        assert artifacts.sha256_file(clone.root / name) == artifacts.sha256_file(folder / "deps" / name) == digest

    tags = _tags(clone.root, run)
    assert (tags["stage"], tags["set"], tags["tree"]) == ("test_data", "iris", "clean")
    assert tags["commit"] == clone.run("git", "rev-parse", "HEAD").strip()
    assert tags["fingerprint"] == manifest["fingerprint"]
    assert tags[f"sha256.{manifest['outs'][OUT]}"] == f"outs/{OUT}"
    assert {"params_digest", "device", "version.jax", "version.pillow"} <= tags.keys()


def test_a_stage_that_fails_says_why_and_its_run_is_failed(clone, take_up):
    with (clone.root / "pipeline/data/sources.py").open("a") as file:
        file.write("\n\ndef read(name, split):\n    raise ValueError('the file is torn')\n")
    status, error = _end(clone.start("python", "-m", "pipeline", "test_data", "iris"))
    assert status == 1 and "the file is torn" in error and take_up()[0] == 0
    ((run, _, status, _),) = _runs(clone.root)
    assert (status, _tags(clone.root, run)["tree"]) == ("FAILED", "dirty")
    assert not (clone.root / OUT).exists()


def test_an_interrupted_stage_is_killed_and_an_unknown_way_to_upload_refused(clone, take_up):
    process = clone.start("python", "-c", CURVED, "3", "waits")
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)
    take_up()
    ((run, _, status, uri),) = _runs(clone.root)
    assert (status, _steps(clone.root, run)) == ("KILLED", [1, 2, 3])
    assert not list(_folder(uri).rglob("*")), "no deps, no outs"

    status, error = _end(clone.start("python", "-m", "pipeline", "test_data", "iris", VSML_UPLOAD="soon"))
    assert status == 1 and "VSML_UPLOAD is 'soon', expected one of ['background', 'now', 'later']" in error
    assert not (clone.root / OUT).exists()


def test_a_repro_is_a_run_above_those_of_its_items(clone, empty_store):
    shutil.copy(empty_store, clone.root)
    clone.run("python", "-m", "pipeline", "repro")
    (parent, *_), *children = _runs(clone.root)
    assert [name for _, name, _, _ in children] == ["test_data iris", "test_data wine"]
    parents = {_tags(clone.root, run)["mlflow.parentRunId"] for run, *_ in children}
    assert parents == {parent} and "mlflow.parentRunId" not in _tags(clone.root, parent)
    tags = _tags(clone.root, parent)
    commit = clone.run("git", "rev-parse", "HEAD").strip()
    assert (tags["stage"], tags["mlflow.source.git.commit"]) == ("repro", commit)
    assert tags["mlflow.note.content"] == "- 3 of 3 items are done."
    counts = dict(_ask(clone.root, "select key, value from metrics where run_uuid = ?", parent))
    assert counts == {"items/done": 3, "items/FAILED": 0, "items/skipped": 0}
    clone.run("python", "-m", "pipeline", "repro")
    assert len(_runs(clone.root)) == 3  # nothing ran
    both = {"PYTHONPATH": f"{clone.root}:{paths.ROOT}"}
    rows = [row.split(" | ") for row in clone.run("python", "-m", "benchmarks", "--items", ".", **both).splitlines()]
    assert [row[1] for row in rows if row[0] == "| test_data"] == ["2"]


def _uploader(root):
    """The process id of the newest uploader that a stage has started."""
    log = root / ".runs/uploader.log"
    return int(until(lambda: log.exists() and re.findall(r"Process (\d+) takes runs up", log.read_text()), "one")[-1])


def _stop_uploader(root):
    """Kill it, and one that a moment ago was started beside it and takes its place, until the kernel frees the lock."""

    def stopped():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(_uploader(root), signal.SIGKILL)
        return tracking.lock(root / ".runs/uploader.lock")

    os.close(until(stopped, "the end of the uploader"))


@pytest.mark.slow
def test_an_uploader_in_a_fresh_clone_ends_when_it_has_had_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "state/.runs")
    monkeypatch.setattr(uploads, "STAYS_IDLE_S", 0.0)
    monkeypatch.setattr(os, "nice", lambda by: None)
    main(["uploads", "--stay"])


def test_a_server_is_used_where_named_and_not_waited_for_where_away(clone, tmp_path):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    tries = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "VSML_UPLOAD": "now"}
    whence = ("python", "-m", "pipeline", "whence", "artifacts/test_data/wine.npz")
    status, error = _end(clone.start("python", "-m", "pipeline", "test_data", "wine", **tries))
    assert status == 0 and f"MLflow at {uri} does not answer" in error and "Runs that wait for it in" in error
    status, error = _end(clone.start(*whence, **tries))
    assert status == 2 and f"MLflow at {uri} does not answer" in error

    with mlflow_server(tmp_path, port=port):
        secret = tries | {"MLFLOW_TRACKING_URI": f"http://user:password@127.0.0.1:{port}"}
        clone.run("python", "-m", "pipeline", "test_data", "iris", **secret | {"VSML_UPLOAD": "later"})
        (begin,) = [(path / "begin.json").read_text() for path in _waiting(clone.root) if "iris" in _name(path)]
        assert f'"uri": "{uri}"' in begin and "password" not in begin
        assert "These are the very bytes that a run left." in clone.run(*whence, **tries)
    assert not (clone.root / "mlflow.db").exists() and not _waiting(clone.root)
    outs = [json.loads(path.read_text())["outs"] for path in (tmp_path / "served").rglob("manifest.json")]
    assert {name for left in outs for name in left} == {OUT, "artifacts/test_data/wine.npz"} and len(outs) == 2


def _name(folder):
    return json.loads((folder / "begin.json").read_text())["name"]


def test_a_server_that_never_answers_costs_a_stage_nothing_and_the_run_can_go_elsewhere(clone, take_up):
    code = "import sys; from pipeline.__main__ import main; main(['plan']); main(['test_data', 'iris'])"
    code += "; print(*sys.modules)"
    with socket.socket() as silent:  # takes connections, and says nothing for as long as MLflow's client waits
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        loaded = clone.run("python", "-c", code, MLFLOW_TRACKING_URI=uri, VSML_UPLOAD="background").split()
        took_s = time.monotonic() - began
        _stop_uploader(clone.root)
        assert took_s < 40, "MLflow's client would wait for 20 s, four times"
        assert "pipeline.track.tracking" in loaded, "a stage writes its run"
        assert not {"mlflow", "pipeline.track.store", "pipeline.track.uploads"} & set(loaded), "and imports no MLflow"
        haste = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
        status, error = take_up(MLFLOW_TRACKING_URI=uri, **haste)
    assert status == 1 and f"MLflow at {uri} does not answer" in error and "Runs that wait for it in" in error

    _, error = take_up()
    assert f"Runs that wait for another MLflow, at {uri}: 1." in error and "uploads --here" in error
    assert len(_waiting(clone.root)) == 1
    take_up("--here")
    ((_, name, status, uri),) = _runs(clone.root)
    assert (name, status) == ("test_data iris", "FINISHED") and not _waiting(clone.root)
    assert (_folder(uri) / "outs" / OUT).read_bytes() == (clone.root / OUT).read_bytes()


@pytest.mark.slow
def test_a_run_whose_files_mlflow_refuses_does_not_seem_to_run_and_is_taken_up_later(clone):
    (clone.root / "mlartifacts").write_text("a file where the folder should be")
    _, error = _end(clone.start("python", "-m", "pipeline", "test_data", "iris", VSML_UPLOAD="now"))
    assert "mlartifacts" in error and "Runs that wait for it in" in error and len(_waiting(clone.root)) == 1
    assert [status for _, _, status, _ in _runs(clone.root)] == ["FAILED"]
    (clone.root / "mlartifacts").unlink()
    clone.run("python", "-m", "pipeline", "uploads")
    assert [status for _, _, status, _ in _runs(clone.root)] == ["FINISHED"] and not _waiting(clone.root)


@pytest.mark.slow
def test_uploaders_killed_at_any_moment_lose_and_double_nothing_and_runs_are_tied_in_order(clone):
    """Four runs, each made from what the one before it left, whose outs here are other ones by now."""
    runs, rows = 4, 3000
    code = CHAIN.format(runs=runs, rows=rows)
    clone.run("python", "-c", code)
    shutil.rmtree(clone.root / "artifacts")
    began = {_name(path): tracking.read(path, tracking.BEGIN)["began_ms"] for path in _waiting(clone.root)}
    assert not (clone.root / "mlflow.db").exists() and len(began) == runs
    clone.run("python", "-m", "pipeline", "test_data", "wine")  # makes no store either

    def progress():
        with contextlib.suppress(sqlite3.OperationalError):  # no table yet, or it is locked
            files = sum(1 for path in (clone.root / "mlartifacts").rglob("*") if path.is_file())
            return files + _ask(clone.root, "select count(*) from metrics")[0][0]
        return 0

    for _ in range(4):
        seen, uploader = progress(), clone.start("python", "-m", "pipeline", "uploads")
        give_up = time.monotonic() + 180
        while progress() == seen and uploader.poll() is None and time.monotonic() < give_up:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.25))
        uploader.kill()
        uploader.communicate()
        print(f"killed with {progress()} rows and files there, {len(_waiting(clone.root))} folders here")
    clone.run("python", "-m", "pipeline", "uploads")

    assert not _waiting(clone.root)
    *chain, other = _runs(clone.root)
    assert other[1:3] == ("test_data wine", "FINISHED")
    assert [run[1:3] for run in chain] == [(f"test_data {number}", "FINISHED") for number in range(runs)]
    above = None
    for number, (run, name, _, uri) in enumerate(chain):
        assert _steps(clone.root, run) == list(range(1, rows + 1))
        out, tags = f"artifacts/chain/{number}.npz", _tags(clone.root, run)
        assert (_folder(uri) / "outs" / out).read_text() == f"number {number}"
        manifest = json.loads((_folder(uri) / "manifest.json").read_text())
        assert tags[f"sha256.{manifest['outs'][out]}"] == f"outs/{out}"
        for dep, digest in manifest["deps"].items():
            assert artifacts.sha256_file(_folder(uri) / "deps" / dep) == digest
        made_from = {key: value for key, value in tags.items() if key.startswith("made_from.")}
        assert made_from == ({f"made_from.artifacts/chain/{number - 1}.npz": above} if number else {})
        ((start,),) = _ask(clone.root, "select start_time from runs where run_uuid = ?", run)
        assert start == began[name], "when it ran, not when it was taken up"
        above = run


def test_runs_are_tied_in_order_when_the_clock_is_set_back_between_their_ends(clone, take_up):
    clone.run("python", "-c", CHAIN.format(runs=3, rows=1) + REPRO, VSML_REPRO="all of it")
    for path in _waiting(clone.root):
        ended, began = (json.loads((path / name).read_text()) for name in ("end.json", "begin.json"))
        hour = {"test_data 0": 4, "test_data 1": 3, "test_data 2": 2, "repro": 1}[began["name"]]
        (path / "end.json").write_text(json.dumps(ended | {"ended_ns": hour * 3600 * 10**9}))
    for name, text in (("broken", "{"), ("poor", '{"uri": ""}')):
        (clone.root / ".runs" / name).mkdir()
        (clone.root / ".runs" / name / "begin.json").write_text(text)
    status, error = take_up()
    assert status == 0 and f"{clone.root}/.runs/broken cannot be taken up" in error
    assert error.count(f"{clone.root}/.runs/poor cannot be taken up and stays where it is: begin.json must hold ") == 1
    repro, *chain = [run for run, *_ in _runs(clone.root)]
    for number, run in enumerate(chain):
        tags = _tags(clone.root, run)
        made_from = [value for key, value in tags.items() if key.startswith("made_from.")]
        assert made_from == ([chain[number - 1]] if number else []) and tags["mlflow.parentRunId"] == repro


def test_a_run_that_is_damaged_does_not_seem_to_run_and_keeps_no_other_waiting(clone, take_up):
    clone.run("python", "-c", CHAIN.format(runs=2, rows=3))
    (torn,) = [path for path in _waiting(clone.root) if _name(path) == "test_data 0"]
    (torn / "curve.jsonl").write_text('[1, {"loss"\n')
    status, error = take_up()
    assert status == 0 and f"{torn} cannot be taken up" in error and _waiting(clone.root) == [torn]
    ends = [(name, status) for _, name, status, _ in _runs(clone.root)]
    assert ends == [("test_data 0", "FAILED"), ("test_data 1", "FINISHED")]


@pytest.mark.parametrize("taken_up_meanwhile", [True, False])
def test_a_killed_run_that_is_resumed_goes_on_in_the_same_run(clone, take_up, taken_up_meanwhile):
    process = clone.start("python", "-c", CURVED, "5", "waits")
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    take_up()
    assert len(_waiting(clone.root)) == 1, "it goes on"
    process.kill()
    process.communicate()
    if taken_up_meanwhile:
        take_up()
        ((run, _, status, _),) = _runs(clone.root)
        assert (status, _steps(clone.root, run)) == ("KILLED", [1, 2, 3, 4, 5]) and not _waiting(clone.root)
    assert clone.run("python", "-c", CURVED, "9", "ends", first).split() == [first]
    assert take_up()[0] == 0 and not _waiting(clone.root)
    ((again, _, status, _),) = _runs(clone.root)
    assert (status, _steps(clone.root, again)) == ("FINISHED", list(range(1, 10)))
    assert _tags(clone.root, again)["resumed"] == "true" and (not taken_up_meanwhile or again == run)


def test_a_curve_goes_up_while_it_grows_whatever_happens_to_the_uploader(clone, empty_store):
    shutil.copy(empty_store, clone.root)
    stage = clone.start("python", "-c", CURVED, "4", "waits", VSML_UPLOAD="background")
    try:
        until(lambda: _shown(clone.root), "the curve in MLflow")
        ((run, _, status, _),) = _runs(clone.root)
        assert (status, _steps(clone.root, run), stage.poll()) == ("RUNNING", [1, 2, 3, 4], None)
        uploader = _uploader(clone.root)
        _stop_uploader(clone.root)
        stage.send_signal(signal.SIGINT)
        stage.communicate(timeout=180)
        until(lambda: not _waiting(clone.root), "the upload by the next one")
        assert _uploader(clone.root) != uploader
        ((again, _, status, _),) = _runs(clone.root)
        assert (again, status, _steps(clone.root, run)) == (run, "KILLED", [1, 2, 3, 4])
    finally:
        stage.kill()
        stage.communicate()
        _stop_uploader(clone.root)


def _shown(root):
    return [run for run, *_ in _runs(root) if len(_steps(root, run)) == 4]
