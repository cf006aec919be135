"""Two hundred damaged inputs of each kind: each is read as it is, or refused in a sentence, in time."""

import io
import json
import random
import re
import shutil
import signal
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import vsml
from pipeline.__main__ import is_sentence
from pipeline.audit import lock, runs
from pipeline.audit.verify import verify
from pipeline.cluster import exchange
from pipeline.data import sources
from pipeline.run import paths
from pipeline.run.flow import Flow, locked
from pipeline.studies import claims, params
from pipeline.studies.learning.examples import read_examples
from pipeline.studies.report import MEASURES
from tests.pipeline.audit import test_verify

pytestmark = pytest.mark.slow
COUNT, WITHIN_S = 200, 20
NASTY = (b"", b"null", b"-1", b"0", b"1e999", b"nan", b"[]", b"{}", b"true", b"- ", b": ", b"\xff", b"\0")
NASTY += (b"99999999999999999999", b"&a [*a]", b"!!python/name:os.system", b"${items}", "é\u2028".encode())
NASTY += (b"'../../x'", b'"/etc/passwd"')
VALUE = re.compile(rb"(?<=: )[^\n,{}\[\]]+|(?<=\[)[^\n,\]]+")


def damaged(whole: bytes, number: int) -> bytes:
    """The input with one to three plausible or implausible faults."""
    chance = random.Random(number)
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(whole) + 1)
        end = min(len(whole), start + chance.choice((1, 4, 40, 400)))
        values = list(VALUE.finditer(whole))
        match chance.choice(("flip", "cut", "twice", "end", "more", "value", "value", "value")):
            case "flip":
                whole = whole[:start] + bytes(b ^ 1 << chance.randrange(8) for b in whole[start:end]) + whole[end:]
            case "cut":
                whole = whole[:start] + whole[end:]
            case "twice":
                whole = whole[:end] + whole[start:]
            case "end":
                whole = whole[:start]
            case "more":
                whole = whole[:start] + chance.choice(NASTY) + whole[start:]
            case "value" if values:
                value = chance.choice(values)
                whole = whole[: value.start()] + chance.choice(NASTY) + whole[value.end() :]
    return whole


def damaged_zip(whole: bytes, number: int) -> bytes:
    """The archive damaged as it is, or what one of its members holds, in an archive that is sound."""
    chance, made = random.Random(number), io.BytesIO()
    if number % 2:
        return damaged(whole, number)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(made, "w") as other:
        fated = chance.choice(archive.namelist())
        for name in archive.namelist():
            content = archive.read(name)
            other.writestr(name, damaged(content, number) if name == fated else content)
    return made.getvalue()


def kinds():
    """What each door is given, whole; its name; what damages it; and the door."""
    text = (paths.ROOT / "profiles/smoke/params.yaml").read_bytes()
    yield "params.yaml", text, damaged, lambda path: (params.read(path), Flow(path.parent).items())
    yield "dvc.yaml", (paths.ROOT / "dvc.yaml").read_bytes(), damaged, lambda path: Flow(path.parent).items()
    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    archive = io.BytesIO()
    np.savez(archive, x=x, y=np.arange(12) % 3)
    yield "data.npz", archive.getvalue(), damaged_zip, lambda path: read_examples(str(path), None)
    lines = "\n".join(["a,b,kind", *(f"{one[0]:.3f},{one[1]:.3f},{['no', 'yes'][n % 2]}" for n, one in enumerate(x))])
    yield "data.csv", lines.encode(), damaged, lambda path: read_examples(str(path), "kind")
    rule = (paths.ROOT / "vsml/zoo/digits.npz").read_bytes()
    yield "rule.npz", rule, damaged_zip, lambda path: vsml.load(path)
    yield "claims.yaml", paths.CLAIMS.read_bytes(), damaged, lambda path: claims.read(MEASURES, path)
    shipped = {name: json.loads(paths.DATASETS_LOCK.read_bytes())[name] for name in ("digits", "iris", "wine")}
    yield "datasets.lock", json.dumps(shipped, indent=2).encode(), damaged, lambda path: _sets(path)
    files = {f"artifacts/{name}.npz": "0" * 64 for name in "abc"}
    own = {"stage": "meta_train", "item": ["vsml", "0"], "fingerprint": "f", "code": files}
    told = json.dumps(own | {"deps": files, "outs": files}, indent=2).encode()
    yield "manifest.json", told, damaged, lambda path: runs.read_manifest(path.read_bytes(), "a")
    order = own | {"profile": "profiles/smoke", "image": "one", "dirty": False, "here": files}
    order |= {"reads": {name: {"sha256": "0" * 64, "run": "a", "path": f"outs/{name}"} for name in files}}
    yield "order.json", json.dumps(order, indent=2).encode(), damaged, lambda path: _lay_out(path)
    entries = (paths.ROOT / "dvc.lock").read_bytes().partition(b"\n  introspect@")[0]
    yield "dvc.lock", entries, damaged, lambda path: _locked(path)
    bundle = test_verify._files()
    yield "unify.json", bundle["statements/unify.json"], damaged, lambda path: _verified(bundle, path)


def _sets(path: Path) -> None:
    for name in ("digits", "iris", "wine"):
        sources.read(name, "test", path)


def _lay_out(path: Path) -> None:
    for name, digest in exchange.read_order(path.read_bytes(), "a")["here"].items():
        assert (path.parent / name).resolve().is_relative_to(path.parent) and len(digest) < 100


def _locked(path: Path) -> None:
    entries, flow = locked(path), Flow()
    for item in flow.items():
        lock.check(lock.Entry(item, entries.get(item.name), flow.root, {}), lock.Evidence(), {})


def _verified(bundle: dict[str, bytes], path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        test_verify._write(Path(folder), bundle | {"statements/unify.json": path.read_bytes()})
        list(verify(Path(folder)))


@pytest.mark.parametrize("kind", [one[0] for one in kinds()])
def test_damaged_input_is_read_or_refused_in_a_sentence(kind, tmp_path, monkeypatch):
    name, whole, damage, door = next(one for one in kinds() if one[0] == kind)
    (folder := tmp_path / "inside").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VSML_DATA_MIRROR", str(folder))
    for needed in ("dvc.yaml", "profiles/smoke/params.yaml"):
        shutil.copy(paths.ROOT / needed, folder)
    (file := folder / name).write_bytes(whole)
    door(file)
    faults, refused = [], 0
    signal.signal(signal.SIGALRM, lambda *of: pytest.fail("it hangs"))
    for number in range(COUNT):
        file.write_bytes(damage(whole, number))
        signal.alarm(WITHIN_S)
        try:
            door(file)
        except Exception as error:
            refused += 1
            if not is_sentence(error) or len(str(error)) < 20:
                faults.append(f"{number}: {type(error).__name__}: {error}"[:200])
        finally:
            signal.alarm(0)
    assert {path.name for path in tmp_path.rglob("*")} == {"inside", "dvc.yaml", "params.yaml", name}
    assert not faults, "\n".join(faults)
    assert refused > COUNT / 4, "most damage is seen"
