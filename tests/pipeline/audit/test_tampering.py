"""Everything that can be tampered with is, in rounds, and each finding names exactly what was done.

A case undoes what it did. A round fails for a case that is not found, and for a finding that no case accounts for.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import marshal
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.run.artifacts import read_table, sha256_file, write_arrays, write_table
from pipeline.run.params import read_yaml
from tests.pipeline.audit.conftest import edited, flipped

pytestmark = pytest.mark.tampering
Expected = tuple[str, str]  # kind, and a pattern of the object
NOWHERE = "0" * 40


@contextlib.contextmanager
def _gone(path: Path) -> Iterator[None]:
    away = path.with_name(f"{path.name}.away")
    hidden = path.parent.parent.parent / away.name
    path.rename(hidden)
    yield
    hidden.rename(path)


def _painted(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    image.putpixel((40, 40), (255, 0, 0, 255))
    painted = io.BytesIO()
    image.save(painted, "png")
    return painted.getvalue()


def _case(name: str, harm: Callable[[Any], contextlib.AbstractContextManager], kind: str, what: Callable[[Any], str]):
    """A case of one harm to a repository; what it is found as may depend on that, too."""

    def case(audited, lock) -> Iterator[Expected]:
        expected = kind, what(audited)
        with harm(audited):
            yield expected

    case.__name__ = name
    return case


def _edit_case(name: str, change: Callable[[bytes], bytes] = flipped, what: str = ""):
    return _case(f"edited_{name}", lambda a: edited(a.root / name, change), "broken", lambda a: what or name)


def _object_case(name: str, item: str, harm: Callable[[Path], Any], kind: str = "broken"):
    """Of an object in DVC's cache, or in its remote."""

    def path(audited) -> Path:
        return audited.kept(item, audited.remote if name == "remote" else None)

    return _case(f"{name}_of_{item}", lambda a: harm(path(a)), kind, lambda a: f"DVC {name} object {path(a)}")


def planted_run(audited, lock) -> Iterator[Expected]:
    """Of the same inputs, with other numbers under the honest one's tags, so that a driver may collect it."""
    name, honest = "artifacts/baseline/sgd.npz", audited.run_of("baseline", baseline="sgd")
    table, path = read_table(audited.root / name), audited.root.parent / "planted.npz"
    arrays = {one: ~array if array.dtype == bool else array for one, array in table.arrays.items()}
    write_table(path, arrays, table.axes)
    run = audited.do(
        "from pathlib import Path\n"
        f"tags = {{k: v for k, v in store.get({honest!r}).tags.items() if not k.startswith('mlflow.')}}\n"
        "answer = store.create('baseline sgd', tags)\n"
        f"store.upload(answer, 'outs/{name}', Path('../planted.npz'))\n"
        f"manifest = store.read({honest!r}, 'manifest.json') | {{'outs': {{{name!r}: {sha256_file(path)!r}}}}}\n"
        "store.write(answer, 'manifest.json', manifest)\n"
        "store.end(answer, 'FINISHED')"
    )
    yield "broken", f"{name} in MLflow run {run[:8]}"
    audited.do(f"store.forget({run!r})")


def better_metric(audited, lock) -> Iterator[Expected]:
    """Logged over the metric of a run, as MLflow lets anyone do."""
    run, name = audited.run_of("baseline", baseline="adam"), "digits/accuracy"
    before = audited.do(f"answer = store.get({run!r}).metrics[{name!r}]")
    audited.do(f"store.log_rows({run!r}, 0, [(1, {{ {name!r}: 0.9999 }})])")
    yield "broken", f"metric {name} of MLflow run {run[:8]}"
    audited.do(f"store.log_rows({run!r}, 1, [(2, {{ {name!r}: {before} }})])")


def own_command(audited, lock) -> Iterator[Expected]:
    lock["unify"]["cmd"] += " ; true"
    with edited(audited.root / "dvc.yaml", lambda data: data.replace(b"pipeline unify", b"pipeline unify ; true")):
        yield "broken", "dvc.yaml: unify cmd"


