"""The scripts of component backup and PostgreSQL's hook, as their manifests run them, on a real PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.k8s.conftest import Rendered
from tests.servers import free_port, until

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = pytest.mark.skipif(not PROGRAMS or os.geteuid() != 0, reason="PostgreSQL and root are wanted")


class Site:
    """A PostgreSQL, folders in the place of volumes, and the commands of pods with their environment."""

    def __init__(self, folder: Path, rendered: Rendered) -> None:
        self.folder, self._rendered = folder, rendered
        self.artifacts, self.backup = folder / "artifacts", folder / "backup"
        (config,) = [one for one in rendered.kind("ConfigMap") if "backup.sh" in one["data"]]
        for name, script in config["data"].items():
            (folder / name).write_text(script)
        self.env = {"PATH": f"{PROGRAMS[-1]}:/usr/bin:/bin", "PGHOST": str(folder), "PGPORT": str(free_port())}
        self.env |= {"PGUSER": "mlflow", "PGDATABASE": "mlflow", "PGPASSWORD": "at first"}
        self.env |= {"BACKUP": str(self.backup), "ARTIFACTS": str(self.artifacts)}

    def run(self, pod: str, **env: str) -> subprocess.CompletedProcess[str]:
        (container,) = self._rendered.pods()[pod]["spec"]["containers"]
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one} | self.env | env
        command = [word.replace("/etc/vsml", str(self.folder)) for word in container["command"]]
        return subprocess.run(command, env=given, cwd=self.folder, capture_output=True, text=True, check=False)

    def sql(self, words: str) -> str:
        command = ["psql", "--no-align", "--tuples-only", f"--command={words}"]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def site(rendered_all) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="backup-") as name:  # PostgreSQL runs as another user
        folder = Path(name)
        made, data = Site(folder, rendered_all), folder / "data"
        data.mkdir()
        (folder / "password").write_text("at first")
        for path in (folder, data):
            shutil.chown(path, "postgres")
        as_other = {"cwd": folder, "env": made.env, "user": "postgres", "group": "postgres", "extra_groups": []}
        how = ["--username=mlflow", "--pwfile=password", "--auth-host=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        subprocess.run(["initdb", "-D", data, *how], check=True, capture_output=True, **as_other)
        command = ["postgres", "-D", data, "-k", folder, "-c", "fsync=off", "-h", "127.0.0.1"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_other)
        try:
            until(lambda: not subprocess.run(["pg_isready", "-q"], env=made.env).returncode, "PostgreSQL")
            subprocess.run(["createdb", "mlflow"], env=made.env, check=True)
            yield made
        finally:
            server.terminate()
            server.wait(30)


def test_what_was_saved_comes_back_and_what_is_damaged_or_in_use_does_not(site):
    site.sql("CREATE TABLE runs (id text); INSERT INTO runs VALUES ('first')")
    site.artifacts.mkdir()
    (site.artifacts / "rule.npz").write_text("learned")
    assert (done := site.run("CronJob mlflow-backup", KEPT="1")).returncode == 0, done.stderr
    site.sql("DROP TABLE runs; CREATE TABLE runs (id text, more text)")
    (site.artifacts / "rule.npz").unlink()
    with subprocess.Popen(["psql", "-qc", "SELECT pg_sleep(60)"], env=site.env, stderr=subprocess.DEVNULL) as client:
        sleeps = "FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
        until(lambda: site.sql(f"SELECT count(*) {sleeps}") == "1", "a client")
        refused = site.run("CronJob mlflow-restore")
        site.sql(f"SELECT pg_terminate_backend(pid) {sleeps}")
        client.wait(20)
    assert refused.returncode == 75 and "1 clients use the database. Stop MLflow first" in refused.stderr
    assert (done := site.run("CronJob mlflow-restore")).returncode == 0, done.stderr
    assert site.sql("SELECT * FROM runs") == "first" and (site.artifacts / "rule.npz").read_text() == "learned"

    # What a backup that was killed leaves; the copy was to be one of an older file.
    os.utime(site.artifacts / "rule.npz", (1, 1))
    (site.backup / "artifacts/rule.npz").write_text("lea")
    (site.backup / "artifacts/deleted.npz").write_text("kept")
    for name, at in (("old.part", 1), ("new.part", time.time())):
        (site.backup / "database" / name).touch()
        os.utime(site.backup / "database" / name, (at, at))
    (dump,) = (site.backup / "database").glob("*.dump")
    until(lambda: site.run("CronJob mlflow-backup", KEPT="1") and not dump.exists(), "that the old one goes")
    kept = {path.name: path.read_text() for path in (site.backup / "artifacts").iterdir()}
    assert kept == {"rule.npz": "learned", "deleted.npz": "kept"}
    assert [path.name for path in (site.backup / "database").glob("*.part")] == ["new.part"]
    (dump,) = (site.backup / "database").glob("*.dump")
    dump.write_bytes(dump.read_bytes()[:-1] + b"!")
    refused = site.run("CronJob mlflow-restore")
    assert refused.returncode == 65 and "is not what was saved" in refused.stderr
    assert site.sql("SELECT * FROM runs") == "first"


def test_a_new_password_of_the_secret_is_that_of_the_database(site, rendered_all):
    (server,) = rendered_all.pods()["StatefulSet postgres"]["spec"]["containers"]
    hook, over_tcp = server["lifecycle"]["postStart"]["exec"]["command"], {"PGHOST": "127.0.0.1"}
    subprocess.run(hook, env=site.env | {"POSTGRES_PASSWORD": "it's new"}, check=True, timeout=60)
    for password, status in (("at first", 2), ("it's new", 0)):
        env = site.env | over_tcp | {"PGPASSWORD": password}
        assert subprocess.run(["psql", "-qc", "SELECT 1"], env=env, stdout=-3, stderr=-3).returncode == status
