"""A remote on a real S3 server: every object is read and hashed, so other bytes behind its back are named."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.pipeline.audit.conftest import flipped
from tests.servers import free_port, until

pytestmark = pytest.mark.tampering
BUCKET, KEY, SECRET = "results", "a-key", "a-secret"
PARTS = ("master", "volume", "filer", "s3")  # of the server, with a port each, and one more for gRPC


@pytest.fixture(scope="module")
def remote(tmp_path_factory) -> Iterator[tuple[Any, str]]:
    """The client and the address of an S3 server that checks keys, with an empty bucket."""
    tmp_path = tmp_path_factory.mktemp("s3")
    keys = {"name": "me", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (tmp_path / "keys.json").write_text(json.dumps({"identities": [keys]}))
    (tmp_path / "data").mkdir()
    ports = {f"{part}.port{kind}": free_port() for part in PARTS for kind in ("", ".grpc")}
    options = [f"-dir={tmp_path / 'data'}", "-ip=127.0.0.1", "-s3", f"-s3.config={tmp_path / 'keys.json'}"]
    options += ["-master.volumeSizeLimitMB=64", *(f"-{name}={port}" for name, port in ports.items())]
    address, log = f"http://127.0.0.1:{ports['s3.port']}", tmp_path / "weed.log"
    own = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, config=Config(retries={"total_max_attempts": 1}), **own)
    with log.open("wb") as said:
        command = [str(Path(sys.executable).with_name("weed")), "server", *options]
        server = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said)

    def up() -> Any:
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(BotoCoreError, ClientError):
            return client.create_bucket(Bucket=BUCKET)

    try:
        until(up, f"the start of weed (see {log})", 120)
        yield client, address
    finally:
        server.kill()  # told to end, it waits for half a minute
        server.wait(60)


@pytest.fixture(scope="module")
def pushed(audited, remote) -> Iterator[Any]:
    """The client of a bucket that is the clone's default remote, with all that dvc.lock names."""
    client, address = remote
    facts = {"endpointurl": address, "access_key_id": KEY, "secret_access_key": SECRET}
    audited.run("dvc", "remote", "add", "--local", "cloud", f"s3://{BUCKET}/dvc")
    for name, value in facts.items():
        audited.run("dvc", "remote", "modify", "--local", "cloud", name, value)
    audited.run("dvc", "remote", "default", "--local", "cloud")
    try:
        audited.run("dvc", "push", "--quiet")
        yield client
    finally:
        audited.run("dvc", "remote", "default", "--local", "second")
        audited.run("dvc", "remote", "remove", "--local", "cloud")


def test_a_byte_flipped_in_the_bucket_and_a_lost_object_are_named(audited, pushed):
    assert audited.audit(remote=True)["findings"] == []

    other, lost = (audited.kept(item, Path("dvc")).as_posix() for item in ("baseline@sgd", "unify"))
    content = pushed.get_object(Bucket=BUCKET, Key=other)["Body"].read()
    pushed.put_object(Bucket=BUCKET, Key=other, Body=flipped(content))
    pushed.delete_object(Bucket=BUCKET, Key=lost)
    found = audited.audit(remote=True)["findings"]
    said = [(one["kind"], one["object"], one["items"]) for one in found]
    assert said == [
        ("broken", f"DVC remote object {BUCKET}/{other}", ["baseline@sgd"]),
        ("unproven", f"DVC remote object {BUCKET}/{lost}", ["unify"]),
    ]
    assert audited.audit()["findings"] == []  # here all is as it was


def test_a_remote_that_cannot_be_read_is_no_finding(audited, pushed):
    """Keys that the server refuses, and nobody at its address: the audit could not be made."""
    for name, value in {"secret_access_key": "wrong", "endpointurl": "http://127.0.0.1:9"}.items():
        audited.run("dvc", "remote", "modify", "--local", "cloud", name, value)
        status, _, error = audited.here("audit", "--remote")
        assert status == 2 and f"audit: --remote: {BUCKET}/dvc/files/md5/" in error, error
