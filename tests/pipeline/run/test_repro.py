"""Several items at once, on a real DVC."""

import json
import re
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.run.params import read_yaml
from tests.servers import until

DVC = """
stages:
  first:
    matrix: {item: [a, b]}
    cmd: exec python stage.py first ${item.item}
    deps: [stage.py, "first-${item.item}"]
    outs: ["out-${item.item}"]
  then:
    matrix: {item: [a, b]}
    cmd: exec python stage.py then ${item.item}
    deps: ["out-${item.item}"]
    outs: ["then-${item.item}"]
  more:
    matrix: {item: [c, d]}
    cmd: exec python stage.py more ${item.item}
    deps: [out-a]
    outs: ["more-${item.item}"]
  last:
    cmd: exec python stage.py last all
    deps: [then-a, then-b]
    outs: [last-all]
"""
# Writes when it ran, and waits until as many as it is told are at it.
STAGE = """
import os, pathlib, sys, time
stage, item = sys.argv[1:]
told = pathlib.Path(f"first-{item}")
told = told.read_text() if told.exists() and stage in ("first", "more") else ""
if told == "fail":
    sys.exit("it fails")
if told == "meet":
    pathlib.Path(f"here-{item}").touch()
    while not all(pathlib.Path(f"here-{other}").exists() for other in "ab"):
        time.sleep(0.02)
if told == "stay bound":  # as stages of ours do, whoever starts them
    from pipeline.run import repro
    repro.die_with_parent()
if told.startswith("stay"):
    pathlib.Path(f"pid-{item}").write_text(str(os.getpid()))
    time.sleep(100)
if told == "note":  # as the repro of another profile does meanwhile
    pathlib.Path(".jobs/seconds.json").write_text('{"elsewhere": {"x": 1.0}}')
out = "out" if stage == "first" else stage
pathlib.Path(f"{out}-{item}").write_text(f"{stage} {item}" + "!" * (told == "other"))
"""
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own store
MORTAL = "import signal; [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGTERM, signal.SIGINT)]; "


@pytest.fixture
def toy(small, empty_store):
    shutil.copy(empty_store, small.root)
    (small.root / "stage.py").write_text(STAGE)
    (small.root / "dvc.yaml").write_text(DVC)
    return small


def _tell(toy, **words):
    for item, word in words.items():
        (toy.root / f"first-{item}").write_text(word)


def test_one_failed_item_does_not_lose_the_others(toy):
    _tell(toy, a="note", b="fail")
    process = toy.start("python", "-m", "pipeline", "repro", "--jobs", "2")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 1, out + error
    lines = out.splitlines()
    assert "first@b: FAILED" in out and "    it fails" in lines
    assert any(line.startswith("then@a: done") for line in lines)
    assert any(line.startswith("then@b: skipped it needs first@b") for line in lines)
    assert any(line.startswith("last: skipped it needs then@b") for line in lines)
    assert lines[-1] == "4 of 7 items are done."
    times = json.loads((toy.root / ".jobs/seconds.json").read_text())
    assert times["elsewhere"] == {"x": 1.0} and times["."].keys() == {"first@a", "then@a", "more@c", "more@d"}


