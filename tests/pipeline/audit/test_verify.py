"""Each fault of a bundle of evidence is said. This one is made by hand; test_bundle.py has one that was packed."""

import hashlib
import json

import pytest

from pipeline.audit.evidence import PREDICATE, STATEMENT, SUMS
from pipeline.audit.verify import verify

COMMIT = {"uri": "git:.", "digest": {"gitCommit": "c" * 40}}
FIGURE, TABLE = "artifacts/figure/one.png", "artifacts/unify/one.npz"


COMMAND = "exec python -m pipeline "
FLOW = {  # JSON is YAML
    "stages": {
        "unify": {"cmd": f"{COMMAND}unify", "outs": [TABLE]},
        "figure": {"cmd": f"{COMMAND}figure", "deps": [TABLE], "outs": [FIGURE]},
    }
}


def _named(name, content):
    return {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}


def _files(drawn=b"drawn", read=b"computed", source=(COMMIT,)):
    left = {"figure": (_named(FIGURE, b"drawn"), [COMMIT, _named(TABLE, read)])}
    left["unify"] = _named(TABLE, b"computed"), list(source)
    files = {FIGURE: drawn, "dvc.yaml": json.dumps(FLOW).encode(), "params.yaml": b"root: .", "datasets.lock": b"{}"}
    for item, (subject, deps) in left.items():
        given = {"command": COMMAND + item}
        of = {"buildDefinition": {"externalParameters": given, "resolvedDependencies": deps}}
        one = {"_type": STATEMENT, "predicateType": PREDICATE, "subject": [subject], "predicate": of}
        files[f"statements/{item}.json"] = json.dumps(one).encode()
    return files


@pytest.mark.parametrize(
    ("files", "listed", "faults"),
    [
        (_files(), _files(), []),
        (_files(drawn=b"painted"), _files(), ["was changed", "the subject of no statement"]),
        (_files(drawn=b"painted"), _files(drawn=b"painted"), ["the subject of no statement"]),
        (_files() | {"more": b""}, _files(), ["was added"]),
        (_files(), _files() | {"more": b""}, ["is missing"]),
        (_files(read=b"other"), _files(read=b"other"), ["which no statement here has left"]),
        (_files(source=()), _files(source=()), ["names no commit"]),
    ],
)
def test_each_fault_of_a_bundle_is_said(tmp_path, files, listed, faults):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in listed.items()]
    (tmp_path / SUMS).write_text("".join(sums))
    found = list(verify(tmp_path))
    assert len(found) == len(faults) and all(words in one for words, one in zip(faults, found, strict=True))
    assert "not the bundle that was published" in next(verify(tmp_path, "0" * 64))
