"""Each fault of a bundle of evidence is said. This one is made by hand; test_bundle.py has one that was packed."""

import base64
import hashlib
import json
import subprocess

import pytest

from pipeline.__main__ import main
from pipeline.audit.evidence import ENVELOPE, FIXED, PREDICATE, STATEMENT, SUMS, _statement, pae, sign
from pipeline.audit.lock import Entry, Evidence
from pipeline.audit.verify import verify
from pipeline.audit.walk import Audit
from pipeline.run import paths
from pipeline.run.flow import Item
from pipeline.track.store import Found

COMMIT = {"uri": "git:.", "digest": {"gitCommit": "c" * 40}}
FIGURE, TABLE, DATA = "artifacts/figure/one.pdf", "artifacts/unify/one.npz", "artifacts/test_data/iris.npz"
COMMAND = "exec python -m pipeline "
FLOW = {  # JSON is YAML
    "stages": {
        "test_data": {"matrix": {"set": ["iris"]}, "cmd": f"{COMMAND}test_data ${{item.set}}", "outs": [DATA]},
        "unify": {"cmd": f"{COMMAND}unify", "deps": ["artifacts/test_data"], "outs": [TABLE]},
        "figure": {"cmd": f"{COMMAND}figure", "deps": [TABLE], "outs": [FIGURE]},
    }
}


def _named(name, content):
    return {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}


SETS = {name: json.loads(paths.DATASETS_LOCK.read_bytes())[name] for name in ("iris", "wine")}
RAW = {"name": "iris/iris.csv", "uri": "wheel:", "digest": {"sha256": SETS["iris"]["files"]["iris.csv"]["sha256"]}}
PARSED, COMPUTED, CODE = _named(DATA, b"parsed"), _named(TABLE, b"computed"), _named("pipeline/one.py", b"code")
PLAN = {"params": {"seeds": 3}}
PLANNED = json.dumps(PLAN, indent=2).encode() + b"\n"


def _drawn(stage="figure", plan=PLANNED):
    return f"%PDF /Keywords (vsml {stage} plan={hashlib.sha256(plan).hexdigest()} tables={64 * '0'})".encode()


DRAWN, PAINTED = _drawn(), {FIGURE: b"painted"}


def _files(
    drawn=DRAWN,
    there=True,
    read=(COMMIT, COMPUTED),
    source=(COMMIT, RAW),
    command=COMMAND,
    lost="",
    params=3,
    code=CODE,
):
    left = {"test_data@iris": (PARSED, source), "unify": (COMPUTED, (COMMIT, PARSED))}
    left["figure"] = _named(FIGURE, drawn), read
    files = {FIGURE: drawn} if there else {TABLE: b"computed"}
    files |= dict.fromkeys(FIXED, b"") | {"dvc.yaml": json.dumps(FLOW).encode(), "params.yaml": b"root: ."}
    files |= {"datasets.lock": json.dumps(SETS).encode()}
    for item, (subject, deps) in left.items():
        told = {"externalParameters": {"command": command + item.replace("@", " "), "params": {"seeds": params}}}
        deps = (*deps, code, _named(f"artifacts/plan/{item}.json", PLANNED))
        of = {"buildDefinition": told | {"internalParameters": {"plan": PLAN}, "resolvedDependencies": deps}}
        one = {"_type": STATEMENT, "predicateType": PREDICATE, "subject": [subject], "predicate": of}
        files[f"statements/{item}.json"] = json.dumps(one).encode()
    return {name: content for name, content in files.items() if name not in (lost, f"statements/{lost}.json")}


WINE, OTHER = SETS["wine"]["files"]["wine_data.csv"]["sha256"], "a" * 64
LOCK = json.dumps(SETS).replace(RAW["digest"]["sha256"], OTHER).encode()
READ = ("dvc.yaml", "params.yaml", "datasets.lock")  # without which nothing can be checked
NAMES = ("figure", "test_data@iris", "unify")
PARAMS = [f"{item} has another plan, or other params" for item in NAMES]
BY_HAND = [f"{item} was made by 'by hand {item.replace('@', ' ')}'" for item in NAMES]
UNREAD = "test_data@iris did not read what its datasets.lock has of publishers"


def _forged(digest):
    return _files(source=(COMMIT, RAW | {"digest": {"sha256": digest}}))


def _write(folder, files, listed=None):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in (listed or files).items()]
    (folder / SUMS).write_text("".join(sums))


