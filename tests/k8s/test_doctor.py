"""The doctor against a real MLflow server, with passwords, and an API server that answers as it is told."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.cluster import doctor
from pipeline.run import paths
from tests import servers

PASSWORD = "a-password-of-a-test"
RIGHTS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
TEMPLATES = "/api/v1/namespaces/vsml/podtemplates/"


class ApiServer(ThreadingHTTPServer):
    """A healthy cluster; `answers` (by path: status and body) and `denied` (verb and resource) say otherwise."""

    def __init__(self, commit: str, mlflow: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.denied: set[tuple[str, str]] = set()
        self.answers: dict[str, tuple[int, Any]] = {
            "/version": (200, {"major": "", "minor": "", "gitVersion": "v1.34.1+k3s1"}),
            "/api/v1/nodes": (200, {"items": [node("a", {"nvidia.com/gpu": "4"}), node("b", {})]}),
            TEMPLATES + "vsml-small": (200, template("vsml-small", commit, mlflow, {})),
            TEMPLATES + "vsml-large": (200, template("vsml-large", commit, mlflow, {"nvidia.com/gpu": "1"})),
        }


class Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
        self._send(*self.server.answers.get(self.path, (404, status)))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        attributes = asked["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (attributes["resource"], attributes.get("subresource"))))
        right = attributes["verb"], resource
        known = self.path == RIGHTS and attributes["namespace"] == "vsml"
        self._send(201, asked | {"status": {"allowed": known and right not in self.server.denied}})

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def node(name: str, gpus: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"allocatable": {"cpu": "8", **gpus}}}


def template(name: str, commit: str, mlflow: str, gpus: dict[str, str]) -> dict[str, Any]:
    env = [{"name": "MLFLOW_TRACKING_URI", "value": mlflow}]
    stage = {"name": "stage", "image": "vsml:1", "env": env, "resources": {"limits": {"memory": "4Gi", **gpus}}}
    metadata = {"name": name, "annotations": {"vsml/commit": commit}}
    return {"metadata": metadata, "template": {"spec": {"containers": [stage]}}}


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory) -> Iterator[str]:
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
def tree(tmp_path, monkeypatch) -> str:
    """A clean tree; its commit."""
    root = tmp_path / "tree"
    root.mkdir()
    monkeypatch.setattr(paths, "ROOT", root)
    (root / "file").write_text("a")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example"]
    for words in (["init", "-q"], ["add", "file"], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", root, *words], check=True)
    done = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def api(tree, mlflow_server, tmp_path, monkeypatch) -> Iterator[ApiServer]:
    """All is well, and the environment is set as the doctor says."""
    with ApiServer(tree, "http://mlflow.vsml.svc:5000") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.kubeconfig(tmp_path / "config", server.server_port)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "vsml")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        yield server
        server.shutdown()
        thread.join()


def verdicts() -> dict[str, str]:
    return {finding.about: finding.verdict for finding in doctor.examine()}


WELL = dict.fromkeys(
    ("cluster", "rights", "vsml-small", "vsml-large", "GPUs", "MLflow", "MLflow for pods", "artifacts"), "ok"
)


def test_all_is_well(api, capsys):
    assert verdicts() == WELL
    doctor.main()
    assert "test, Kubernetes 1.34" in capsys.readouterr().out


def test_what_is_missing_is_said_with_what_mends_it_and_the_exit_status(api, capsys):
    api.denied = {("create", "jobs"), ("get", "pods/log")}
    with pytest.raises(SystemExit, match="1 of what a stage on the cluster needs is missing"):
        doctor.main()
    out = capsys.readouterr().out
    assert "MISSING  rights: This account may not create jobs, get pods/log in vsml." in out
    assert "> kubectl -n vsml create rolebinding" in out
    assert verdicts() == WELL | {"rights": "missing"}


def test_without_a_kubeconfig_mlflow_is_still_examined(api, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    expected = {"cluster": "missing", "MLflow": "ok", "MLflow for pods": "unknown", "artifacts": "ok"}
    assert verdicts() == expected


def test_an_api_server_that_is_away(api, tmp_path, monkeypatch):
    text = (tmp_path / "config").read_text().replace(str(api.server_port), "1")
    (tmp_path / "config").write_text(text)
    (cluster, *_) = doctor.examine()
    assert cluster.verdict == "missing" and "cannot be reached" in cluster.fact


@pytest.mark.parametrize(
    ("path", "answer", "changed"),
    [
        ("/version", (200, {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}), {"cluster": "missing"}),
        ("/version", (503, {}), {"cluster": "missing"}),
        ("/version", (200, {}), {"cluster": "missing"}),
        ("/version", (401, {}), {"cluster": "missing"}),
        (TEMPLATES + "vsml-small", (404, {}), {"vsml-small": "missing"}),
        (TEMPLATES + "vsml-small", (403, {}), {"vsml-small": "unknown"}),
        (TEMPLATES + "vsml-large", (404, {}), {"vsml-large": "missing", "GPUs": "unknown"}),
        (
            TEMPLATES + "vsml-small",
            (200, template("vsml-small", "unset", "http://mlflow.vsml.svc:5000", {})),
            {"vsml-small": "missing"},
        ),
        ("/api/v1/nodes", (200, {"items": [node("a", {})]}), {"GPUs": "missing"}),
        ("/api/v1/nodes", (403, {}), {"GPUs": "unknown"}),
    ],
)
def test_one_thing_amiss_on_the_cluster(api, path, answer, changed):
    api.answers[path] = answer
    found = verdicts()
    if path == "/version" and answer[1].get("gitVersion") is None:
        assert found["cluster"] == "missing" and "rights" not in found and found["artifacts"] == "ok"
    else:
        assert found == WELL | changed


def test_a_tree_that_is_not_that_of_the_image(api, tree):
    (paths.ROOT / "file").write_text("b")
    assert verdicts() == WELL | {"vsml-small": "missing", "vsml-large": "missing"}
    dirty = [finding for finding in doctor.examine() if finding.about == "vsml-small"]
    assert "The tree is dirty" in dirty[0].fact and "git commit" in dirty[0].remedy


def test_the_namespace_of_a_driver_is_examined(api, monkeypatch):
    monkeypatch.setenv("VSML_NAMESPACE", "elsewhere")
    found = {finding.about: finding for finding in doctor.examine()}
    assert found["vsml-small"].fact == "The namespace elsewhere has no PodTemplate vsml-small."
    assert found["rights"].verdict == "missing" and "kubectl -n elsewhere create rolebinding" in found["rights"].remedy


def test_no_address_of_mlflow(api, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (mlflow,) = [finding for finding in doctor.examine() if finding.about.startswith("MLflow")]
    assert mlflow.verdict == "missing" and "port-forward" in mlflow.remedy


def test_a_wrong_password(api, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    findings = {finding.about: finding for finding in doctor.examine()}
    assert findings["MLflow"].verdict == "missing" and "MLFLOW_TRACKING_PASSWORD" in findings["MLflow"].remedy
    assert "artifacts" not in findings


def test_a_host_that_mlflow_refuses_to_pods(api, tree):
    api.answers[TEMPLATES + "vsml-small"] = 200, template("vsml-small", tree, "http://tracker:5000", {})
    (refused,) = [finding for finding in doctor.examine() if finding.verdict == "missing"]
    assert "refuses requests to the host tracker:5000" in refused.fact
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in refused.remedy
