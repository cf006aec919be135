"""Each fault of a bundle of evidence is said. This one is made by hand; test_bundle.py has one that was packed."""

import hashlib
import json

import pytest

from pipeline.audit.evidence import PREDICATE, STATEMENT, SUMS
from pipeline.audit.verify import verify

COMMIT = {"uri": "git:.", "digest": {"gitCommit": "c" * 40}}
FIGURE, TABLE, DATA = "artifacts/figure/one.png", "artifacts/unify/one.npz", "artifacts/test_data/one.npz"
COMMAND = "exec python -m pipeline "
FLOW = {  # JSON is YAML
    "stages": {
        "test_data": {"cmd": f"{COMMAND}test_data", "outs": [DATA]},
        "unify": {"cmd": f"{COMMAND}unify", "deps": ["artifacts/test_data"], "outs": [TABLE]},
        "figure": {"cmd": f"{COMMAND}figure", "deps": [TABLE], "outs": [FIGURE]},
    }
}


def _named(name, content):
    return {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}


RAW, PARSED, COMPUTED = _named("one/one.csv", b"published"), _named(DATA, b"parsed"), _named(TABLE, b"computed")


def _files(drawn=b"drawn", read=(COMMIT, COMPUTED), source=(COMMIT, RAW), command=COMMAND, lost=""):
    left = {"test_data": (PARSED, source), "unify": (COMPUTED, (COMMIT, PARSED))}
    left["figure"] = _named(FIGURE, b"drawn"), read
    files = {FIGURE: drawn, "dvc.yaml": json.dumps(FLOW).encode(), "params.yaml": b"root: ."}
    files |= {"datasets.lock": RAW["digest"]["sha256"].encode()}
    for item, (subject, deps) in left.items():
        of = {"buildDefinition": {"externalParameters": {"command": command + item}, "resolvedDependencies": deps}}
        one = {"_type": STATEMENT, "predicateType": PREDICATE, "subject": [subject], "predicate": of}
        files[f"statements/{item}.json"] = json.dumps(one).encode()
    return {name: content for name, content in files.items() if name != f"statements/{lost}.json"}


BY_HAND = [f"{item} was made by 'by hand {item}'" for item in ("figure", "test_data", "unify")]


@pytest.mark.parametrize(
    ("files", "listed", "faults"),
    [
        (_files(), None, []),
        (_files(drawn=b"painted"), _files(), ["was changed", "the subject of no statement"]),
        (_files(drawn=b"painted"), None, ["the subject of no statement"]),
        (_files() | {"more": b""}, _files(), ["was added"]),
        (_files(), _files() | {"more": b""}, ["is missing"]),
        (_files(read=(COMMIT, _named(TABLE, b"other"))), None, ["which no statement here has left"]),
        (_files(read=(COMMIT,)), None, [f"figure names {TABLE} not among what it read"]),
        (_files(source=()), None, ["names no commit", "read no file of a publisher"]),
        (_files(source=(COMMIT,)), None, ["test_data read no file of a publisher of datasets.lock"]),
        (_files(lost="figure"), None, ["the subject of no statement", "figure has no statement"]),
        (_files(lost="unify"), None, [f"figure read {TABLE} with sha256"]),
        (_files(command="by hand "), None, BY_HAND),
    ],
)
def test_each_fault_of_a_bundle_is_said(tmp_path, files, listed, faults):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in (listed or files).items()]
    (tmp_path / SUMS).write_text("".join(sums))
    found = list(verify(tmp_path))
    assert len(found) == len(faults) and all(words in one for words, one in zip(faults, found, strict=True)), found
    assert "not the bundle that was published" in next(verify(tmp_path, "0" * 64))