@contextlib.contextmanager
def _poisoned(source: Path, more: str) -> Iterator[Path]:
    """Compiled from other code, with the time and size of the source."""
    compiled, status = Path(importlib.util.cache_from_source(str(source))), source.stat()
    before = compiled.read_bytes() if compiled.exists() else None
    head = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, int(status.st_mtime), status.st_size)
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(head + marshal.dumps(compile(f"{source.read_text()}\n{more}\n", str(source), "exec")))
    yield compiled
    compiled.unlink() if before is None else compiled.write_bytes(before)


def poisoned_module(audited, lock) -> Iterator[Expected]:
    with _poisoned(audited.root / "vsml/learners/gradient.py", "MORE = 1") as compiled:
        yield "broken", str(compiled)


def _shadow_case(name: str, what: str):
    """A file that Python imports in the place of a module of ours, and which git does not see."""

    @contextlib.contextmanager
    def harm(audited) -> Iterator[None]:
        (path := audited.root / name).parent.mkdir(exist_ok=True)
        path.touch()
        with edited(audited.root / ".git/info/exclude", lambda data: data + f"\n/{name}\n".encode()):
            yield
        path.unlink()

    return _case(f"{name} for {what}", harm, "broken", lambda a: str(a.root / name))


def flipped_checkpoint(audited, lock) -> Iterator[Expected]:
    folder = audited.root / ".checkpoints/f1"
    write_arrays(folder / "whole", {"theta": np.ones(9)})
    name = f"00000010-{sha256_file(folder / 'whole')}.npz"
    (folder / "whole").rename(folder / name)
    with edited(folder / name):
        yield "broken", f".checkpoints/f1/{name}"
    shutil.rmtree(folder.parent)


def _lost_case(name: str):
    return _case(f"lost_{name}", lambda a: _gone(a.root / name), "unproven", lambda a: name)


def stray_table(audited, lock) -> Iterator[Expected]:
    path = audited.root / "artifacts/zoo_test/stray.npz"
    path.write_text("left over")
    yield "broken", "artifacts/zoo_test/stray.npz"
    path.unlink()


def _lock_case(what: str, change: Callable[[Any], Any], kind: str = "broken"):
    """Other facts in dvc.lock."""

    def case(audited, lock) -> Iterator[Expected]:
        change(lock)
        yield kind, f"dvc.lock: {what}"

    case.__name__ = f"locked_{what}"
    return case


def _line_case(item: str, kind: str, path: str, **change: Any):
    """Other facts in the line of a dep or an out."""
    what = f"{item} {kind} {path}" + " size" * ("size" in change)
    return _lock_case(what, lambda lock: next(one for one in lock[item][kind] if one["path"] == path).update(change))


def _without_data(lock) -> None:
    deps = lock["baseline@sgd_hidden"]["deps"]
    deps[:] = [line for line in deps if line["path"] != "artifacts/test_data"]


def changed_params_and_lock(audited, lock) -> Iterator[Expected]:
    """The plan that goes with other params, and dvc.lock as if it had always been so: the run knows better."""
    plan = audited.root / "artifacts/plan/unify.json"
    length = json.loads(plan.read_text())["params"]["unify"]["length"]
    with (
        edited(audited.root / "params.yaml", lambda data: _one_more(data, "unify", "length")),
        edited(plan, lambda data: data.replace(b'"length": %d' % length, b'"length": %d' % (length + 1))),
    ):
        md5 = hashlib.md5(plan.read_bytes(), usedforsecurity=False).hexdigest()
        (line,) = [line for line in lock["unify"]["deps"] if line["path"] == "artifacts/plan/unify.json"]
        line |= {"md5": md5, "size": plan.stat().st_size}
        yield "broken", "params of unify: unify.length"


def _one_more(data: bytes, section: str, name: str) -> bytes:
    tree = read_yaml(data)
    tree[section][name] += 1
    return json.dumps(tree).encode()


