"""What harms nothing raises no alarm: a result is what its bytes say, wherever they lie and whatever is around them."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator

import pytest

from pipeline.run.params import read_yaml

pytestmark = pytest.mark.slow
COMMIT = ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam")


def test_a_profile_that_was_just_made_is_proved(audited):
    found = audited.audit(remote=True)
    assert found["findings"] == []
    assert set(found["verdict"]) == {"learning_figure@meta_training", "cloning_figure@cloning", "report"}
    assert set(found["verdict"].values()) == {"proved"}
    assert found["bytes_hashed"] > 0


def _files(audited) -> Iterator[None]:
    """Times, modes, links, new files, caches of compilers, and what DVC and git do in their own folders."""
    root = audited.root
    for path in (root / "artifacts").rglob("*.npz"):
        os.utime(path)
    (root / "artifacts/baseline/sgd.npz").chmod(0o600)
    (root / "pipeline/show/style.py").chmod(0o755)
    linked, lock = root / "artifacts/baseline/adam.npz", read_yaml(root / "dvc.lock")["stages"]
    for name, link in (("adam", os.symlink), ("adam_hidden", os.link)):
        linked = root / f"artifacts/baseline/{name}.npz"
        md5 = lock[f"baseline@{name}"]["outs"][0]["md5"]
        linked.unlink()
        link(root / ".dvc/cache/files/md5" / md5[:2] / md5[2:], linked)
    md5 = lock["unify"]["outs"][0]["md5"]
    (root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()  # as `dvc gc` does
    shutil.rmtree(root / ".dvc/tmp")  # and with it the state database
    (root / "notes.txt").write_text("a new file")
    (root / "artifacts/baseline/.sgd.npz.tmp").write_text("a temporary file of a process that was killed")
    (root / "artifacts/scratch").mkdir()
    (root / "artifacts/scratch/mine.npz").write_text("no stage's business")
    (root / "vsml/core/__pycache__").mkdir(exist_ok=True)
    (root / "vsml/core/__pycache__/cell.cpython-399.pyc").write_bytes(b"compiled")
    (root / ".checkpoints/f2").mkdir(parents=True)
    (root / ".checkpoints/f2/unfinished").write_text("half a checkpoint")
    audited.run("git", "gc", "-q")
    yield
    (root / "pipeline/show/style.py").chmod(0o644)
    for name in ("adam", "adam_hidden"):
        linked = root / f"artifacts/baseline/{name}.npz"
        content = linked.read_bytes()
        linked.unlink()
        linked.write_bytes(content)
    audited.run("dvc", "commit", "--force", "--quiet", "unify")


def _ledgers(audited) -> Iterator[None]:
    """Comments and the order of keys; an entry of an item that is no more; commits on top."""
    root = audited.root
    before = {name: (root / name).read_bytes() for name in ("params.yaml", "dvc.lock", "dvc.yaml")}
    tree = read_yaml(root / "params.yaml")
    shuffled = json.dumps(dict(sorted(tree.items(), reverse=True)), indent=1)
    (root / "params.yaml").write_text(f"# The same, in another order.\n{shuffled}\n# The end.\n")
    lock = read_yaml(root / "dvc.lock")
    lock["stages"] = dict(sorted(lock["stages"].items())) | {"baseline@long_gone": lock["stages"]["baseline@sgd"]}
    (root / "dvc.lock").write_text(json.dumps(lock))
    (root / "dvc.yaml").write_bytes(before["dvc.yaml"] + b"\n# One more comment.\n")
    (root / "README.md").write_text("A page")
    audited.run("git", "add", "README.md")
    audited.run("git", *COMMIT, "A page on top")
    (root / "README.md").write_text("A page that is not committed")
    yield
    for name, content in before.items():
        (root / name).write_bytes(content)
    audited.run("git", *COMMIT, "As before")


def _code(audited) -> Iterator[None]:
    """Comments, docstrings and blank lines in code that every item runs."""
    root, before = audited.root, {}
    for name in ("vsml/core/cell.py", "vsml/core/scores.py", "pipeline/run/artifacts.py", "pipeline/show/style.py"):
        before[name] = (root / name).read_bytes()
        text = before[name].decode().replace('"""', '"""Told otherwise. ', 1)
        (root / name).write_text(f"# A thought.\n\n{text}\n\n# And another one.\n")
    yield
    for name, content in before.items():
        (root / name).write_bytes(content)


def _runs(audited) -> Iterator[None]:
    """Other runs in the store, and more said of a run than it said itself."""
    sgd = audited.run_of("baseline", baseline="sgd")
    audited.do(f"store.tag({sgd!r}, {{'mlflow.note.content': 'a nice run', 'reviewed_by': 'me'}})")
    audited.do(f"store.log_rows({sgd!r}, 0, [(1, {{'loss': 1.0}})])")
    others = audited.do(
        "tags = {'stage': 'baseline', 'baseline': 'sgd'}\n"
        "failed = store.create('baseline sgd', tags)\n"
        "store.end(failed, 'FAILED')\n"
        "other = store.create('baseline sgd', tags | {'tree': 'dirty', 'params_digest': '0' * 64})\n"
        "store.write(other, 'manifest.json', {'stage': 'baseline', 'item': ['sgd'], 'deps': {}, 'outs': {}})\n"
        "store.end(other, 'FINISHED')\n"
        "under_way = store.create('baseline sgd', tags)\n"
        "from pathlib import Path\n"
        "from pipeline.run.artifacts import sha256_file\n"
        "out = 'artifacts/baseline/sgd.npz'\n"  # the same outs from an edit that was undone
        f"known = {{k: v for k, v in store.get({sgd!r}).tags.items() if not k.startswith('mlflow.')}}\n"
        "later = store.create('baseline sgd', known)\n"
        "store.upload(later, f'outs/{out}', Path(out))\n"
        "told = {'stage': 'baseline', 'item': ['sgd'], 'fingerprint': known['fingerprint'], 'deps': {}}\n"
        "store.write(later, 'manifest.json', told | {'outs': {out: sha256_file(out)}})\n"
        "store.end(later, 'FINISHED')\n"
        "answer = [failed, other, under_way, later]"
    )
    yield
    for run in others:
        audited.do(f"store.forget({run!r})")


@pytest.mark.parametrize("kind", [_files, _ledgers, _code, _runs])
def test_no_false_alarm(audited, kind):
    with contextlib.contextmanager(kind)(audited):
        assert audited.audit()["findings"] == []


def test_a_second_clone_elsewhere_is_proved_by_the_same_server(audited, tmp_path):
    again, pages = tmp_path / "moved" / "here", {kind: tmp_path / f"audit.{kind}" for kind in ("json", "html")}
    audited.run("git", "clone", "--quiet", str(audited.root), str(again))
    shutil.copy(audited.root / "dvc.lock", again / "dvc.lock")
    shutil.copytree(audited.root / "artifacts", again / "artifacts")
    options = [word for kind, path in pages.items() for word in (f"--{kind}", str(path))]
    process = audited.start("python", "-m", "pipeline", "audit", *options, cwd=again)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, out + error
    assert out.startswith("\u2713 learning_figure@meta_training  proved") and "MB hashed in" in out
    digits = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
    assert f"digits/digits.csv.gz  sha256 {digits}  the wheel of scikit-learn" in out
    assert "drawing report again" in error
    assert json.loads(pages["json"].read_text())["findings"] == []
    assert "3 figures and pages: 3 proved" in pages["html"].read_text()

    # A clone of the last commit alone has not the one that the runs name, and cannot tell.
    audited.run(
        "git", "-C", str(again), "-c", "user.name=t", "-c", "user.email=t", "commit", "--allow-empty", "-qm", "more"
    )
    audited.run("git", "clone", "--quiet", "--depth=1", f"file://{again}", str(tmp_path / "shallow"))
    shutil.rmtree(again / ".git")
    (tmp_path / "shallow/.git").rename(again / ".git")
    (again / "artifacts/figure/cloning.png").write_bytes(b"no picture")
    process = audited.start("python", "-m", "pipeline", "audit", cwd=again)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 1, error
    assert "\u2717 cloning_figure@cloning  broken" in out and "learning_figure@meta_training  unproven" in out
    assert "git fetch --all --unshallow" in out
