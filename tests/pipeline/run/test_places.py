"""Checkouts, folders and stores in other places and states than one thinks: what runs is right, or refused."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.run import paths
from tests.pipeline.conftest import Clone

# One run goes to MLflow, another one waits to be taken there.
STAGES = """
import os
from pipeline.__main__ import main
main(["plan"])
os.environ["VSML_UPLOAD"] = "now"
main(["test_data", "iris"])
os.environ["VSML_UPLOAD"] = "later"
main(["test_data", "wine"])
"""
# Takes up what waits, in forks, each of which finds the store in another state.
TROUBLE = """
import contextlib, multiprocessing, resource, sqlite3, time
import mlflow
from pipeline.run import paths
from pipeline.track import store, uploads
fork = multiprocessing.get_context("fork")
held = fork.Event()
def hold():
    with contextlib.closing(sqlite3.connect(paths.MLFLOW_DATABASE)) as other:
        other.execute("begin exclusive")
        held.set()
        time.sleep(6)  # SQLite itself waits for 5 s
def take_up():
    try:
        uploads.main(here=False, stay=False)
    except store.TrackingError as error:
        print(error, flush=True)
def go(what, act=take_up):
    print(what, flush=True)
    process = fork.Process(target=act)
    process.start()
    process.join()
go("copied", store.Store)
whole = paths.MLFLOW_DATABASE.read_bytes()
for change in ("experiments set lifecycle_stage = 'deleted'", "alembic_version set version_num = '451aebb31d03'"):
    with contextlib.closing(sqlite3.connect(paths.MLFLOW_DATABASE)) as database, database:
        database.execute(f"update {change}")
    go(change)
    paths.MLFLOW_DATABASE.write_bytes(whole)
paths.MLFLOW_DATABASE.write_bytes(b"scrambled" * 1000)
go("scrambled")
paths.MLFLOW_DATABASE.unlink()
paths.MLFLOW_DATABASE.mkdir()
go("folder")
paths.MLFLOW_DATABASE.rmdir()
paths.MLFLOW_DATABASE.write_bytes(whole)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
go("disk full")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
fork.Process(target=hold).start()
held.wait()
go("locked")
"""
# The exit status and the sentence of each of the commands that it is given.
COMMANDS = """
import sys
from pipeline.__main__ import main
for words in sys.argv[1:]:
    try:
        main(words.split())
    except SystemExit as end:
        print(end.code, file=sys.stderr)
