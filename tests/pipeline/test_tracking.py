"""Runs as users make them: real stages, real stores, a real server."""

import contextlib
import json
import socket
import sqlite3
import time
import urllib.request
from pathlib import Path

from pipeline import artifacts


def _runs(root):
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as store:
        names = "run_uuid, name, status, artifact_uri"
        return store.execute(f"select {names} from runs where lifecycle_stage = 'active' order by name").fetchall()


def _tags(root, run):
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as store:
        return dict(store.execute("select key, value from tags where run_uuid = ?", (run,)))


def test_four_at_once_on_a_new_store_all_leave_a_whole_run(clone):
    sets = ("breast_cancer", "digits", "iris", "wine")
    started = [clone.start("python", "-m", "pipeline", "test_data", name) for name in sets]
    for process in started:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, out + error
    runs = _runs(clone.root)
    assert [(name, status) for _, name, status, _ in runs] == [(f"test_data {name}", "FINISHED") for name in sets]

    run, _, _, uri = runs[2]
    folder = Path(uri.removeprefix("file://").replace("%20", " "))
    manifest = json.loads((folder / "manifest.json").read_text())
    out = "artifacts/test_data/iris.npz"
    assert manifest["outs"] == {out: artifacts.sha256_file(clone.root / out)}
    assert artifacts.sha256_file(folder / "outs" / out) == manifest["outs"][out]
    for name, digest in manifest["deps"].items():
        assert artifacts.sha256_file(clone.root / name) == artifacts.sha256_file(folder / "deps" / name) == digest

    tags = _tags(clone.root, run)
    assert (tags["stage"], tags["set"], tags["tree"]) == ("test_data", "iris", "clean")
    assert tags["commit"] == clone.run("git", "rev-parse", "HEAD").strip()
    assert tags["fingerprint"] == manifest["fingerprint"]
    assert {"params_digest", "device", "version.jax", "version.numpy"} <= tags.keys()


def test_a_stage_that_fails_says_why_and_its_run_is_failed(clone):
    (clone.root / "pipeline/sources/__init__.py").write_text(
        "def read(name, split):\n    raise ValueError('the file is torn')\n"
    )
    process = clone.start("python", "-m", "pipeline", "test_data", "iris")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and "the file is torn" in error
    ((run, _, status, _),) = _runs(clone.root)
    assert (status, _tags(clone.root, run)["tree"]) == ("FAILED", "dirty")
    assert not (clone.root / "artifacts").exists()


def test_a_server_is_used_where_named_and_missed_where_away(clone, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    tries = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    away = clone.start("python", "-m", "pipeline", "test_data", "iris", **tries)
    _, error = away.communicate(timeout=60)
    assert away.returncode == 1
    assert f"MLflow at {uri} does not answer" in error and "run the same command again" in error

    store = ("--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", f"{tmp_path}/served")
    lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # starts faster
    server = clone.start("mlflow", "server", "--port", str(port), "--workers", "1", *store, **lean)
    try:
        give_up = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health"):
                break
            assert time.monotonic() < give_up and server.poll() is None, "the server did not start"
            time.sleep(0.2)
        clone.run("python", "-m", "pipeline", "test_data", "iris", **tries)
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert not (clone.root / "mlflow.db").exists()
    (manifest,) = (tmp_path / "served").rglob("manifest.json")
    assert json.loads(manifest.read_text())["outs"].keys() == {"artifacts/test_data/iris.npz"}
