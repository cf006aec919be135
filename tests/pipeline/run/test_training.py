"""The outer loop of all stages that train: killed without warning, it goes on to the same bits; progress; optimiser."""

import contextlib
import copy
import hashlib
import os
import pty
import re
import shutil
import signal
import sqlite3
import sys
import termios
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.run import training
from pipeline.run.params import read_yaml
from tests.pipeline.conftest import write_yaml

# What `dvc repro` does: the plan, then `python -m pipeline STAGE ITEM…`, with a checkpoint and a line after every step.
RUN = """
import sys
from pipeline.run import training
from pipeline.__main__ import main
training.SAVE_EVERY_S = training.SHOW_EVERY_S = 0.0
main(["plan"])
main(sys.argv[1:])
"""
KILL_AT, STEPS = 15, 40  # in the last phase of those that have several
OUTS = {
    "meta_train vsml 0": {"vsml-0/rule.npz", "vsml-0/curve.npz", "vsml-0/curve.csv", "vsml-0/snapshots.npz"},
    "clone 1": {"1.npz"},
    "improve 1": {"1.npz"},
    "recall_train direct 0": {"direct-0.npz"},
    "feedback_train flp_on_sines 0": {"flp_on_sines-0/rule.npz", "flp_on_sines-0/curve.npz"},
}


@pytest.fixture(scope="module")
def site(first_clone, tiniest, tmp_path_factory):
    """A clone whose five trainings take STEPS steps each."""
    clone, tiny = first_clone.copy(tmp_path_factory.mktemp("training")), copy.deepcopy(tiniest)
    tiny["defaults"]["curriculum"][1]["steps"] = STEPS - tiny["defaults"]["curriculum"][0]["steps"]
    tiny["clone"]["form"] |= {"hidden": 4, "message": 2}
    tiny["clone"]["random"] |= {"coarse": 6, "fine": 6, "connections": 4}
    tiny["clone"]["shadow"] |= {"steps": STEPS - 12, "length": 4}
    tiny["improve"]["steps"] = STEPS
    for system in ("recall", "feedback"):
        tiny[system]["defaults"]["training"]["steps"] = STEPS
    write_yaml(clone.root / "params.yaml", tiny)
    clone.stages("train_data digits")
    return clone


def _killed(site, item):
    """Kill a training once it has shown step KILL_AT."""
    process = site.start("python", "-c", RUN, *item.split())
    assert process.stdout is not None
    shown = (re.search(r": meta-step (\d+) ", line) for line in process.stdout)
    assert any(found and int(found[1]) >= KILL_AT for found in shown), process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was over before the blow"


def _outs(site, stage):
    folder = site.root / "artifacts" / stage
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def _runs(site, name):
    """By MLflow run that is not deleted, its status and its curve as (meta-step, loss)."""
    with contextlib.closing(sqlite3.connect(site.root / "mlflow.db")) as store:
        query = "select run_uuid, status from runs where name = ? and lifecycle_stage = 'active'"
        curve = "select step, value from metrics where run_uuid = ? and key = 'loss' order by step, timestamp"
        return [(status, store.execute(curve, (run,)).fetchall()) for run, status in store.execute(query, (name,))]


@pytest.fixture(scope="module")
def undisturbed(site):
    """By stage, the outs of trainings that nobody has killed, one after another; their runs are in MLflow."""
    site.stages(*OUTS, "uploads")
    return {stage: _outs(site, stage) for stage in (item.split()[0] for item in OUTS)}


@pytest.mark.slow
@pytest.mark.parametrize("item", OUTS)
def test_killed_with_a_torn_checkpoint_it_ends_as_if_nothing_had_happened(site, undisturbed, item):
    stage, *_ = item.split()
    shutil.rmtree(site.root / "artifacts" / stage)
    _killed(site, item)
    assert not [path for path in (site.root / "artifacts" / stage).rglob("*") if path.is_file()]
    *_, newest = sorted((site.root / ".checkpoints").glob("*/*.npz"))
    newest.write_bytes(newest.read_bytes()[:-100])

    process = site.start("python", "-c", f"{RUN}main(['uploads'])", *item.split())
    said, error = process.communicate(timeout=300)
    assert process.returncode == 0, said + error
    assert f"{newest} is damaged" in error
    begun = int(said.partition("Going on from the checkpoint of meta-step ")[2].split()[0])
    assert begun == int(newest.name.partition("-")[0]) - 1 and KILL_AT - 1 <= begun < STEPS
    assert [int(step) for step in re.findall(r": meta-step (\d+) of 40", said)] == list(range(begun + 1, STEPS + 1))
    assert list((site.root / ".checkpoints").iterdir()) == []
    assert _outs(site, stage) == undisturbed[stage] and undisturbed[stage].keys() == OUTS[item]
    (first, one), (killed, other) = _runs(site, item)
    assert first == killed == "FINISHED", "the killed run goes on in the one that it began"
    assert one == other and [step for step, _ in one] == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_a_training_with_other_params_leaves_a_checkpoint_to_whom_it_belongs(site):
    item, tiny = "feedback_train flp_on_sines 0", read_yaml(site.root / "params.yaml")
    _killed(site, item)
    peaks, said, outs = tiny["feedback"]["defaults"]["training"]["rates"]["forward"], [], []
    for times in (2, 0.5):
        peaks["peak"] *= times
        write_yaml(site.root / "params.yaml", tiny)
        said.append(site.run("python", "-c", RUN, *item.split()))
        outs.append(_outs(site, "feedback_train"))
    assert "Going on" not in said[0] and ": meta-step 1 of 40" in said[0]
    assert "Going on from the checkpoint" in said[1] and outs[0] != outs[1]


