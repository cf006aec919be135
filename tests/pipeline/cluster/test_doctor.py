"""The doctor against a real MLflow server, with passwords, and an API server that answers as it is told."""

import subprocess

import pytest

from pipeline.cluster import doctor
from pipeline.run import paths
from tests import servers

PASSWORD = "a-password-of-a-test"
TEMPLATES = "/api/v1/namespaces/test/podtemplates/"
WELL = dict.fromkeys(
    ("cluster", "rights", "vsml-small", "vsml-large", "GPUs", "MLflow", "MLflow for pods", "artifacts"), "ok"
)


def nodes(**gpus: str) -> tuple[int, dict]:
    offered = {name: {"cpu": "8"} | ({doctor.GPU: count} if count else {}) for name, count in gpus.items()}
    return 200, {"items": [{"metadata": {"name": name}, "status": {"allocatable": of}} for name, of in offered.items()]}


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """The address of an MLflow server that wants a password and answers to two hosts."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": f"{folder}/auth.ini",
        "MLFLOW_AUTH_ADMIN_USERNAME": "vsml",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a test",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,mlflow.vsml.svc:*",
    }
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
    cluster.mlflow = {"MLFLOW_TRACKING_URI": "http://mlflow.vsml.svc:5000"}
    cluster.template("vsml-small", cluster.mlflow | {"VSML_COMMIT": cluster.commit})
    cluster.template("vsml-large", cluster.mlflow | {"VSML_COMMIT": cluster.commit}, gpus=1)
    version = {"major": "", "minor": "", "gitVersion": "v1.34.1+k3s1"}
    cluster.answers = {"/version": (200, version), "/api/v1/nodes": nodes(a="4", b="")}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", guarded)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "vsml")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return cluster


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