def test_two_at_once_leave_what_one_at_a_time_leaves_and_then_what_is_changed_is_due(toy):
    _tell(toy, a="meet", b="meet")  # each ends only if the other runs too
    out = toy.run("python", "-m", "pipeline", "repro", "--jobs", "2")
    assert out.splitlines()[-1] == "7 of 7 items are done."
    assert "Data and pipelines are up to date." in toy.run("python", "-m", "pipeline", "repro", "dvc.yaml")
    _tell(toy, a="go", b="other")  # a will leave the same as before, and the three that need it do not start
    out = toy.run("python", "-m", "pipeline", "repro", "--jobs", "2").splitlines()
    assert out[0].startswith("7 items are due") and out[-1] == "7 of 7 items are done."
    assert {line.split(": done ")[0] for line in out if ": done " in line} == {"first@a", "first@b", "then@b"}
    same = [re.sub(r" \(\d of 7\)", "", line) for line in out if "did not change" in line]
    assert same == ["3 items did not change", "1 item did not change"] and "1 item did not change (7 of 7)" in out
    lock = read_yaml(toy.root / "dvc.lock")["stages"]
    (toy.root / "dvc.lock").unlink()
    for name in ("a", "b"):
        (toy.root / f"out-{name}").unlink()
    toy.run("dvc", "repro", "--quiet", "--no-run-cache")
    assert lock == read_yaml(toy.root / "dvc.lock")["stages"]


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_it_and_what_was_done_before_is_not_done_again(toy, blow):
    _tell(toy, a="go", b="stay", c="stay")
    process = toy.start("python", "-c", f"{MORTAL} from pipeline.__main__ import main; main(['repro', '--jobs', '3'])")
    files = [toy.root / name for name in ("then-a", "pid-b", "pid-c")]  # the first of which needs what first@a left
    stay = "that two stay, and their files"
    until(lambda: process.poll() is not None or all(file.exists() and file.read_text() for file in files), stay)
    assert process.poll() is None, process.communicate()
    stages = [psutil.Process(int(file.read_text())) for file in files[1:]]
    process.send_signal(blow)
    out, _ = process.communicate(timeout=40)
    until(lambda: not any(_alive(stage) for stage in stages), "the end of both")
    if blow == signal.SIGTERM:
        assert process.returncode == 128 + blow and {"first@b: stopped", "more@c: stopped"} <= {*out.splitlines()}
    lock = toy.root / "dvc.lock"
    assert ("first@a" in (read_yaml(lock)["stages"] if lock.exists() else {})) == (blow == signal.SIGTERM)
    _tell(toy, b="go", c="go")
    out = toy.run("python", "-m", "pipeline", "repro", "--jobs", "2").splitlines()
    first = [line.split(" (")[0] for line in out if line.startswith("first@a")]
    assert first == ["first@a: done as it was left before, from DVC's cache"] * (blow == signal.SIGKILL)
    assert out[-1].endswith(" items are done.")


def test_trouble_of_its_own_ends_all_that_runs_and_half_a_list_of_locks_stops_nobody(toy):
    _tell(toy, a="stay", b="go")
    (folder := toy.root / ".jobs/logs/then@b.log").mkdir(parents=True)  # in the place of a file
    (toy.root / ".dvc/tmp").mkdir(exist_ok=True)
    (toy.root / ".dvc/tmp/rwlock").write_text('{"read": ')  # as a full disk leaves it
    # And no item has a session of its own yet, whose pid would be that of its group.
    code = (
        "import os; os.killpg = lambda *_: os.kill(2**22 + 1, 0); from pipeline.__main__ import main; main(['repro'])"
    )
    out, error = toy.start("python", "-c", code).communicate(timeout=60)
    assert error == f"repro: {folder} cannot be opened: Is a directory.\n" and "first@a: stopped" in out
    assert not psutil.pid_exists(int((toy.root / "pid-a").read_text()))
    assert "first@b" in read_yaml(toy.root / "dvc.lock")["stages"]


def _alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # only the second replaces itself by its last command
def test_sigterm_to_dvc_repro_leaves_no_orphan(toy, shell):
    if not Path(shell).exists():
        pytest.skip(f"no {shell} here")
    _tell(toy, a="stay bound")
    # Whoever runs the tests may ignore SIGTERM, and what is ignored is inherited.
    mortal = f"{MORTAL} import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    dvc = toy.start(sys.executable, "-c", mortal, "dvc", "repro", "--quiet", "first@a", SHELL=shell)
    file = toy.root / "pid-a"
    until(lambda: file.exists() and file.read_text(), "the start of the stage")
    stage = psutil.Process(int(file.read_text()))
    assert stage.pid != dvc.pid and _alive(stage)
    dvc.send_signal(signal.SIGTERM)
    try:
        until(lambda: not _alive(stage), "its end")
    finally:
        if _alive(stage):
            stage.kill()
        dvc.kill()
        dvc.communicate()