def _run_case(name: str, item: dict[str, str], harm: Callable[[Any, str], Any], what: str, kind: str = "broken"):
    """A harm to the run of an item."""

    def of(audited) -> str:
        return audited.run_of(**item)

    return _case(name, lambda a: harm(a, of(a)), kind, lambda a: f"{what} of MLflow run {of(a)[:8]}")


def _artifact_case(name: str, item: dict[str, str], harm: Callable[[Path], Any], what: str = ""):
    return _run_case(f"{harm.__name__}_{name}", item, lambda a, run: harm(a.artifact(run, name)), what + name)


def deleted_run(audited, lock) -> Iterator[Expected]:
    run = audited.run_of("baseline", baseline="sgd_hidden")
    audited.do(f"store.forget({run!r})")
    yield "unproven", "MLflow run of baseline@sgd_hidden"
    audited.do(f"store._client.restore_run({run!r})")


@contextlib.contextmanager
def _tagged(audited, run: str, key: str, value: str) -> Iterator[None]:
    before = audited.do(f"answer = store.get({run!r}).tags.get({key!r})")
    audited.do(f"store.tag({run!r}, {{ {key!r}: {value!r} }})")
    yield
    put_back = f"store.tag({run!r}, {{ {key!r}: {before!r} }})"
    audited.do(f"store._client.delete_tag({run!r}, {key!r})" if before is None else put_back)


def _tag_case(key: str, value: str, item: dict[str, str], what: str, kind: str = "broken"):
    return _run_case(f"changed_tag_{key}", item, lambda a, run: _tagged(a, run, key, value), what, kind)


META_TRAIN = [{"stage": "meta_train", "experiment": "vsml", "seed": seed} for seed in "01"]
META_TEST = [{"stage": "meta_test", "experiment": "vsml", "seed": seed} for seed in "01"]
WENT_ON = "tag resumed: it went on from a checkpoint"
INPUTS = "inputs (deps in manifest.json, tags device and image)"
TAGS = [
    _tag_case("params_digest", "0" * 64, {"stage": "baseline", "baseline": "adam_hidden"}, "tag params_digest"),
    _tag_case("commit", NOWHERE, META_TRAIN[0], "tag commit"),
    _tag_case("device", "8 x H200", META_TRAIN[1], INPUTS),
    _tag_case("version.numpy", "0.1", {"stage": "test_data", "set": "iris"}, "tag version.numpy"),
    _tag_case("plan", "0" * 64, {"stage": "test_data", "set": "wine"}, "tag plan"),
    _tag_case("stage", "other", META_TEST[0], "tag stage"),
    _tag_case("fingerprint", "0" * 64, {"stage": "shipped_clone", "kind": "improve", "seed": "0"}, "tag fingerprint"),
    _tag_case("tree", "tidy", {"stage": "unify"}, "tag tree"),
    _tag_case("tree", "dirty", {"stage": "zoo_test", "rule": "mnist"}, "tag tree", "noted"),
    _tag_case("resumed", "true", {"stage": "zoo_test", "rule": "digits"}, WENT_ON, "noted"),
]


def _committed(audited, tree: str, text: str) -> str:
    words = ("-c", "user.name=t", "-c", "user.email=t@t", "commit-tree", tree, "-m", text)
    return audited.run("git", *words).strip()


def another_commit(audited, lock) -> Iterator[Expected]:
    """In whose place git itself, for those who believe it, takes the right one."""
    commit = _committed(audited, audited.run("git", "hash-object", "-t", "tree", "-w", "/dev/null").strip(), "empty")
    audited.run("git", "replace", commit, "HEAD")
    run = audited.run_of("clone_test", seed="0")
    with _tagged(audited, run, "commit", commit):
        yield "broken", f"vsml/core/cell.py at commit {commit[:12]}, which is the tag commit of MLflow run {run[:8]}"
    audited.run("git", "replace", "-d", commit)


