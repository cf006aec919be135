"""The MLflow run of each item: found by what it left, and held against the disk, the params, git and itself.

MLflow keeps no checksums. The manifest of a run does, its tags repeat them, and its fingerprint is a digest of all that
went in, which can be made again from what the run says of itself: who changes one of them must change all.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.audit import run_checks as testimony
from pipeline.audit.findings import BROKEN, KINDS, UNPROVEN, Finding
from pipeline.audit.hashing import Digests, Hasher
from pipeline.audit.history import History
from pipeline.audit.run_checks import AGAIN, Subject, place
from pipeline.cluster.exchange import COMMITTED, REFUSED
from pipeline.run.params import digest as digest_of
from pipeline.track.store import Found, MissingInStoreError, Store


class Evidence(NamedTuple):
    """The run that vouches for an item, what it says of code, deps and outs by sha256, and what is wrong with it.

    `inputs` are deps and params that are not those of the run, by name. They count if dvc.lock has nothing to say of
    them; as a rule it has, and names who was changed.
    """

    run: Found | None
    code: Mapping[str, str]
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    findings: list[Finding]
    inputs: Mapping[str, Finding]


def evidence(store: Store, every: list[Found], subject: Subject, hasher: Hasher, history: History) -> Evidence:
    """That of the run with which least is wrong, among those that have something to do with the item as it is."""
    digests = {f"sha256.{one.sha256}" for one in subject.outs.values() if one}
    own = {"stage": subject.stage, **subject.names}

    def rank(run: Found) -> tuple[int, bool, bool]:
        return -len(digests & run.tags.keys()), not own.items() <= run.tags.items(), run.status != "FINISHED"

    alike = [run for run in every if own.items() <= run.tags.items() or digests & run.tags.keys()]
    alike.sort(key=rank)  # stable: newest first
    best: Evidence | None = None
    for run in alike:
        if best is not None and (not any(_weight(best)) or not (any(_weight(best)[:2]) or digests & run.tags.keys())):
            break  # nothing is wrong with it, or there are notes only, which no run without these outs can better
        found = _examine(store, run, subject, hasher, history)
        if found is not None and (best is None or _weight(found) < _weight(best)):
            best = found
    if best is not None:
        return best
    remedy = f"restore the run from MLflow's bin, name its server in MLFLOW_TRACKING_URI, or {AGAIN}"
    why = f"none among the {len(every)} runs of {store.uri}" + (
        f", {len(alike)} of which are of this item" * bool(alike)
    )
    expected = "a run that left these bytes from these inputs"
    missing = Finding(UNPROVEN, f"MLflow run of {subject.name}", expected, why, remedy.format(name=subject.name))
    return Evidence(None, {}, {}, {}, [missing._replace(items=(subject.name,))], {})


def _examine(store: Store, run: Found, subject: Subject, hasher: Hasher, history: History) -> Evidence | None:
    """What this run says of the item; None if it has nothing to do with the bytes or inputs that are there."""
    short = run.id[:8]
    try:
        manifest, sealed = _manifest(store, run, hasher)
    except (MissingInStoreError, ValueError) as error:
        if not any(f"sha256.{one.sha256}" in run.tags for one in subject.outs.values() if one):
            return None
        manifest, sealed = {}, str(error)
    code, deps, outs = (manifest.get(kind, {}) for kind in ("code", "deps", "outs"))
    findings: list[Finding] = []

    def say(what: str, expected: object, found: object, kind: str = BROKEN, remedy: str = AGAIN) -> None:
        words = (f"{what} of MLflow run {short}", str(expected), str(found), remedy.format(name=subject.name))
        findings.append(Finding(kind, *words, items=(subject.name,), run=run.id))

    if sealed is not None:
        say("manifest.json", "a manifest as it was committed", sealed)
    found = {name: _artifact(store, run, name, hasher) for name in subject.outs} if manifest else {}
    about = (
        any(one and one.sha256 == outs.get(name) for name, one in subject.outs.items())
        or any(one and one.md5 == subject.locked.get(name) for name, one in found.items())
        or any(one and f"sha256.{one.sha256}" in run.tags for one in subject.outs.values())
        or _same_inputs(subject, deps, run)
    )
    if not about:
        return None
    if run.status != "FINISHED":
        say("status", "FINISHED", run.status)
    if REFUSED in run.tags:
        say(f"tag {REFUSED}", "no such tag", run.tags[REFUSED])
    for name, one in found.items():
        testimony.outs(name, one, outs.get(name), subject, run, say)
    testimony.identity(subject, run, manifest, say)
    testimony.versions(subject, run, say)
    testimony.code(code, run, history, say)
    other = testimony.other_params(subject, run) | (testimony.other_deps(subject, deps) if manifest else {})
    return Evidence(run, code, deps, outs, findings, {name: one._replace(run=run.id) for name, one in other.items()})


def _manifest(store: Store, run: Found, hasher: Hasher) -> tuple[dict[str, Any], str | None]:
    """The manifest, and what is wrong with its bytes where the run says what they must be."""
    name, promised = "manifest.json", None
    if COMMITTED in run.params:
        folder, promised = run.params[COMMITTED].split()
        name = f"{folder}/{name}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        store.download(run.id, name, path)
        with path.open("rb") as file:
            digest = hasher.fresh(file).sha256
        value = json.loads(path.read_text(encoding="utf-8"))
    wrong = promised is not None and digest != promised
    return value, f"sha256 {digest}, where the run committed to {promised}" if wrong else None


def _artifact(store: Store, run: Found, name: str, hasher: Hasher) -> Digests | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artifact"
        try:
            store.download(run.id, f"{place(run)}/{name}", path)
        except MissingInStoreError:
            return None
        with path.open("rb") as file:
            return hasher.fresh(file)


def _same_inputs(subject: Subject, deps: Mapping[str, str], run: Found) -> bool:
    read = {name: one.sha256 for name, one in subject.deps.items() if one}
    return bool(deps) and deps == read and run.params.get("digest/params") == digest_of(subject.params)


def _weight(found: Evidence) -> tuple[int, ...]:
    """How much is wrong, by kind; the same outs may have come from other inputs as well, as before an edit undone."""
    broken, *others = (sum(one.kind == kind for one in found.findings) for kind in KINDS)
    return (broken + len(found.inputs), *others)
