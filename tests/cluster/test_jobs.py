"""A small profile as real Jobs: on a cluster with the PodTemplates, whose image holds the commit that is tested.

KUBECONFIG=… VSML_NAMESPACE=… MLFLOW_TRACKING_URI=… make test-cluster
"""

import functools
import shutil
import signal

import pytest

from pipeline.cluster.connection import Api
from pipeline.cluster.following import outcome
from pipeline.track.store import Store
from tests.servers import says
from tests.servers import until as within

pytestmark = pytest.mark.cluster
until = functools.partial(within, seconds=300.0)


def test_a_profile_that_loses_driver_pod_and_job_ends_with_the_lock_of_a_local_run(checkout, checkout_of, tmp_path):
    """Down to the figures and to the bit, and with no second training; then DVC has nothing to do here."""
    api, store = Api(), Store()
    checkout.run("dvc", "repro", "train_data@digits")
    driver = checkout.start("python", "-m", "pipeline", "meta_train", "vsml", "0")
    name = says(driver, "Submitted Job").split()[2]
    run = (api.job(name) or {})["metadata"]["annotations"]["vsml/run"]
    until(lambda: "checkpoints" in store.get(run).tags, "the first checkpoint")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    (pod,) = api.pods(name)
    api.ask("DELETE", f"{api.core}/pods/{pod['metadata']['name']}", body={"gracePeriodSeconds": 0})

    again = checkout.start("python", "-m", "pipeline", "meta_train", "vsml", "0")
    says(again, "Attached to Job")
    says(again, "Going on from the checkpoint")
    again.send_signal(signal.SIGKILL)
    again.communicate()
    assert until(lambda: outcome(api.job(name) or {}), "the end of the Job") == "Complete"
    api.delete(name)
    until(lambda: api.job(name) is None, "that the Job is gone")

    out = checkout.run("dvc", "repro", "--single-item", "meta_train@vsml-0")
    assert f"Collected from MLflow run {run}" in out and "Submitted" not in out
    _do_all(checkout)
    assert "Data and pipelines are up to date." in checkout.run("dvc", "repro", executor="local")

    here = checkout_of(tmp_path / "here")
    shutil.copy(checkout.profile / "params.yaml", here.profile)
    _do_all(here, executor="local", MLFLOW_TRACKING_URI=f"sqlite:///{here.root}/mlflow.db")
    assert here.lock() == checkout.lock()
    assert here.digests() == checkout.digests()


def test_a_cancelled_job_is_gone_and_says_so(checkout):
    api = Api()
    checkout.run("dvc", "repro", "train_data@digits", executor="local")
    driver = checkout.start("python", "-m", "pipeline", "meta_train", "vsml", "0")
    name = says(driver, "Submitted Job").split()[2]
    assert name in checkout.run("python", "-m", "pipeline", "jobs")
    checkout.run("python", "-m", "pipeline", "jobs", "cancel", name)
    out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 1 and "was cancelled" in out
    until(lambda: api.job(name) is None, "that the Job is gone")


def _do_all(checkout, **how):
    """All that is due, two items at once."""
    lines = checkout.run("python", "-m", "pipeline", "repro", "--jobs", "2", **how).splitlines()
    done, _, total = lines[-1].split()[:3]
    assert done == total, "\n".join(lines)
    assert {"figure/meta_training.png", "figure/online_learning.png"} <= checkout.digests().keys()
