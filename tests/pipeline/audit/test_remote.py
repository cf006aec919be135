"""A remote on a real S3 server: every object is read and hashed, so other bytes behind its back are named."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.run.params import read_yaml

pytestmark = pytest.mark.tampering
BUCKET, KEY, SECRET = "results", "a-key", "a-secret"
PARTS = ("master", "volume", "filer", "s3")  # of the server, with a port each, and one more for gRPC


class Remote(NamedTuple):
    client: Any
    address: str


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture
def remote(audited, tmp_path) -> Iterator[Remote]:
    """An S3 server that checks keys, with an empty bucket that is the clone's default remote."""
    keys = {"name": "me", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (tmp_path / "keys.json").write_text(json.dumps({"identities": [keys]}))
    (tmp_path / "data").mkdir()
    ports = dict(zip([f"{part}.port{kind}" for part in PARTS for kind in ("", ".grpc")], _free_ports(8), strict=True))
    weed = str(Path(sys.executable).with_name("weed"))
    options = [f"-dir={tmp_path / 'data'}", "-ip=127.0.0.1", "-s3", f"-s3.config={tmp_path / 'keys.json'}"]
    options += ["-master.volumeSizeLimitMB=64", *(f"-{name}={port}" for name, port in ports.items())]
    address = f"http://127.0.0.1:{ports['s3.port']}"
    with (tmp_path / "weed.log").open("w+") as log:
        server = subprocess.Popen([weed, "server", *options], cwd=tmp_path, stdout=log, stderr=log)
        try:
            yield Remote(_bucket(address, server, log), address)
        finally:
            server.terminate()
            server.wait(60)


def _bucket(address: str, server: subprocess.Popen, log):
    own = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, config=Config(retries={"total_max_attempts": 1}), **own)
    give_up = time.monotonic() + 120
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            return client
        except (BotoCoreError, ClientError) as error:  # it is not up yet
            log.seek(0)
            assert time.monotonic() < give_up and server.poll() is None, f"{error}; it said:\n{log.read()[-4000:]}"
            time.sleep(0.3)


@pytest.fixture
def pushed(audited, remote) -> Iterator[Remote]:
    """All that dvc.lock names, in the bucket."""
    facts = {"endpointurl": remote.address, "access_key_id": KEY, "secret_access_key": SECRET}
    audited.run("dvc", "remote", "add", "--local", "cloud", f"s3://{BUCKET}/dvc")
    for name, value in facts.items():
        audited.run("dvc", "remote", "modify", "--local", "cloud", name, value)
    audited.run("dvc", "remote", "default", "--local", "cloud")
    try:
        audited.run("dvc", "push", "--quiet")
        yield remote
    finally:
        audited.run("dvc", "remote", "default", "--local", "second")
        audited.run("dvc", "remote", "remove", "--local", "cloud")


def _key(audited, item: str) -> str:
    lock = read_yaml(audited.root / "dvc.lock")["stages"]
    md5 = lock[item]["outs"][0]["md5"]
    return f"dvc/files/md5/{md5[:2]}/{md5[2:]}"


def test_a_byte_flipped_in_the_bucket_and_a_lost_object_are_named(audited, pushed):
    assert audited.audit(remote=True)["findings"] == []

    flipped, lost = _key(audited, "baseline@sgd"), _key(audited, "unify")
    content = pushed.client.get_object(Bucket=BUCKET, Key=flipped)["Body"].read()
    other = bytes([*content[:99], content[99] ^ 1, *content[100:]])
    pushed.client.put_object(Bucket=BUCKET, Key=flipped, Body=other)
    pushed.client.delete_object(Bucket=BUCKET, Key=lost)
    found = audited.audit(remote=True)["findings"]
    said = [(one["kind"], one["object"], one["items"]) for one in found]
    assert said == [
        ("broken", f"DVC remote object {BUCKET}/{flipped}", ["baseline@sgd"]),
        ("unproven", f"DVC remote object {BUCKET}/{lost}", ["unify"]),
    ]
    assert audited.audit()["findings"] == []  # here all is as it was


def test_a_remote_that_cannot_be_read_is_no_finding(audited, pushed):
    """Keys that the server refuses, and nobody at its address: the audit could not be made."""
    for name, value in {"secret_access_key": "wrong", "endpointurl": "http://127.0.0.1:9"}.items():
        audited.run("dvc", "remote", "modify", "--local", "cloud", name, value)
        status, said = audited.tell(audited.start("python", "-m", "pipeline", "audit", "--remote", cwd=audited.root))
        assert status == 2 and f"audit: --remote: {BUCKET}/dvc/files/md5/" in said, said