"""
IRIS = ("python", "-m", "pipeline", "test_data", "iris")


@pytest.fixture(scope="module")
def first_waiting(first_small, tmp_path_factory):
    """A clone with a run in MLflow, and another one that waits to be taken there."""
    made = first_small.copy(tmp_path_factory.mktemp("waiting"))
    made.run("python", "-c", STAGES)
    return made


@pytest.fixture
def waiting(first_waiting, tmp_path):
    return first_waiting.copy(tmp_path)


def _ask(root, query):
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as store, store:
        return store.execute(query).fetchall()


@pytest.fixture
def other(small):
    """A profile of that clone, whose code says that it runs. PYTHONPATH stands for the environment of another checkout,
    which is the one that is tested here."""
    splits = small.root / "pipeline/data/splits.py"
    text = splits.read_text()
    for first in ("    name, split", "    (name,), "):
        text = text.replace(first, f"    print('edited')\n{first}", 1)
    splits.write_text(text)
    made = Clone(small.root / "profiles/other")
    made.root.mkdir(parents=True)
    shutil.copy(small.root / "dvc.yaml", made.root)
    (made.root / "params.yaml").write_text((small.root / "params.yaml").read_text().replace("root: .", "root: ../.."))
    made.env |= small.env | {"PYTHONPATH": str(paths.ROOT)}
    return made


def _said(clone, code, *words, **env):
    """What a process says that runs this code, and ends well."""
    process = clone.start("python", "-c", code, *words, **env)
    said = "".join(process.communicate(timeout=100))
    assert process.returncode == 0, said
    return said


def _refused(clone, *command):
    process = clone.start("env", *command)
    _, error = process.communicate(timeout=60)
    assert process.returncode
    return error


def test_a_profile_runs_the_code_of_its_own_checkout_whatever_environment_is_active(small, other):
    assert "edited" in other.run(*IRIS)
    (begun,) = (small.root / ".runs").glob("*/begin.json")
    assert json.loads(begun.read_text())["tags"]["tree"] == "dirty"
    # as if to start again with PYTHONPATH had been in vain
    said = _said(other, COMMANDS, "plan", "audit", "replay test_data iris", VSML_CODE=str(small.root))
    assert said.count(f": This profile belongs to {small.root}, but the code that runs is") == 3


def test_code_that_is_not_what_the_plan_is_of_is_refused(small, other, tmp_path):
    """Another package under our name, first on the path; and what Python imports in the place of a module."""
    shutil.copytree(small.root / "vsml", tmp_path / "evil/vsml")
    small.run("python", "-m", "pipeline", "plan")
    path = f"PYTHONPATH={tmp_path / 'evil'}{os.pathsep}{small.root}"
    for words in (("plan",), ("test_data", "iris"), ("audit",)):
        error = _refused(other, path, "python", "-m", "pipeline", *words)
        assert f"the code that runs is that of {tmp_path / 'evil'}" in error
    for name in ("pipeline/data/sources/__init__.py", "pipeline/data/sources.abi3.so"):
        (path := small.root / name).parent.mkdir(exist_ok=True)
        path.touch()
        assert f"Python would run {path} in the place of pipeline/data/sources.py" in _refused(small, *IRIS)
        path.unlink()


@pytest.mark.slow
def test_an_experiment_in_a_copy_runs_the_copy_s_code_and_leaves_its_run_here(small, other):
    small.run("dvc", "repro", "--quiet")
    small.commit()
    again = ("--temp", "--set-param", "items.test_sets=[digits]")
    assert "edited" in other.run("dvc", "exp", "run", *again, VSML_UPLOAD="now")
    where = "artifact_uri like '" + (small.root / "mlartifacts").as_uri() + "/%'"
    assert ("test_data digits", "FINISHED") in _ask(small.root, f"select name, status from runs where {where}")


def test_a_repository_that_moves_takes_its_runs_along_wherever_it_goes(waiting):
    name = "50%20off, a?b#c ü"
    moved = Clone(waiting.root.with_name(name))
    shutil.move(waiting.root, moved.root)
    said = _said(moved, COMMANDS, "uploads", "whence artifacts/test_data/iris.npz")
    assert "These are the very bytes" in said
    uris = _ask(moved.root, "select artifact_uri from runs union select artifact_location from experiments")
    assert sum((moved.root / "mlartifacts").as_uri() in uri for (uri,) in uris) == 3, "two runs and their experiment"
    assert [path.name for path in moved.root.parent.iterdir()] == [name], "nothing is written elsewhere"


def test_trouble_with_the_local_store_is_said_with_its_own_remedy_and_loses_no_run(waiting):
    said, error = waiting.start("python", "-c", TROUBLE).communicate(timeout=100)
    assert "Traceback" not in error
    for words in (
        "Experiment vsml of MLflow at sqlite:///",
        "mlflow experiments restore -x 1",
        "out-of-date database schema",
        "'mlflow db upgrade sqlite:///",
        "disk full\nMLflow at sqlite:///",
        "file is not a database",
        "mlflow.db is no database that MLflow can use: unable to open database file. Move what is there away",
    ):
        assert words in said, said
    trouble, _, at_last = said.partition("\nlocked\n")
    assert trouble.count("\n") == 10 and "tries again" not in at_last, "a sentence each, and none at last"
    assert _ask(waiting.root, "select status from runs") == [("FINISHED",)] * 2


def test_a_password_in_an_address_is_in_no_text(waiting):
    (waiting.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    away = {"MLFLOW_TRACKING_URI": "http://me:s3cr%40t@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    said = _said(waiting, COMMANDS, "audit --json found.json", "doctor", "uploads", "whence params.yaml", **away)
    assert said.count("MLflow at http://127.0.0.1:9 does not answer") >= 2, said
    assert "http://127.0.0.1:9 does not answer: " in said and "s3cr" not in said
    kept = [path.read_bytes() for path in waiting.root.rglob("*.json*") if path.is_file()]
    assert not any(b"s3cr" in content for content in kept)


def test_a_repository_that_git_does_not_trust_is_refused_with_git_s_remedy(small):
    small.run("python", "-m", "pipeline", "plan")
    for words in (IRIS, (*IRIS[:3], "audit")):
        error = _refused(small, "GIT_TEST_ASSUME_DIFFERENT_OWNER=1", *words)
        assert "dubious ownership" in error and "git config --global --add safe.directory" in error
    for lock, why in (
        ("stages: [1]", "stages: input should be a valid dict"),
        ("[]", "it: input should be a valid dict"),
    ):
        (small.root / "dvc.lock").write_text(lock)
        assert f"dvc.lock is not as it must be ({why}" in (said := _refused(small, "A=1", *IRIS[:3], "audit"))
        assert "git checkout dvc.lock" in said
    (small.root / "dvc.lock").unlink()
    assert not (small.root / "artifacts/test_data/iris.npz").exists() and not list((small.root / ".runs").glob("*/"))
    (small.root / ".git/HEAD").rename(small.root / ".git/lost")
    assert "not a git repository" in _refused(small, "A=1", *IRIS), "there is one, and it is broken"
    (small.root / ".git/lost").rename(small.root / ".git/HEAD")
    small.run(*IRIS, GIT_DIR="/nowhere")
    (begun,) = (small.root / ".runs").glob("*/begin.json")
    assert json.loads(begun.read_text())["tags"]["commit"] == small.run("git", "rev-parse", "HEAD").strip()


def test_a_setting_that_changes_numbers_is_not_taken_over_in_silence(clone):
    clone.run("python", "-m", "pipeline", "plan")
    name = "JAX_ENABLE_X64"
    error = _refused(clone, f"{name}=1", "python", "-m", "pipeline", "baseline", "sgd")
    assert f"settings.{name} differ. {name} of the environment changes numbers: unset it" in error


def test_a_clone_has_the_same_bytes_whatever_its_line_endings(tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir()
    shutil.copy(paths.ROOT / ".gitattributes", first)
    (first / "params.yaml").write_bytes(b"root: .\nitems:\r\n")
    (first / "rule.npz").write_bytes(b"PK\x03\x04\r\n\n")
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=true")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "now"), ("clone", "-q", ".", str(again))):
        subprocess.run([*git, *words], cwd=first, check=True)
    assert {path.name: path.read_bytes() for path in first.iterdir() if path.is_file()} == {
        path.name: path.read_bytes() for path in again.iterdir() if path.is_file()
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_environment_is_made_anew_where_the_repository_has_moved(tmp_path):
    old, new = tmp_path / "old's place", tmp_path / "new place"
    (old / ".venv").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "requirements.dev.lock", "pyproject.toml"):
        shutil.copy(paths.ROOT / name, old)

    def planned(folder: Path) -> str:
        words = ["make", "--dry-run", "--no-print-directory", "setup", f"PYTHON={sys.executable}"]
        # What `make test` itself sets is not for this one.
        apart = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, env=apart).stdout

    *_, last = planned(old).splitlines()
    subprocess.run(["sh", "-c", last], cwd=old, check=True)  # which leaves the mark of an environment that is whole
    assert "venv" not in planned(old)
    shutil.move(old, new)
    assert "-m venv --clear .venv" in planned(new)
