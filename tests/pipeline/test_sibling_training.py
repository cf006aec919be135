"""Meta-training of the sibling systems through its doors, killed without warning."""

import contextlib
import hashlib
import signal
import sqlite3

import pytest

RUN = """
from pipeline import params, provenance, tracking
from pipeline.stages import {stage}
{stage}.SAVE_EVERY_S = 0.0
job = provenance.job("{stage}", ("{experiment}", "0"), params.read())
with tracking.run(job) as run:
    {stage}.main(job, run)
"""  # what `python -m pipeline STAGE EXPERIMENT 0` does, with a checkpoint after every step
STEPS, KILL_AT = 40, 7


def _digests(folder):
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.rglob("*.npz")}


def _losses(root, name):
    """By MLflow run that is not deleted, its status and its curve as (meta-step, loss)."""
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as store:
        query = "select run_uuid, status from runs where name = ? and lifecycle_stage = 'active'"
        curve = "select step, value from metrics where run_uuid = ? and key = 'loss' order by step, timestamp"
        return [(status, store.execute(curve, (run,)).fetchall()) for run, status in store.execute(query, (name,))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "experiment", "outs"),
    [
        ("recall_train", "direct", {"direct-0.npz"}),
        ("feedback_train", "flp_on_sines", {"rule.npz", "curve.npz"}),
    ],
)
def test_killed_it_ends_as_if_nothing_had_happened(clone, tiny, write_params, stage, experiment, outs):
    for system in ("recall", "feedback"):
        tiny[system]["defaults"]["training"]["steps"] = STEPS
    write_params(clone.root / "params.yaml", tiny)
    clone.run("python", "-m", "pipeline", "train_data", "digits")  # a dep of feedback_train
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(clone.root / "tmp"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    compiled["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as pipeline/__main__.py has it; the noise would fill the pipe, unread
    code, folder = RUN.format(stage=stage, experiment=experiment), clone.root / "artifacts" / stage

    process = clone.start("python", "-c", code, **compiled)
    assert process.stdout is not None
    steps = (int(line.split("meta-step ")[1].split()[0]) for line in process.stdout if ": meta-step " in line)
    assert any(step >= KILL_AT for step in steps), process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not folder.exists()

    said = clone.run("python", "-c", code, **compiled)
    begun = int(said.partition("Going on from the checkpoint of meta-step ")[2].split()[0])
    assert KILL_AT <= begun < STEPS
    assert list((clone.root / ".checkpoints").iterdir()) == []
    resumed = _digests(folder)
    assert resumed.keys() == outs

    clone.run("python", "-m", "pipeline", stage, experiment, "0")
    assert _digests(folder) == resumed
    (killed, one), (undisturbed, other) = _losses(clone.root, f"{stage} {experiment} 0")
    assert killed == undisturbed == "FINISHED", "the killed run goes on in the one that it began"
    assert one == other and [step for step, _ in one] == list(range(1, STEPS + 1))
