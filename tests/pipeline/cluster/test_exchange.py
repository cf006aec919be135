"""Files that travel through a real MLflow server, by digest."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from pipeline.cluster import exchange
from pipeline.run import artifacts, paths
from pipeline.run.checkpoints import Folder
from pipeline.run.flow import Item
from pipeline.run.job import Job, dep_files
from pipeline.studies import params
from pipeline.track import tracking
from pipeline.track.store import IntegrityError, MissingInStoreError, Store, TrackerAway
from pipeline.track.uploads import LiveUpload
from tests.servers import until

OUTS = ("artifacts/a.npz", "artifacts/deep/b.npz")
MANIFEST = {"stage": "unify", "item": [], "fingerprint": "f", "deps": {}}
IN, PLAN = "artifacts/in.npz", "artifacts/plan/unify.json"


@pytest.fixture
def store(mlflow):
    return Store()


@pytest.fixture
def run(store):
    return store.create("a run", {})


@pytest.fixture
def profile(tmp_path, monkeypatch, write_params, tiny):
    """The folder of a profile, with one file that an earlier stage left, and the places of what is kept."""
    tiny["unify"]["seeds"] = [int.from_bytes(os.urandom(3), "big")]  # params that no other test has
    write_params(tmp_path / "params.yaml", tiny)
    artifacts.write_text(tmp_path / IN, f"made in {tmp_path}")
    shutil.copy(paths.ROOT / "dvc.yaml", tmp_path)
    artifacts.write_json(tmp_path / PLAN, {"made": "in " + str(tmp_path)})
    (tmp_path / "pipeline").symlink_to(paths.ROOT / "pipeline")
    monkeypatch.chdir(tmp_path)
    for name in ("JOBS", "CHECKPOINTS"):
        monkeypatch.setattr(paths, name, tmp_path / name)
    return tmp_path


@pytest.fixture
def job(profile):
    item = Item("unify", "unify", (), {}, "unify", (PLAN, IN), OUTS)
    deps = {name: artifacts.sha256_file(path) for name, path in dep_files(item, ".").items()}
    plan, code = {"params": {}}, {"pipeline/run/artifacts.py": artifacts.sha256_file(artifacts.__file__)}
    return Job("unify", (), params.read(), item, plan, code, deps, "cpu", "f")


def _order(store, job):
    run, digest = exchange.place(store, job, "image", False)
    return store.read(run, exchange.ORDER, digest)


def test_what_is_read_is_uploaded_once_and_comes_back_by_digest_or_not_at_all(store, job, served, tmp_path):
    first, second = _order(store, job)["reads"], _order(store, job)["reads"]
    assert first == second and first.keys() == {"dvc.yaml", "params.yaml", PLAN, IN}
    there = exchange.lay_out(store, _order(store, job), tmp_path / "elsewhere")
    for name in first:
        assert (there / name).read_bytes() == (tmp_path / name).read_bytes()
    assert (there / "pipeline/run/artifacts.py").samefile(paths.ROOT / "pipeline/run/artifacts.py")
    (kept,) = served[1].rglob(f"{first[IN]['run']}/artifacts/{first[IN]['path']}")
    kept.write_text("other")
    with pytest.raises(IntegrityError, match=rf"{IN} of MLflow run .* expected {job.deps[IN]}"):
        exchange.lay_out(store, _order(store, job), tmp_path / "a third")
    assert not (tmp_path / "a third" / IN).exists()


def test_a_file_is_missing_only_if_the_server_says_so(store, run, wire, profile):
    store.upload(run, "outs/a", profile / IN)
    with pytest.raises(MissingInStoreError, match="404"):
        store.download(run, "outs/b", profile / "b")
    wire.cut = True
    with pytest.raises(TrackerAway):
        store.download(run, "outs/a", profile / "a")
    assert not list(profile.glob("[ab]"))
    wire.cut = False
    store.download(run, "outs/a", profile / "a")
    assert (profile / "a").read_bytes() == (profile / IN).read_bytes()


def _attempt(folder, text):
    for name in OUTS:
        artifacts.write_text(folder / name, text)
    return MANIFEST | {"outs": {name: artifacts.sha256_file(folder / name) for name in OUTS}}


def test_the_first_of_two_attempts_counts_and_the_second_changes_nothing(store, run, job, tmp_path):
    assert not exchange.collect(store, run, job)
    for attempt, counts in (("one", True), ("two", False), ("one", True)):
        made = _attempt(tmp_path / attempt, f"{attempt} of {tmp_path}")
        assert exchange.commit(store, run, attempt, made, tmp_path / attempt) is counts
    assert exchange.collect(store, run, job)
    assert [Path(name).read_text() for name in OUTS] == [f"one of {tmp_path}"] * 2
    assert store.get(run).status == "FINISHED"
    assert store.having(artifacts.sha256_file(OUTS[1])) == (run, f"attempts/one/outs/{OUTS[1]}")


def test_outs_come_all_or_none_and_a_result_that_is_not_whole_is_set_aside(store, run, job, served, tmp_path, capsys):
    exchange.commit(store, run, "one", _attempt(tmp_path / "one", "one"), tmp_path / "one")
    (kept,) = served[1].rglob(f"{run}/artifacts/attempts/one/outs/{OUTS[1]}")
    kept.write_text("two")
    assert not exchange.collect(store, run, job)
    assert f"The result of MLflow run {run} is not what it says" in capsys.readouterr().out
    assert {path.name for path in Path("artifacts").rglob("*")} == {"in.npz", "deep", "plan", "unify.json"}
    kept.write_text("one")
    assert not exchange.collect(store, run, job), "for good"
    for committed in ("attempts/a", None):  # and neither is one that is malformed
        run = store.create("a run", {})
        own = committed or f"attempts/a {store.write(run, 'attempts/a/manifest.json', {})}"
        store.once(run, exchange.COMMITTED, own)
        assert exchange.collect(store, run, job) is None and exchange.REFUSED in store.get(run).tags


@pytest.fixture
def upload(store, run, profile, tmp_path):
    (tmp_path / "run").mkdir()
    return LiveUpload(store, run, tmp_path / "run")


@pytest.fixture
def saved(profile):
    """Checkpoints of a stage, as it leaves them."""
    folder = Folder(paths.CHECKPOINTS / ("ab" * 32))

    def save(step):
        folder.save(step, {"total": step}, {"run": "r"})

    return save


def _elsewhere(store, run, tmp_path, monkeypatch):
    """What a pod on another machine finds."""
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "elsewhere")
    LiveUpload(store, run, tmp_path / "run").unpack()
    last = Folder(paths.CHECKPOINTS / ("ab" * 32)).load()
    return last and last.step


def test_the_last_two_checkpoints_travel_and_a_damaged_one_does_not_count(
    store, run, upload, saved, served, tmp_path, monkeypatch, capsys
):
    assert _elsewhere(store, run, tmp_path, monkeypatch) is None
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "CHECKPOINTS")
    for step in (3, 7, 11):
        saved(step)
        upload.send(now=True)
    there = sorted(served[1].rglob(f"{run}/artifacts/checkpoints/*/*.npz"))
    assert [path.name[:8] for path in there] == ["00000007", "00000011"]
    assert _elsewhere(store, run, tmp_path / "a", monkeypatch) == 11
    there[1].write_bytes(there[1].read_bytes()[:-9])
    assert _elsewhere(store, run, tmp_path / "b", monkeypatch) == 7
    assert "is damaged or missing: going back before it" in capsys.readouterr().out
    there[0].unlink()
    store.tag(run, {"checkpoints": json.dumps(["../../etc/passwd", "ab" * 32 + "/" + there[0].name])})
    assert _elsewhere(store, run, tmp_path / "c", monkeypatch) is None


def test_the_newest_checkpoint_is_that_of_the_last_step_though_the_clock_was_set_back(store, run, upload, saved):
    for step, hour in ((3, 2), (7, 1)):
        saved(step)
        (path,) = paths.CHECKPOINTS.glob(f"*/{step:08d}-*.npz")
        os.utime(path, (hour * 3600, hour * 3600))
        path.with_name(".unfinished.npz").touch()
        upload.send(now=True)
    assert "00000007" in store.get(run).tags["checkpoints"]


def test_a_tracker_that_is_away_delays_and_loses_nothing(store, run, upload, saved, wire, tmp_path, capsys):
    rows = [json.dumps([1000 + step, {"loss": step}]) for step in range(1, 7)]
    file = tmp_path / "run/curve.jsonl"
    file.write_text("\n".join(rows[:3]) + "\n" + rows[3][:5])  # one is being written
    upload.send(now=True)
    assert store.last_step(run) == 3
    wire.cut = True
    file.write_text("\n".join(rows) + "\n")
    saved(6)
    upload.send(now=True)
    upload.send()
    assert capsys.readouterr().out.count("MLflow takes nothing now") == 1
    wire.cut = False
    upload.send(now=True)
    assert store.last_step(run) == 6 and "00000006" in store.get(run).tags["checkpoints"]
    later = LiveUpload(store, run, tmp_path / "run")
    later.unpack()
    later.send(now=True)
    later.log(tmp_path / "run")
    later.refer_to([])
    assert len(tracking.rows(tmp_path / "run", 0)) == 6
    history = [(m.step, m.timestamp) for m in store._client.get_metric_history(run, "loss")]
    assert history == [(step, 1000 + step) for step in range(1, 7)], "at the times at which they were written"
    assert store.get(run).tags["checkpoints"] == "[]"


def test_a_server_may_take_longer_for_a_larger_file(store, run, wire, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    (large := tmp_path / "files/large").parent.mkdir()
    large.write_bytes(bytes(3 * 10**6))
    wire.answers_after_s = 1.5
    store.upload(run, "large", large)
    store.upload_folder(run, "folder", large.parent)
    with pytest.raises(TrackerAway, match="timed out"):
        store.write(run, "small", {})
    wire.answers_after_s = 0.0
    assert store.content(run, "large") == store.content(run, "folder/large") == large.read_bytes()


def test_rows_that_come_late_are_not_logged_twice(store, run, upload, wire, tmp_path, monkeypatch, capsys):
    """A server that stands still takes a request long after its sender has given up, and sent the rows again."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    rows = [json.dumps([1000 + step, {"loss": step}]) for step in range(1, 7)]
    file = tmp_path / "run/curve.jsonl"
    file.write_text("\n".join(rows[:4]) + "\n")
    wire.late = late = threading.Event()
    upload.send(now=True)
    assert "MLflow takes nothing now" in capsys.readouterr().out
    wire.late = None
    file.write_text("\n".join(rows) + "\n")
    upload.send(now=True)
    late.set()
    until(lambda: wire.answer_to_late.startswith(b"HTTP/1.1 200"), "the answer to the late request", 30)
    assert [m.step for m in store._client.get_metric_history(run, "loss")] == [1, 2, 3, 4, 5, 6]
