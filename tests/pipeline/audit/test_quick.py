"""An audit in this process, of data sets and a figure that are really made: what each check is there for, it says."""

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from dvc.repo import Repo

from pipeline.audit import cache, lock, walk
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
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
SETS, NOTHING = ("digits", "iris", "wine", "breast_cancer"), "0" * 64
TABLE, PNG, PDF = "artifacts/unify/unification.npz", *(f"artifacts/figure/unification.{end}" for end in ("png", "pdf"))


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
    tree["items"]["figures"] = {study: ["unification"][: study == "unification"] for study in tree["items"]["figures"]}
    write_yaml(Path("params.yaml"), tree)
    Path("dvc.yaml").symlink_to(paths.ROOT / "dvc.yaml")
    Path("dvc.lock").write_text("stages: {}\n")
    provenance.main([])
    made_up._write(paths.unify(), made_up._unification(made_up.np.random.default_rng(0), params.read().unify.seeds))
    for stage, *words in (*(("test_data", name) for name in SETS), ("figure", "unification")):
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
        return {(one.object, one.expected.split()[0]) for one in walk.audit().findings if {*one.items} <= made.keys()}

    return SimpleNamespace(store=Store(), stages=stages, found=found)


def _edit(path, before, after):
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))


def test_every_check_says_what_it_is_there_for(profile, tmp_path, monkeypatch):
    clean = {one for one in profile.found() if one[1] != "clean" and one[0][:6] != "commit"}  # a note, while one works
    assert clean == {("MLflow run of unify", "a")}

    ids = {run.tags.get("set", run.tags["stage"]): run.id for run in profile.store.find({})}
    manifests = {name: next(tmp_path.rglob(f"{run}/artifacts/manifest.json")) for name, run in ids.items()}
    told = json.loads(manifests["digits"].read_text())
    _edit(Path("artifacts/test_data/iris.npz"), b"PK", b"QK")
    tree = read_yaml(Path("params.yaml"))
    tree["unify"]["length"] += 1
    write_yaml(Path("params.yaml"), tree)
    plan = "artifacts/plan/test_data@wine.json"
    code = json.loads(Path(plan).read_text())["code"]
    _edit(Path(plan), code.encode(), NOTHING.encode())
    (out,) = profile.stages["test_data@breast_cancer"]["outs"]
    out["md5"] = NOTHING[:32]
    profile.stages["unify"]["cmd"] += " --quick"
    Path("dvc.lock").write_text(json.dumps({"stages": profile.stages}))
    _edit(manifests["digits"], told["outs"]["artifacts/test_data/digits.npz"].encode(), NOTHING.encode())
    _edit(manifests["breast_cancer"], told["deps"]["datasets.lock"].encode(), NOTHING.encode())
    profile.store.tag(ids["digits"], {"plan": NOTHING, "params_digest": NOTHING, "set": "others"})
    _edit(Path(PDF), b"/Page", b"/Pagf")
    publishers = json.loads(paths.DATASETS_LOCK.read_text())
    publishers["wine"]["files"]["wine_data.csv"]["sha256"] = NOTHING
    Path("datasets.lock").write_text(json.dumps(publishers))
    monkeypatch.setattr(paths, "DATASETS_LOCK", Path("datasets.lock").absolute())
    (checkpoint := tmp_path / f".checkpoints/f/00000010-{NOTHING}.npz").parent.mkdir(parents=True)
    checkpoint.write_bytes(b"other bytes")
    found = {(re.sub(r"[0-9a-f]{8}$", "RUN", re.sub("^/.*/", "", name)), expected) for name, expected in profile.found()}
    assert found - clean == {}


def test_objects_of_the_cache_and_of_the_remote_are_read(tmp_path, monkeypatch):
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / ".dvc/config").write_text(f"[core]\nno_scm = true\nremote = r\n['remote \"r\"']\nurl = {tmp_path}/r\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    md5 = "900150983cd24fb0d6963f7d28e17f72"  # of b"abc", RFC 1321
    for place in (tmp_path / ".dvc/cache", tmp_path / "r"):
        (one := place / "files/md5" / md5[:2] / md5[2:]).parent.mkdir(parents=True)
        one.write_bytes(b"abc")
    for check in (cache.check, cache.check_remote):
        assert not list(check({md5: ("unify",)}, Hasher()))
        (lost := [*check({md5[::-1]: ("unify",)}, Hasher())]) if check is cache.check_remote else (lost := [])
    assert [finding.kind for finding in lost] == ["unproven"]
    for place, check in ((tmp_path / ".dvc/cache", cache.check), (tmp_path / "r", cache.check_remote)):
        (place / "files/md5" / md5[:2] / md5[2:]).write_bytes(b"abd")
        assert [finding.kind for finding in check({md5: ("unify",)}, Hasher())] == ["broken"]