def overwritten_object(audited, lock) -> Iterator[Expected]:
    """A loose object in whose file another one is, which git does not see when it reads it."""
    commit, other = (_committed(audited, "HEAD^{tree}", text) for text in ("forged", "other"))
    file, others = (audited.root / ".git/objects" / one[:2] / one[2:] for one in (commit, other))
    run = audited.run_of("feedback_test", experiment="flp_on_sines", seed="0")
    content = others.read_bytes()
    with _tagged(audited, run, "commit", commit), edited(file, lambda data: content):
        what = f"git object {commit} in commit {commit[:12]}, which is the tag commit of MLflow run {run[:8]}"
        yield "broken", what


def _manifest_case(what: str, path: str, item: dict[str, str]):
    """Another digest in a manifest."""

    def harm(audited, run: str) -> Any:
        digest = sha256_file(audited.root / path).encode()
        return edited(audited.artifact(run, "manifest.json"), lambda data: data.replace(digest, b"0" * 64))

    return _run_case(f"edited_manifest_{path}", item, harm, what)


def _other_manifest_case(seed: int, content: bytes):
    """A manifest that is of another kind."""
    item = {"stage": "feedback_train", "experiment": "flp_on_sines", "seed": str(seed)}

    def harm(audited, run: str) -> Any:
        return edited(audited.artifact(run, "manifest.json"), lambda data: content)

    return _run_case(f"manifest {content.decode()}", item, harm, "manifest.json")


MET = "artifacts/meta_test/vsml-1.npz"
ARTIFACTS = [
    _artifact_case("outs/artifacts/baseline/sgd.npz", {"stage": "baseline", "baseline": "sgd"}, edited, "artifact "),
    _artifact_case("outs/artifacts/baseline/adam.npz", {"stage": "baseline", "baseline": "adam"}, _gone, "artifact "),
    _artifact_case("manifest.json", {"stage": "shipped_clone", "kind": "clone", "seed": "0"}, _gone),
    _manifest_case(f"{MET} in manifest.json", MET, META_TEST[1]),
    *(_other_manifest_case(seed, content) for seed, content in enumerate((b"[]", b'{"outs": null}'))),
    _manifest_case(INPUTS, "artifacts/baseline/sgd.npz", {"stage": "introspect", "experiment": "vsml", "seed": "0"}),
]


def failed_run(audited, lock) -> Iterator[Expected]:
    run = audited.run_of("introspect", experiment="vsml", seed="1")
    audited.do(f"store.end({run!r}, 'FAILED')")
    yield "broken", f"status of MLflow run {run[:8]}"
    audited.do(f"store.end({run!r}, 'FINISHED')")


def remade_and_committed(audited, lock) -> Iterator[Expected]:
    """Numbers made by other means and told to DVC, which then has nothing to object."""
    path, run = audited.root / "artifacts/baseline/sgd.npz", audited.run_of("baseline", baseline="sgd")
    arrays, axes = read_table(path)
    what = "artifacts/baseline/sgd.npz on disk, in dvc.lock as well, against the outs"
    with edited(path, bytes), edited(audited.root / "dvc.lock", bytes):  # as they are, and so they are put back
        write_table(path, {name: np.flip(array) for name, array in arrays.items()}, axes)
        audited.run("dvc", "commit", "--force", "--quiet")
        yield "broken", f"{what} of MLflow run {run[:8]}"


def painted_everywhere(audited, lock) -> Iterator[Expected]:
    """A pixel in the figure, in DVC, and in the run's artifact, manifest and tags: drawing it again shows it."""
    name, locked = "artifacts/figure/meta_training.png", audited.root / "dvc.lock"
    run, path = audited.run_of("figure", figure="meta_training"), audited.root / name
    before = sha256_file(path).encode()
    with edited(locked, bytes), edited(path, _painted), edited(audited.artifact(run, f"outs/{name}"), _painted):
        after = sha256_file(path)
        audited.do(f"store.tag({run!r}, {{ 'sha256.{after}': 'outs/{name}' }})")
        audited.run("dvc", "commit", "--force", "--quiet")
        with edited(audited.artifact(run, "manifest.json"), lambda data: data.replace(before, after.encode())):
            yield "broken", name


