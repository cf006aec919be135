"""The doctor against a real MLflow server, with passwords, and an API server that answers as it is told."""

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import requests

from pipeline.cluster import doctor
from pipeline.run import artifacts, paths
from pipeline.track.store import Store, TrackingError
from tests import servers

PASSWORD, USERS = "a-password-of-a-test", ("admin", "driver", "stage")
K8S = Path(__file__).parents[3] / "k8s"
TEMPLATES = "/api/v1/namespaces/test/podtemplates/"
WELL = dict.fromkeys(
    ("cluster", "rights", "vsml-small", "vsml-large", "GPUs", "MLflow", "MLflow for pods", "artifacts"), "ok"
)


def nodes(**gpus: str) -> tuple[int, dict]:
    offered = {name: {"cpu": "8"} | ({"nvidia.com/gpu": count} if count else {}) for name, count in gpus.items()}
    return 200, {"items": [{"metadata": {"name": name}, "status": {"allocatable": of}} for name, of in offered.items()]}


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """The address of an MLflow server with the users of k8s/, whose passwords have been others, and two hosts."""
    folder = tmp_path_factory.mktemp("mlflow")
    auth = (K8S / "base/servers/auth.ini").read_text()
    (folder / "auth.ini").write_text(re.sub("postgresql.*", f"sqlite:///{folder}/auth.db", auth))
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": f"{folder}/auth.ini",
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/server.db",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a test",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,mlflow:*",
    }
    env |= {f"MLFLOW_AUTH_{name.upper()}_USERNAME": name for name in USERS}
    twice = "import os, runpy, sys; "
    for password in ("the-password-before", PASSWORD):
        own = {f"MLFLOW_AUTH_{name.upper()}_PASSWORD": f"{password} {name}" for name in USERS}
        twice += f"os.environ |= {own}; runpy.run_path(sys.argv[1]); "
    subprocess.run(
        [sys.executable, "-c", twice, K8S / "base/servers/accounts.py"], env=os.environ | env, check=True, cwd=folder
    )
    env |= own
    with servers.mlflow_server(folder, "--app-name=basic-auth", env=env) as uri:
        yield uri


