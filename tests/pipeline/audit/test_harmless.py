"""What harms nothing raises no alarm: a result is what its bytes say, wherever they lie and whatever is around them."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator

import pytest

from pipeline.run.params import read_yaml
from tests.pipeline.audit.conftest import COMMIT, edited

pytestmark = pytest.mark.slow


def test_a_profile_that_was_just_made_is_proved(audited):
    found = audited.audit(remote=True)
    assert found["findings"] == []
    assert set(found["verdict"]) == {"learning_figure@meta_training", "cloning_figure@cloning", "report"}
    assert set(found["verdict"].values()) == {"proved"}
    assert found["bytes_hashed"] > 0


def _files(audited) -> Iterator[None]:
    """Times, modes, links, new files, caches of compilers, and what DVC and git do in their own folders."""
    root, sgd = audited.root, audited.root / "artifacts/baseline/sgd.npz"
    for path in (root / "artifacts").rglob("*.npz"):
        os.utime(path)
    sgd.chmod(0o600)
    (root / "pipeline/show/style.py").chmod(0o755)
    linked = {name: root / f"artifacts/baseline/{name}.npz" for name in ("adam", "adam_hidden")}
    for (name, path), link in zip(linked.items(), (os.symlink, os.link), strict=True):
        path.unlink()
        link(audited.kept(f"baseline@{name}"), path)
    audited.kept("unify").unlink()  # as `dvc gc` does
    shutil.rmtree(root / ".dvc/tmp")  # and with it the state database
    for name, text in {
        "notes.txt": "a new file",
        "artifacts/baseline/.sgd.npz.tmp": "a temporary file of a process that was killed",
        "artifacts/scratch/mine.npz": "no stage's business",
        "vsml/core/__pycache__/cell.cpython-399.pyc": "compiled",
        ".checkpoints/f2/unfinished": "half a checkpoint",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    audited.run("git", "gc", "-q")
    yield
    (root / "notes.txt").unlink()  # by which later runs would be of a dirty tree
    (root / "pipeline/show/style.py").chmod(0o644)
    for path in linked.values():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    audited.run("dvc", "commit", "--force", "--quiet", "unify")


def _ledgers(audited) -> Iterator[None]:
    """Comments and the order of keys; an entry of an item that is no more; commits on top."""
    root = audited.root

    def shuffled(content: bytes) -> bytes:
        tree = json.dumps(dict(sorted(read_yaml(content).items(), reverse=True)), indent=1)
        return f"# The same, in another order.\n{tree}\n# The end.\n".encode()

    def longer(content: bytes) -> bytes:
        lock = read_yaml(content)
        lock["stages"] = dict(sorted(lock["stages"].items())) | {"baseline@long_gone": lock["stages"]["baseline@sgd"]}
        return json.dumps(lock).encode()

    with (
        edited(root / "params.yaml", shuffled),
        edited(root / "dvc.lock", longer),
        edited(root / "dvc.yaml", lambda content: content + b"\n# One more comment.\n"),
    ):
        (root / "README.md").write_text("A page")
        audited.run("git", "add", "README.md")
        audited.run("git", *COMMIT, "A page on top")
        (root / "README.md").write_text("A page that is not committed")
        yield
    audited.run("git", *COMMIT, "As before")


def _code(audited) -> Iterator[None]:
    """Comments, docstrings and blank lines in code that every item runs."""

    def commented(content: bytes) -> bytes:
        told = content.replace(b'"""', b'"""Told otherwise. ', 1)
        return b"# A thought.\n\n" + told + b"\n\n# And another one.\n"

    with contextlib.ExitStack() as undone:
        for name in ("vsml/core/cell.py", "vsml/core/scores.py", "pipeline/run/artifacts.py", "pipeline/show/style.py"):
            undone.enter_context(edited(audited.root / name, commented))
        yield


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
    status, out, error = audited.end("python", "-m", "pipeline", "audit", *options, cwd=again)
    assert status == 0, out + error
    assert out.startswith("\u2713 learning_figure@meta_training  proved") and "MB hashed in" in out
    digits = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
    assert f"digits/digits.csv.gz  sha256 {digits}  the wheel of scikit-learn" in out
    assert "drawing report again" in error
    assert json.loads(pages["json"].read_text())["findings"] == []
    assert "3 figures and pages: 3 proved" in pages["html"].read_text()

    # A clone of the last commit alone has not the one that the runs name, and cannot tell.
    audited.run("git", "-C", str(again), *COMMIT, "more", "--allow-empty")
    audited.run("git", "clone", "--quiet", "--depth=1", f"file://{again}", str(tmp_path / "shallow"))
    shutil.rmtree(again / ".git")
    (tmp_path / "shallow/.git").rename(again / ".git")
    (again / "artifacts/figure/cloning.png").write_bytes(b"no picture")
    status, out, error = audited.end("python", "-m", "pipeline", "audit", cwd=again)
    assert status == 1, error
    assert "\u2717 cloning_figure@cloning  broken" in out and "learning_figure@meta_training  unproven" in out
    assert "git fetch --all --unshallow" in out
