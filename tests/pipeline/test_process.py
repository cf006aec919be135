import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")

STAGE = """
import os, pathlib, time
from pipeline import process
process.die_with_parent()
pathlib.Path("pid.tmp").write_text(str(os.getpid()))
os.replace("pid.tmp", "pid")
time.sleep(100)
"""
# Whoever runs the tests may ignore SIGTERM, and what is ignored is inherited.
MORTAL = "import os, signal, sys; signal.signal(signal.SIGTERM, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, 'stage.py'])"


def _until(done, what, seconds=15):
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def _gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _dies_with(parent: subprocess.Popen, pid_file: Path, blow: signal.Signals) -> None:
    _until(pid_file.exists, "the start of the stage")
    child = int(pid_file.read_text())
    assert child != parent.pid and not _gone(child)
    parent.send_signal(blow)
    try:
        _until(lambda: _gone(child), "the end of the stage")
    finally:
        parent.kill()
        parent.wait()
        if not _gone(child):
            os.kill(child, signal.SIGKILL)


def test_a_stage_dies_with_its_parent(tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path)
    _dies_with(parent, tmp_path / "pid", signal.SIGKILL)


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # only the second replaces itself by its last command
def test_sigterm_to_dvc_repro_leaves_no_orphan(clone, shell):
    if not Path(shell).exists():
        pytest.skip(f"no {shell} here")
    (clone.root / "stage.py").write_text(STAGE)
    (clone.root / "dvc.yaml").write_text("stages:\n  sleep:\n    cmd: exec python stage.py\n    outs:\n      - slept\n")
    repro = subprocess.Popen(
        [sys.executable, "-c", MORTAL, "dvc", "repro", "--quiet"],
        cwd=clone.root,
        env=clone.env | {"SHELL": shell},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _dies_with(repro, clone.root / "pid", signal.SIGTERM)
