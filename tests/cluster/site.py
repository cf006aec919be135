"""What a bare cluster of one node lacks to be one of ours; then a command among it, with what a driver needs set.

    in env -C CHECKOUT python tests/cluster/site.py TOOLS CMD…

TOOLS is the folder of `in` and `mkimg.py`. Pods run an image of the last commit, in the environment of this Python,
which they see read-only where it lies here, since no registry has another. MLflow is started as the Deployment says,
after the migrations that the Job says, but on the node itself: nothing here resolves the name of a Service. Of
PostgreSQL and S3 there are the real servers. All of them end with this process.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from pipeline.cluster import deploy
from pipeline.cluster.connection import NAMESPACE, SERVERS
from pipeline.run import job as provenance

ROOT = Path(__file__).parents[2]
NODE = "10.244.0.1"  # as pods reach it
BUCKET = "vsml"
PODS_SEE = dict.fromkeys((sys.prefix, sys.base_prefix, "/usr"))  # the environment, its Python, what that is linked to


def main(tools: Path, command: list[str]) -> int:
    """Run a command on the finished site; its exit status."""
    with tempfile.TemporaryDirectory(prefix="site-") as name, contextlib.ExitStack() as servers:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        commit = provenance.git()["commit"]
        image = _image(folder, tools, commit)
        manifests = _applied(folder, {"vsml": image, "postgres": "docker.io/library/postgres:17"}, commit)
        _postgres(folder, servers)
        _s3(folder, servers)
        _mlflow(folder, servers, manifests)
        login = _secret("mlflow-driver")
        own = {"MLFLOW_TRACKING_URI": "http://localhost:5000", "VSML_NAMESPACE": NAMESPACE}
        own |= {f"MLFLOW_TRACKING_{key.upper()}": value for key, value in login.items()}
        print(f"The site is up: {image}, MLflow at {own['MLFLOW_TRACKING_URI']}.", flush=True)
        return subprocess.run(command, env=os.environ | own, check=False).returncode


def _image(folder: Path, tools: Path, commit: str) -> str:
    """The last commit as the Dockerfile lays it out, on folders that the templates fill; its name."""
    name, root = f"localhost/vsml:{commit[:12]}", folder / "root"
    for empty in ("usr", "proc", "sys", "dev", "etc", "tmp", "work", "opt/vsml"):
        (root / empty).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    committed = subprocess.run(["git", "-C", ROOT, "archive", commit], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", root / "opt/vsml"], input=committed, check=True)
    archive = folder / "image.tar"
    subprocess.run([sys.executable, tools / "mkimg.py", root, name, archive], check=True)
    subprocess.run(["ctr", "-n", "k8s.io", "image", "import", archive], check=True, stdout=subprocess.DEVNULL)
    archive.unlink()
    return name


def _applied(folder: Path, images: dict[str, str], commit: str) -> list[dict[str, Any]]:
    """Apply what stages and drivers need of the overlay for laptops, with files in S3; return all of the overlay."""
    manifests = deploy.render(folder / "deployed", "kind", ["s3"], images, commit)
    _kubectl("apply", given=[one for one in manifests if one["kind"] == "Namespace"])
    values = {"destination": f"s3://{BUCKET}/mlflow", "endpoint": "http://127.0.0.1:8333", "region": "us-east-1"}
    values |= {"access-key": "mlflow", "secret-key": secrets.token_hex(24)}
    s3 = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mlflow-s3", "namespace": SERVERS},
        "stringData": values,
    }
    _kubectl("apply", given=[s3])
    deploy.make_secrets(manifests)
    for template in (one for one in manifests if one["kind"] == "PodTemplate"):
        _fit(template["template"]["spec"])
    wanted = ("ServiceAccount", "Role", "RoleBinding", "PodTemplate")
    _kubectl("apply", given=[one for one in manifests if one["kind"] in wanted])
    return manifests


def _fit(spec: dict[str, Any]) -> None:
    """Give the pods of a template the environment of this Python, and the address of MLflow by the name they know."""
    (stage,) = spec["containers"]
    own = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "PYTHONPATH": "/opt/vsml"}
    own |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}  # as the Dockerfile has it
    stage["env"] += [{"name": name, "value": value} for name, value in own.items()]
    for number, path in enumerate(PODS_SEE):
        spec["volumes"].append({"name": f"node-{number}", "hostPath": {"path": path, "type": "Directory"}})
        stage["volumeMounts"].append({"name": f"node-{number}", "mountPath": path, "readOnly": True})
    spec["hostAliases"] = [{"ip": NODE, "hostnames": [f"mlflow.{SERVERS}.svc"]}]


def _postgres(folder: Path, servers: contextlib.ExitStack) -> None:
    """PostgreSQL under the name of its Service, with the password of its Secret."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data, password = folder / "postgres", folder / "password"
    data.mkdir()
    password.write_text(_secret("postgres")["password"])
    shutil.chown(data, "postgres", "postgres")
    shutil.chown(password, "postgres", "postgres")
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost postgres\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)  # in the node's own mount namespace
    servers.callback(subprocess.run, ["umount", "/etc/hosts"], check=True)
    to_be = ["runuser", "-u", "postgres", "--"]
    made = ["--username=mlflow", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    initdb = [*to_be, programs / "initdb", "-D", data, *made, "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    _start(folder, servers, "postgres", [*to_be, programs / "postgres", "-D", data, "-k", data, "-c", "fsync=off"])
    env = os.environ | {"PGPASSWORD": password.read_text()}
    address = ["-h", "postgres", "-U", "mlflow"]
    _until(lambda: not subprocess.run([programs / "pg_isready", "-q", *address], check=False).returncode, "PostgreSQL")
    subprocess.run([programs / "createdb", *address, "mlflow"], env=env, check=True)


def _s3(folder: Path, servers: contextlib.ExitStack) -> None:
    """SeaweedFS with the keys of the Secret, and the bucket that it names."""
    import boto3  # only here

    at = _secret("mlflow-s3")
    keys = {"accessKey": at["access-key"], "secretKey": at["secret-key"]}
    identity = {"name": "mlflow", "credentials": [keys], "actions": ["Admin"]}
    (folder / "keys.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "s3").mkdir()
    options = [f"-dir={folder / 's3'}", "-ip=127.0.0.1", "-s3", f"-s3.config={folder / 'keys.json'}"]
    weed = [f"{sys.prefix}/bin/weed", "server", *options, "-master.volumeSizeLimitMB=64"]
    _start(folder, servers, "s3", weed)
    own = {"aws_access_key_id": at["access-key"], "aws_secret_access_key": at["secret-key"]}
    client = boto3.client("s3", endpoint_url=at["endpoint"], region_name=at["region"], **own)

    def made() -> bool:
        client.create_bucket(Bucket=BUCKET)
        return True

    _until(made, "SeaweedFS")


def _mlflow(folder: Path, servers: contextlib.ExitStack, manifests: list[dict[str, Any]]) -> None:
    """Migrations and server, by the command and environment of their manifests."""
    (migrate,) = (one for one in manifests if one["kind"] == "Job")
    (server,) = (one for one in manifests if (one["kind"], one["metadata"]["name"]) == ("Deployment", "mlflow"))
    (config,) = (one for one in manifests if one["kind"] == "ConfigMap")
    for name, text in config["data"].items():
        (folder / name).write_text(text)
    (step,) = migrate["spec"]["template"]["spec"]["containers"]
    (serve,) = server["spec"]["template"]["spec"]["containers"]
    own = {"HOME": str(folder), "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
    command, log = step["command"] + step["args"], folder / "migrate.log"
    with log.open("wb") as said:
        if subprocess.run(command, cwd=folder, env=_env(step) | own, stdout=said, stderr=said, check=False).returncode:
            raise SystemExit(f"The migration of MLflow's database failed:\n{log.read_text()}")
    _start(folder, servers, "mlflow", serve["command"], _env(serve) | own)
    _until(lambda: urllib.request.urlopen("http://localhost:5000/health"), "MLflow")


def _env(container: dict[str, Any]) -> dict[str, str]:
    """The environment that a container has, beside that of this process."""
    found = {}
    for entry in container["env"]:
        source = entry.get("valueFrom", {}).get("secretKeyRef")
        found[entry["name"]] = _secret(source["name"])[source["key"]] if source else entry["value"]
    return os.environ | found


def _start(
    folder: Path, servers: contextlib.ExitStack, name: str, command: list[Any], env: dict[str, str] | None = None
) -> None:
    log = servers.enter_context((folder / f"{name}.log").open("wb"))
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    servers.callback(_end, server)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _secret(name: str) -> dict[str, str]:
    words = ["get", "secret", name, "--output=go-template={{range $k, $v := .data}}{{$k}} {{base64decode $v}}\n{{end}}"]
    return dict(line.split(" ", 1) for line in _kubectl("-n", SERVERS, *words).splitlines())


def _kubectl(*words: str, given: list[dict[str, Any]] | None = None) -> str:
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": given})
    command = ["kubectl", *words, *(["-f", "-"] if given is not None else [])]
    return subprocess.run(command, input=listed, stdout=subprocess.PIPE, text=True, check=True).stdout


def _until(ready, what: str, seconds: float = 120) -> None:
    give_up, why = time.monotonic() + seconds, "it said no"
    while time.monotonic() < give_up:
        try:
            if ready():
                return
        except Exception as error:
            why = str(error)
        time.sleep(0.3)
    raise SystemExit(f"{what} did not come up within {seconds:.0f} s: {why}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