@pytest.mark.parametrize(
    ("files", "listed", "faults"),
    [
        (_files(), None, []),
        (
            _files() | PAINTED,
            _files(),
            ["was changed", "the subject of no statement", "has the stamp None"],
        ),
        (_files() | PAINTED, None, ["the subject of no statement", "has the stamp None"]),
        (_files(drawn=_drawn("figure@two")), None, ["has the stamp vsml figure@two plan="]),
        (_files(drawn=_drawn(plan=b"{}")), None, ["which is not that of figure"]),
        (_files(there=False), None, [f"{FIGURE} is missing"]),
        (_files(params=4), None, PARAMS),
        (_forged(WINE), None, [UNREAD]),
        (_forged(OTHER) | {"datasets.lock": LOCK}, None, [f"other files of publishers than {paths.DATASETS_LOCK} has"]),
        (_files(source=(COMMIT, RAW | {"digest": {"sha256": OTHER}}, RAW)), None, [f"names {RAW['name']} twice among"]),
        (_files(read=(COMMIT, _named(TABLE, b""), COMPUTED)), None, [f"names {TABLE} twice", "no statement here"]),
        (_files(code=COMMIT), None, ["figure names no code", "test_data@iris names no code", "unify names no code"]),
        *((_files(lost=name), None, [f"{name} is missing: pack"]) for name in sorted(FIXED) if name not in READ),
        (_files() | {"more": b""}, _files(), ["was added"]),
        (_files(), _files() | {"more": b""}, ["is missing"]),
        (_files(read=(COMMIT, _named(TABLE, b"other"))), None, ["which no statement here has left"]),
        (_files(read=(COMMIT,)), None, [f"figure names {TABLE} not among what it read"]),
        (_files(source=()), None, ["names no commit", UNREAD]),
        (_files(source=(COMMIT,)), None, [UNREAD]),
        (_files(lost="figure"), None, ["the subject of no statement", "figure has no statement"]),
        (_files(lost="unify"), None, [f"figure read {TABLE} with sha256"]),
        (_files(command="by hand "), None, BY_HAND),
    ],
)
def test_each_fault_of_a_bundle_is_said(tmp_path, files, listed, faults):
    _write(tmp_path, files, listed)
    found = list(verify(tmp_path))
    assert len(found) == len(faults) and all(words in one for words, one in zip(faults, found, strict=True)), found
    assert "not the bundle that was published" in next(verify(tmp_path, "0" * 64))


def test_a_file_that_is_listed_twice_is_said(tmp_path):
    _write(tmp_path, _files())
    (tmp_path / SUMS).write_text(f"{OTHER}  dvc.yaml\n{(tmp_path / SUMS).read_text()}")
    assert list(verify(tmp_path)) == [f"{SUMS} names dvc.yaml twice."]


def test_a_signature_is_held_to_its_signers(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "bundle"
    _write(folder, _files())
    for name in ("mine", "theirs"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
        public = (tmp_path / f"{name}.pub").read_text()
        (tmp_path / f"{name}.signers").write_text(f'{name}@example.org namespaces="vsml.evidence" {public}')

    def said(*words: str) -> str:
        """What is said of the bundle; as an error if it is refused."""
        try:
            main(["verify", str(folder), *words])
        except SystemExit as end:
            return f"refused: {end.code}"
        return capsys.readouterr().out

    mine, theirs = (["--signers", str(tmp_path / f"{name}.signers")] for name in ("mine", "theirs"))
    assert "is whole. It is unsigned" in said() and said(*mine).startswith("refused: It is unsigned")
    sign(folder, tmp_path / "mine")
    assert "is whole. It is signed by mine@example.org." in said(*mine)
    assert "by whom was not checked" in said() and "is signed by none of" in said(*theirs)
    with monkeypatch.context() as without:
        without.setenv("PATH", "")
        assert said(*mine) == "refused: 2" and "ssh-keygen, which signs" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            main(["evidence", str(tmp_path / "new"), "--key", str(tmp_path / "mine"), "--profile", str(paths.ROOT)])
        assert "ssh-keygen, which signs" in capsys.readouterr().err
    # Another statement under the same signature; then other files, listed anew.
    whole = json.loads((folder / ENVELOPE).read_text())
    statement = base64.b64decode(whole["payload"])
    (folder / ENVELOPE).write_text(json.dumps(whole | {"payload": base64.b64encode(statement + b" ").decode()}))
    assert "is signed by none of" in (refused := said(*mine)) and "incorrect signature" in refused
    (folder / ENVELOPE).write_text(json.dumps(whole))
    _write(folder, _files() | {"more": b""})
    assert said() == said(*mine) == f"refused: {ENVELOPE} signs another {SUMS} than this one."
    assert pae(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"  # as its specification spells it


def test_what_ran_outside_of_git_is_not_packed(tmp_path):
    run = Found("id", "FINISHED", {"commit": "none"}, {}, {})
    entry = Entry(Item("unify", "unify", (), {}, "", (), ()), {}, ".", {}, held=PLAN)
    found = Audit([], {"unify": entry}, {"unify": Evidence(run)}, {"unify": ()}, 0, 0.0)
    with pytest.raises(
        ValueError, match="unify ran outside of git: commit, then dvc repro --force --single-item unify"
    ):
        _statement(found, "unify")