@pytest.fixture
def site(cluster, guarded, tmp_path, monkeypatch):
    """All is well: a clean tree, its commit on the cluster, and the environment set as the doctor says."""
    root = tmp_path / "tree"
    root.mkdir()
    monkeypatch.setattr(paths, "ROOT", root)
    (root / "file").write_text("a")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example"]
    for words in (["init", "-q"], ["add", "file"], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", root, *words], check=True)
    cluster.commit = subprocess.check_output(["git", "-C", root, "rev-parse", "HEAD"], text=True).strip()
    cluster.mlflow = {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    cluster.template("vsml-small", cluster.mlflow | {"VSML_COMMIT": cluster.commit})
    cluster.template("vsml-large", cluster.mlflow | {"VSML_COMMIT": cluster.commit}, gpus=1)
    version = {"major": "", "minor": "", "gitVersion": "v1.34.1+k3s1"}
    cluster.answers = {"/version": (200, version), "/api/v1/nodes": nodes(a="4", b="")}
    log_in(monkeypatch, guarded, "driver")
    return cluster


def log_in(monkeypatch, uri: str, user: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{PASSWORD} {user}")


def found() -> dict[str, doctor.Finding]:
    return {finding.about: finding for finding in doctor.examine()}


def verdicts() -> dict[str, str]:
    return {about: finding.verdict for about, finding in found().items()}


def test_what_is_missing_is_said_with_what_mends_it_and_the_exit_status(site, capsys):
    assert verdicts() == WELL
    doctor.main()
    assert "test, Kubernetes 1.34" in capsys.readouterr().out
    site.denied = {("create", "jobs"), ("get", "pods/log")}
    with pytest.raises(SystemExit, match="1 of what a stage on the cluster needs is missing"):
        doctor.main()
    out = capsys.readouterr().out
    assert "MISSING  rights: This account may not create jobs, get pods/log in test." in out
    assert "\n         > kubectl -n test create rolebinding" in out
    assert verdicts() == WELL | {"rights": "missing"}


@pytest.mark.parametrize(
    ("path", "answer", "changed"),
    [
        ("/version", (200, {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}), {"cluster": "missing"}),
        *(("/version", answer, None) for answer in ((503, {}), (200, {}), (401, {}))),
        (TEMPLATES + "vsml-small", (404, {}), {"vsml-small": "missing"}),
        (TEMPLATES + "vsml-small", (403, {}), {"vsml-small": "unknown"}),
        (TEMPLATES + "vsml-large", (404, {}), {"vsml-large": "missing", "GPUs": "unknown"}),
        ("/api/v1/nodes", nodes(a=""), {"GPUs": "missing"}),
        ("/api/v1/nodes", (403, {}), {"GPUs": "unknown"}),
    ],
)
def test_one_thing_amiss_on_the_cluster(site, path, answer, changed):
    site.answers[path] = answer
    without = {"cluster": "missing", "MLflow": "ok", "MLflow for pods": "unknown", "artifacts": "ok"}
    assert verdicts() == (without if changed is None else WELL | changed)


def test_an_api_server_that_is_away_hides_nothing_of_mlflow(site, monkeypatch):
    site.down = True
    assert "cannot be reached" in found()["cluster"].fact
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert verdicts() == {"cluster": "missing", "MLflow": "ok", "MLflow for pods": "unknown", "artifacts": "ok"}


def test_a_tree_that_is_not_that_of_the_image(site):
    site.template("vsml-small", site.mlflow | {"VSML_COMMIT": "unset"})
    assert verdicts() == WELL | {"vsml-small": "missing"}
    (paths.ROOT / "file").write_text("b")
    assert verdicts() == WELL | {"vsml-small": "missing", "vsml-large": "missing"}
    dirty = found()["vsml-small"]
    assert "The working tree is dirty" in dirty.fact and "git commit" in dirty.remedy


def test_the_namespace_of_a_driver_is_examined(site, monkeypatch):
    monkeypatch.setenv("VSML_NAMESPACE", "elsewhere")
    seen = found()
    assert "Namespace elsewhere has no PodTemplate vsml-small." in seen["vsml-small"].fact
    assert seen["rights"].verdict == "missing" and "kubectl -n elsewhere create rolebinding" in seen["rights"].remedy


def test_an_mlflow_without_address_or_password_and_a_host_that_it_refuses_to_pods(site, monkeypatch):
    site.template("vsml-small", {"VSML_COMMIT": site.commit, "MLFLOW_TRACKING_URI": "http://tracker:5000"})
    (refused,) = [finding for finding in doctor.examine() if finding.verdict == "missing"]
    assert "refuses requests to the host tracker:5000" in refused.fact
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in refused.remedy

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    seen = found()
    assert seen["MLflow"].verdict == "missing" and "MLFLOW_TRACKING_PASSWORD" in seen["MLflow"].remedy
    assert "artifacts" not in seen

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (mlflow,) = [finding for finding in doctor.examine() if finding.about.startswith("MLflow")]
    assert mlflow.verdict == "missing" and "port-forward" in mlflow.remedy


def test_an_mlflow_that_falls_silent_before_the_round_trip_is_a_finding():
    silent = mock.Mock(get=mock.Mock(side_effect=requests.Timeout("no answer")))
    seen = doctor._round_trip(silent, "http://h")
    assert seen.verdict == "missing" and "bytes failed: no answer." in seen.fact


@pytest.mark.parametrize("user", ["driver", "stage"])
def test_who_computes_or_drives_may_do_all_of_its_work_and_is_no_administrator(guarded, monkeypatch, tmp_path, user):
    other = requests.post(f"{guarded}/api/2.0/mlflow/experiments/create", json={"name": user}, auth=login("admin"))
    log_in(monkeypatch, guarded, user)
    store, file = Store(), tmp_path / "file"
    run = store.create("meta_train", {"stage": "meta_train"})
    store.write(run, "state/old.json", [])
    store.remove(run, "state/old.json")
    file.write_text("a rule")
    assert store.once(run, "committed", "a") == store.once(run, "committed", "b") == "a"
    store.register(f"learned.{user}", run, file, {"sha256": artifacts.sha256_file(file)}, "released", "")
    assert [one.id for one in store.find({"stage": "meta_train"})] == [run]
    store.forget(run)

    for method, path, body in (
        ("POST", "users/create", {"username": "more", "password": "a-longer-password"}),
        ("PATCH", "users/update-password", {"username": "admin", "password": "a-longer-password"}),
        ("PATCH", "users/update-admin", {"username": user, "is_admin": True}),
        ("POST", "experiments/delete", {"experiment_id": store._experiment}),
        ("POST", "runs/create", {"experiment_id": other.json()["experiment_id"]}),
    ):
        answer = requests.request(method, f"{guarded}/api/2.0/mlflow/{path}", json=body, auth=login(user))
        assert answer.status_code == 403, (path, answer.text)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"the-password-before {user}")
    with pytest.raises(TrackingError, match=r"401|credentials|authenticated"):
        Store()


def login(user: str) -> tuple[str, str]:
    return user, f"{PASSWORD} {user}"