NO_MD5, THOUGHT = "0" * 32, b"\nTHOUGHT = 1\n"
EDITED = [
    _edit_case("artifacts/baseline/sgd.npz"),
    _edit_case("artifacts/test_data/wine.npz"),
    _edit_case("artifacts/recall_test/direct-0.npz"),
    _edit_case("artifacts/feedback_train/flp_on_sines-1/rule.npz"),
    _edit_case("artifacts/figure/cloning.png", _painted),
    _edit_case("artifacts/figure/meta_training.pdf", lambda data: data.replace(b"/Page", b"/Pagf", 1)),
    _edit_case("artifacts/report/index.html", lambda data: data.replace(b"0.", b"1.", 1)),
    _edit_case("artifacts/report/results.json", lambda data: data.replace(b"0.", b"1.", 1)),
]
ADDED_TO = [
    _edit_case("vsml/introspect/association.py", lambda data: data + THOUGHT),
    _edit_case("pipeline/studies/cloning/figures/cloning.py", lambda data: data + THOUGHT),
    _edit_case("datasets.lock", lambda data: data + b"\n"),
    _edit_case("params.yaml", lambda data: _one_more(data, "introspect", "seed"), "params.yaml: introspect.seed"),
    # Another code digest in a plan: its bytes are no more those of dvc.lock and of the run.
    _edit_case("artifacts/plan/clone_test@0.json", lambda data: re.sub(rb'(?<="code": ")\w+', b"0" * 64, data)),
]
LOCKED = [
    _line_case("baseline@sgd", "outs", "artifacts/baseline/sgd.npz", md5=NO_MD5),
    _line_case("meta_test@vsml-0", "deps", "artifacts/meta_train/vsml-0/rule.npz", md5=NO_MD5),
    _line_case("meta_train@vsml-1", "deps", "artifacts/train_data", md5=f"{NO_MD5}.dir"),
    _line_case("baseline@adam_hidden", "deps", "artifacts/plan/baseline@adam_hidden.json", md5=NO_MD5),
    _line_case("clone_test@0", "outs", "artifacts/clone_test/0.npz", size=1),
    _line_case("shipped_clone@clone-0", "outs", "artifacts/clone/0.npz", hash="md5-dos2unix"),
    _lock_case("baseline@adam cmd", lambda lock: lock["baseline@adam"].update(cmd="true")),
    _lock_case("zoo_test@mnist", lambda lock: lock.pop("zoo_test@mnist"), "unproven"),
    _lock_case("baseline@sgd_hidden deps artifacts/test_data", _without_data),
]
OBJECTS = [
    _object_case("cache", "baseline@adam", edited),
    _object_case("remote", "baseline@adam_hidden", edited),
    _object_case("remote", "unify", _gone, "unproven"),
]
SHADOWS = [
    _shadow_case("vsml/learners/rivals/__init__.py", "rivals.py"),
    _shadow_case("vsml/core/cell.abi3.so", "cell.py"),
    _shadow_case("pipeline/track/__init__.abi3.so", "its __init__.py"),
]
FILES = [*EDITED, *OBJECTS, _lost_case("artifacts/meta_test/vsml-0.npz"), flipped_checkpoint, stray_table]
RECORDS = [*LOCKED, *ADDED_TO, changed_params_and_lock]
PLANNED = ["artifacts/plan", "artifacts/plan/unify.json, read by unify", "code of clone_test@0"]
ROUNDS = {  # cases that do not meet, and patterns of what else they rightly lead to
    "files": (FILES, []),
    "records": (RECORDS, PLANNED),
    "runs": (
        [*ARTIFACTS, *TAGS, deleted_run, another_commit, overwritten_object, failed_run],
        ["* at commit *", "artifacts/baseline/sgd.npz, read by introspect@vsml-0"],
    ),
    "bypasses": (
        [planted_run, better_metric, own_command, poisoned_module, *SHADOWS],
        ["artifacts/plan", "artifacts/plan/*"],
    ),
    "numbers": ([remade_and_committed], ["artifacts/baseline/sgd.npz, read by *"]),
    "pixels": ([painted_everywhere], ["artifacts/figure/meta_training.png, read by report"]),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_tampering_is_found_and_named(audited, name):
    cases, also = ROUNDS[name]
    lock, path = audited.lock(), audited.root / "dvc.lock"
    locked = json.dumps(lock)
    with contextlib.ExitStack() as undone:
        expected = {}
        for case in cases:
            steps = case(audited, lock)
            expected[next(steps)] = case
            undone.callback(next, steps, None)  # and no error is thrown into it, so that it undoes all
        if json.dumps(lock) != locked:  # JSON is YAML
            whole = json.dumps({"schema": "2.0", "stages": lock}).encode()
            undone.enter_context(edited(path, lambda data: whole))
        found = audited.audit(remote=name == "files")
    objects = {(one["kind"], one["object"]) for one in found["findings"]}
    missed = [case.__name__ for one, case in expected.items() if one not in objects]
    patterns = [*also, *(pattern for _, pattern in expected)]
    alarms = [one for one in objects if not any(one[1] == p or fnmatchcase(one[1], p) for p in patterns)]
    assert not missed, f"missed: {missed}; found: {sorted(objects)}"
    assert not alarms, f"unaccounted for: {alarms}"
    assert set(found["verdict"].values()) != {"proved"}
    if painted_everywhere in cases:
        (drawn,) = [one for one in found["findings"] if one["object"] == "artifacts/figure/meta_training.png"]
        assert "1 of" in drawn["found"] and "pixels differ" in drawn["found"]


def test_an_audit_does_not_run_what_was_compiled_from_other_code(audited):
    """Here of a module of its own, which then would find nothing wrong with dvc.lock."""
    blind, out = "def check(*of):\n    return []", "artifacts/unify/unification.npz"
    size = b"size: %d\n" % (audited.root / out).stat().st_size
    lock = edited(audited.root / "dvc.lock", lambda data: data.replace(size, b"size: 1\n", 1))
    with _poisoned(audited.root / "pipeline/audit/lock.py", blind) as compiled, lock:
        status, said, error = audited.end("python", "-m", "pipeline", "audit")
    assert status == 1 and "broken: 2" in said, said + error
    assert f"dvc.lock: unify outs {out} size" in said and f"{compiled}\n" in said


ON_A_CLUSTER = """
from pathlib import Path
from pipeline.cluster import exchange
from pipeline.run import artifacts
from pipeline.run import job as provenance
from pipeline.track import tracking
job = provenance.job("zoo_test", ("mnist",), "registry/vsml@sha256:1 " + provenance.git()["commit"])
answer, order = exchange.place(store, job, job.device.removeprefix("image "), False)
outs = {out: artifacts.sha256_file(out) for out in job.flow.outs}
versions = {f"version.{name}": version for name, version in job.plan["versions"].items()}
store.tag(answer, {"device": "1 x H200"} | versions)
exchange.commit(store, answer, "first", tracking.manifest(job, outs), Path())
"""


def test_a_run_on_a_cluster_is_held_to_its_image_and_to_what_it_committed(audited):
    """Its order and outs go the way of exchange.py; of the pod there is no more here than what it would say."""
    local, item = audited.run_of("zoo_test", rule="mnist"), "zoo_test@mnist"
    run = audited.do(ON_A_CLUSTER)
    audited.do(f"store.forget({local!r})")
    found = audited.audit()
    assert (found["findings"], found["items"][item]["run"]) == ([], run)
    manifest = audited.artifact(run, "attempts/first/manifest.json")
    with _tagged(audited, run, "image", "registry/vsml@sha256:2"), edited(manifest, lambda data: data + b"\n"):
        objects = {one["object"] for one in audited.audit()["findings"]}
    assert objects == {f"{what} of MLflow run {run[:8]}" for what in (INPUTS, "manifest.json")}
    audited.do(f"store._client.restore_run({local!r})\nstore.forget({run!r})")


def test_all_is_proved_again(audited):
    assert audited.audit()["findings"] == []