def _show(losses, more, *phases):
    """Progress through phases of so many steps and of such a weight, as these losses come in."""
    every = [training.Phase(steps, lambda state, steps: iter(()), weight) for steps, weight in phases]
    with training.Progress("vsml 0", every, losses) as progress:
        for loss in more:
            losses.append(loss)
            progress.update(1)


def test_a_log_has_plain_lines_with_the_time_of_day_at_most_one_per_interval(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")  # of the terminal that started it
    losses = [2.0, float("nan")]
    _show(losses, [1.0] * 3, (5, 1))
    said = capsys.readouterr().out
    assert re.fullmatch(r"\d\d:\d\d:\d\d vsml 0: meta-step 5 of 5, loss 1.25, [\d.e+]+ steps/s, 00:00 left\n", said)
    monkeypatch.setattr(training, "SHOW_EVERY_S", 0.0)
    _show(losses, [float("inf")] * 4, (9, 1))
    assert re.findall(r"meta-step (\d) of 9, loss", capsys.readouterr().out) == ["6", "7", "8", "9"]


def test_the_time_left_is_by_the_work_that_is_left(capsys, monkeypatch):
    monkeypatch.setattr(training, "SHOW_EVERY_S", 0.0)

    def slow():
        time.sleep(0.02)
        yield 1.0

    _show([], slow(), (2, 1), (2, 10_000))
    (line,) = capsys.readouterr().out.splitlines()
    ((speed, minutes, seconds),) = re.findall(r" ([\d.]+) steps/s, (?:\d+:)?(\d+):(\d+) left$", line)
    assert float(speed) <= 1 / 0.02, line
    assert int(minutes) * 60 + int(seconds) >= 0.02 * 20_000, line


def test_a_terminal_has_a_bar_that_overwrites_itself(monkeypatch):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    with open(theirs, "w") as terminal:  # noqa: PTH123  a descriptor has no path
        monkeypatch.setattr(sys, "stdout", terminal)
        _show([], [1.0] * 2, (2, 1))
        said = ""
        while "\n" not in said:  # which comes last; a terminal gives what it has by then
            said += os.read(ours, 10_000).decode()
    os.close(ours)
    *_, last = said.rstrip().split("\r")
    assert last.startswith("vsml 0: meta-step 2 of 2, loss 1,") and last.endswith("|"), said
    assert said.count("\r") >= 2 and said.count("\n") == 1


def _updates(optimizer, gradients):
    found = []
    with jax.numpy_dtype_promotion("standard"):  # optax mixes types
        state = optimizer.init(jnp.zeros(()))
        for gradient in gradients:
            update, state = optimizer.update(jnp.asarray(gradient), state)
            found.append(float(update))
    return np.array(found)


def test_the_learning_rate_rises_over_the_warm_up_and_falls_on_a_cosine():
    # On equal gradients Adam's updates are as large as its rate.
    found = -_updates(training.adam(0.5, 4, 0.1, 12), [3.0] * 14)
    falls = 0.5 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * np.arange(9) / 8)))
    np.testing.assert_allclose(found, [0, 0.125, 0.25, 0.375, *falls, 0.05], rtol=1e-4)


def test_gradients_are_clipped_unless_clip_is_null():
    gradients = [1.0] * 3 + [1000.0] + [1.0] * 3
    plain, clipped = (-_updates(training.adam(0.5, 0, 1.0, 9, clip), gradients) for clip in (None, 1.0))
    np.testing.assert_allclose(clipped, 0.5, rtol=1e-4)
    assert plain[4] < 0.25, "the large gradient makes later steps small"
    slow, quick = (-_updates(training.adam(0.5, 0, 1.0, 9, b2=b2), gradients)[-1] for b2 in (0.999, 0.9))
    assert slow != quick
