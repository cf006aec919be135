"""How much memory it takes here to follow many Jobs: pytest -n 0 -s -m load tests/pipeline/cluster/test_load.py"""

import signal
import statistics
import subprocess

import psutil
import pytest

from pipeline.run.params import read_yaml
from tests.pipeline.cluster.conftest import Site
from tests.servers import until

JOBS, LINES = 64, 60
POD = """#!/bin/sh
number=0
while sleep 1; do number=$((number + 1)); echo "line $number"; done
"""


@pytest.mark.load
def test_many_jobs_are_followed_in_little_memory(clone, cluster, mlflow, tiny, write_params, tmp_path, capsys):
    tiny["items"]["seeds"] = list(range(JOBS))
    write_params(clone.root / "params.yaml", tiny)
    flow = read_yaml(clone.root / "dvc.yaml")
    flow["stages"] = {name: flow["stages"][name] for name in ("plan", "train_data", "meta_train")}
    write_params(clone.root / "dvc.yaml", flow)
    clone.run("dvc", "repro", "train_data@digits")
    site = Site(clone, cluster, mlflow)
    cluster.template("vsml-large", site.own | site.commit())
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python").write_text(POD)  # what pods do is of no account here
    (programs / "python").chmod(0o755)
    cluster.base["PATH"] = f"{programs}:/usr/bin:/bin"

    command = ["python", "-m", "pipeline", "repro", "--jobs", str(JOBS)]
    driver = subprocess.Popen(command, cwd=clone.root, env=clone.env | site.env, stdout=-3, stderr=-3)
    try:
        until(lambda: len(cluster.jobs) == JOBS, "the last Job", 600)
        logs = list((clone.root / ".jobs/logs").glob("meta_train*"))
        until(lambda: all(f"line {LINES}\n" in log.read_text() for log in logs), f"{LINES} lines of each", 600)
        first = psutil.Process(driver.pid)
        followers = [one.memory_full_info().pss / 1e6 for one in first.children(recursive=True)]
        whole = sum(followers) + first.memory_full_info().pss / 1e6
    finally:
        driver.send_signal(signal.SIGTERM)
        driver.wait(120)
    with capsys.disabled():
        print(f"\n{JOBS} Jobs followed: {whole:.0f} MB, {statistics.mean(followers):.0f} MB each")
    assert len(followers) == len(logs) == len(cluster.pods) == JOBS
    assert whole < 3000
