"""Kubeconfigs that name no cluster, through the command that a user types; and what is said of one that is away."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.__main__ import main
from pipeline.cluster.connection import Api
from pipeline.run import paths
from pipeline.track.patience import Away

CONTEXT = {"name": "x", "context": {"cluster": "c", "user": "u"}}
GOOD = {
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {}}],
    "contexts": [CONTEXT],
    "current-context": "x",
}
BAD = {
    "absent": (None, "Invalid kube-config file. No configuration found."),
    "empty": ("", "file is empty"),
    "no yaml": ("{", "expected the node content, but found"),
    "not text": ("\x00\xff", "can't decode byte 0xff"),
    "a list": ([], "list indices must be integers"),
    "no context": ({"contexts": []}, "Expected object with name x in"),
    "another context": ({"current-context": "y"}, "Expected object with name y in"),
    "no cluster": ({"clusters": []}, "Expected object with name c in"),
    "no server": ({"clusters": [{"name": "c", "cluster": {}}]}, "its server is '', expected https://HOST"),
    "users that are none": ({"users": [3]}, "argument of type 'int' is not iterable"),
    "no certificate": (
        {"clusters": [{"name": "c", "cluster": {"server": "https://h", "certificate-authority": "/none.pem"}}]},
        "File does not exist: /none.pem",
    ),
    "no token": ({"users": [{"name": "u", "user": {"tokenFile": "/none"}}]}, "No such file or directory: '/none'"),
}


def test_a_password_in_the_address_of_a_cluster_is_not_shown(tmp_path, monkeypatch):
    cluster = {"clusters": [{"name": "c", "cluster": {"server": "https://me:s3cret@127.0.0.1:1"}}]}
    (tmp_path / "config").write_text(json.dumps(GOOD | cluster))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(Away) as away:
        Api(patience_s=0.1).job("none")
    assert "127.0.0.1" in str(away.value) and "s3cret" not in str(away.value)


@pytest.mark.parametrize("content, why", BAD.values(), ids=BAD)
def test_a_kubeconfig_that_names_no_cluster_is_refused_in_one_sentence(content, why, tmp_path, monkeypatch, capsys):
    file = tmp_path / "config"
    if content is not None:
        held = GOOD | content if isinstance(content, dict) else content
        file.write_bytes((held if isinstance(held, str) else json.dumps(held)).encode("latin-1"))
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(SystemExit) as end:
        main(["jobs"])
    said = capsys.readouterr().err
    assert end.value.code == 1 and said.count("\n") == 1
    assert said.startswith(f"jobs: No cluster is named by {file}, nor by a token of this machine (")
    assert why in said and "`export KUBECONFIG=FILE`, and choose a context with `kubectl config use-context" in said


def test_a_fork_leaves_no_copy_of_a_key(tmp_path):
    (copies := tmp_path / "copies").mkdir()
    user = {"client-certificate-data": "c2VjcmV0", "client-key-data": "c2VjcmV0"}
    (tmp_path / "config").write_text(json.dumps(GOOD | {"users": [{"name": "u", "user": user}]}))
    code = "import multiprocessing as m\nfrom pipeline.cluster.connection import Api\n"
    code += "(fork := m.get_context('fork').Process(target=Api)).start()\nfork.join()\nraise SystemExit(fork.exitcode)"
    env = os.environ | {"KUBECONFIG": str(tmp_path / "config"), "TMPDIR": str(copies)}
    subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, env=env, check=True)
    assert not [*copies.iterdir()]
