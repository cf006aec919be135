"""Meta-training through its door, killed without warning."""

import contextlib
import hashlib
import signal
import sqlite3

RUN = """
from pipeline import params, provenance, tracking
from pipeline.stages import meta_train
job = provenance.job("meta_train", ("vsml", "0"), params.read())
with tracking.run(job) as run:
    meta_train.main(job, run, save_every_s=0.0)
"""  # what `python -m pipeline meta_train vsml 0` does, with a checkpoint after every step


def _outs(clone):
    folder = clone.root / "artifacts/meta_train/vsml-0"
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def _steps(lines):
    return (int(line.split("meta-step ")[1].split()[0]) for line in lines if ": meta-step " in line)


def test_killed_twice_with_a_torn_checkpoint_it_ends_as_if_nothing_had_happened(clone):
    clone.run("python", "-m", "pipeline", "train_data", "digits")
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(clone.root / "tmp"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    compiled["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as pipeline/__main__.py has it; the noise would fill the pipe, unread
    for kill_at in (5, 15):  # in the first phase of the curriculum, and in the second
        process = clone.start("python", "-c", RUN, **compiled)
        assert process.stdout is not None
        assert any(step >= kill_at for step in _steps(process.stdout)), process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (clone.root / "artifacts/meta_train").exists()
    *_, newest = sorted((clone.root / ".checkpoints").glob("*/*.npz"))
    newest.write_bytes(newest.read_bytes()[:-100])

    process = clone.start("python", "-c", RUN, **compiled)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, out + error
    assert f"{newest} is damaged" in error and "Going on from the checkpoint of meta-step" in out
    assert list((clone.root / ".checkpoints").iterdir()) == []
    resumed = _outs(clone)

    clone.run("python", "-m", "pipeline", "meta_train", "vsml", "0")
    assert _outs(clone) == resumed
    assert resumed.keys() == {"rule.npz", "curve.npz", "curve.csv"}

    with contextlib.closing(sqlite3.connect(clone.root / "mlflow.db")) as store:
        query = "select run_uuid, status from runs where name = 'meta_train vsml 0' and lifecycle_stage = 'active'"
        runs = dict(store.execute(query))
        assert sorted(runs.values()) == ["FINISHED", "FINISHED"], "the killed runs go on in the one that they began"
        losses = "select step, value from metrics where run_uuid = ? and key = 'loss' order by step, timestamp"
        curves = [store.execute(losses, (run,)).fetchall() for run in runs]
    assert curves[0] == curves[1]
    assert [step for step, _ in curves[0]] == list(range(1, 21))
