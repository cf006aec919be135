"""An audit in this process, of data sets and a figure that are really made: what each check is there for, it says."""

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dvc.repo import Repo

from pipeline.audit import cache, lock, walk, whence
from pipeline.audit.findings import NOTED
from pipeline.audit.hashing import Hasher, dvc_md5
from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.params import read_yaml
from pipeline.studies import params
from pipeline.track import tracking, uploads
from pipeline.track.store import Store
from tests.pipeline.conftest import write_yaml
from tests.pipeline.studies import conftest as made_up

# What MLflow meets in packages that it uses is not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SETS, NOTHING = ("digits", "iris", "wine", "breast_cancer"), "0" * 64
PLAN, PDF = "artifacts/plan/test_data@wine.json", "artifacts/figure/cloning.pdf"


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """As `dvc repro` leaves it, with an MLflow store and checkpoints of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv(tracking.UPLOAD, "later")
    for name, path in {"STATE": "", "RUNS": ".runs", "CHECKPOINTS": ".checkpoints"}.items():
        monkeypatch.setattr(paths, name, tmp_path / path)
    made_up._write_params("default")
    tree = read_yaml(Path("params.yaml")) | {"root": str(paths.ROOT)}
    tree["items"] |= {"seeds": [0], "feedback": [], "recall_seeds": [0], "clones": [0], "shipped_clones": [0]}
    tree["items"]["figures"] = {study: ["cloning"] * (study == "cloning") for study in tree["items"]["figures"]}
    write_yaml(Path("params.yaml"), tree)
    Path("dvc.yaml").symlink_to(paths.ROOT / "dvc.yaml")
    Path("dvc.lock").write_text("stages: {}\n")
    provenance.main([])
    made_up._write(paths.clone_test(0), made_up._cloning(np.random.default_rng(0), params.read()))
    for stage, *words in (*(("test_data", name) for name in SETS), ("figure", "cloning")):
        job, module = provenance.job(stage, tuple(words)), importlib.import_module(provenance.stages()[stage].module)
        with tracking.run(job) as run:
            module.main(*((words,) if stage == "figure" else (job, run)))
    uploads.flush()

    def line(path, found):
        facts = {"size": sum(one.size for one in found.values()), "nfiles": len(found)}
        return {"path": path, "hash": "md5", "md5": dvc_md5(found)} | facts

    made = {name: of for name, of in lock.read(Hasher()).items() if of.outs}
    stages = {
        name: {"cmd": of.item.cmd}
        | {kind: [line(path, of.disk[path]) for path in getattr(of.item, kind)] for kind in ("deps", "outs")}
        for name, of in made.items()
    }
    Path("dvc.lock").write_text(json.dumps({"stages": stages}))

    def found():
        known = [one for one in walk.audit().findings if one.kind != NOTED and made.keys() >= {*one.items}]
        return sorted(re.sub("^/.*/", "", one.object) for one in known)

    return SimpleNamespace(store=Store(), stages=stages, found=found)


def _edit(path, before, after):
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))


def test_every_check_says_what_it_is_there_for(profile, tmp_path, monkeypatch):
    # That table was made up, without what it would be of.
    clean = ["MLflow run of clone_test@0", "artifacts/clone/0.npz", "artifacts/improve/0.npz"]
    assert profile.found() == clean
    data = "artifacts/test_data/%s.npz"
    assert [whence.story(profile.store, Path(one))[1] for one in (data % "iris", PDF)] == [True, False]  # for its table

    ids = {run.tags.get("set", run.tags["stage"]): run.id for run in profile.store.find({})}
    manifest = {name: next(tmp_path.rglob(f"{run}/artifacts/manifest.json")) for name, run in ids.items()}
    told = json.loads(manifest["digits"].read_text())
    _edit(Path(data % "iris"), b"PK", b"QK")
    profile.store.end(ids["iris"], "FAILED")
    code = json.loads(Path(PLAN).read_text())["code"]
    _edit(Path(PLAN), code.encode(), NOTHING.encode())  # of wine
    publishers = json.loads(paths.DATASETS_LOCK.read_text())
    publishers["wine"]["files"]["wine_data.csv"]["sha256"] = NOTHING
    Path("datasets.lock").write_text(json.dumps(publishers))
    monkeypatch.setattr(paths, "DATASETS_LOCK", Path("datasets.lock").absolute())
    tree = read_yaml(Path("params.yaml"))
    tree["clone_test"]["length"] += 1
    write_yaml(Path("params.yaml"), tree)
    profile.stages["clone_test@0"]["cmd"] += " --quick"
    profile.stages["test_data@breast_cancer"]["outs"][0]["md5"] = NOTHING[:32]
    profile.stages["test_data@digits"]["deps"][0]["size"] += 1
    Path("dvc.lock").write_text(json.dumps({"stages": profile.stages}))
    _edit(manifest["digits"], told["outs"][data % "digits"].encode(), NOTHING.encode())
    _edit(manifest["breast_cancer"], told["deps"]["datasets.lock"].encode(), NOTHING.encode())
    _edit(manifest["breast_cancer"].with_name("outs") / (data % "breast_cancer"), b"PK", b"QK")
    profile.store.tag(ids["digits"], {"plan": NOTHING, "params_digest": NOTHING, "set": "others"})
    _edit(Path(PDF), b"/Page", b"/Pagf")
    (checkpoint := tmp_path / f".checkpoints/f/00000010-{NOTHING}.npz").parent.mkdir(parents=True)
    checkpoint.write_bytes(b"other bytes")

    names = {run[:8]: name for name, run in ids.items()}
    found = [re.sub("[0-9a-f]{8}$", lambda run: names[run[0]], one) for one in profile.found()]
    assert found == sorted(
        [
            *clean,
            *(f".checkpoints/f/{checkpoint.name}", "artifacts/test_data"),
            *("wine_data.csv", PLAN, "code of test_data@wine"),
            *(data % "iris", data % "iris", "status of MLflow run iris"),  # not as locked, and not as published
            *(PDF, PDF, "params.yaml: clone_test.length", "dvc.lock: clone_test@0 cmd"),  # nor as drawn
            "dvc.lock: test_data@breast_cancer outs artifacts/test_data/breast_cancer.npz",
            "artifact outs/artifacts/test_data/breast_cancer.npz of MLflow run breast_cancer",
            "inputs (deps in manifest.json, tags device and image) of MLflow run breast_cancer",
            "datasets.lock, read by test_data@breast_cancer",
            "dvc.lock: test_data@digits deps artifacts/plan/test_data@digits.json size",
            "artifacts/test_data/digits.npz in manifest.json of MLflow run digits",
            *(f"tag {one} of MLflow run digits" for one in ("params_digest", "plan", "set")),
        ]
    )


def test_objects_of_the_cache_and_of_the_remote_are_read(tmp_path, monkeypatch):
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / ".dvc/config").write_text(f"[core]\nno_scm = true\nremote = r\n['remote \"r\"']\nurl = {tmp_path}/r\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    md5 = "900150983cd24fb0d6963f7d28e17f72"  # of b"abc", RFC 1321
    for folder, check in ((".dvc/cache", cache.check), ("r", cache.check_remote)):

        def kinds(check=check):
            return [one.kind for one in check({md5: ("unify",)}, Hasher())]

        path = tmp_path / folder / "files/md5" / md5[:2] / md5[2:]
        assert kinds() == ["unproven"] * (folder == "r")  # what is not in the cache harms nothing
        path.parent.mkdir(parents=True)
        path.write_bytes(b"abc")
        assert kinds() == []
        path.write_bytes(b"abd")
        assert kinds() == ["broken"]
