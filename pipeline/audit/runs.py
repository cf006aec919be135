"""The MLflow run of each item: found by what it left, and held against the disk, the params, git and itself.

MLflow keeps no checksums. The manifest of a run does, its tags repeat them, and its fingerprint is a digest of all that
went in, which can be made again from what the run says of itself: who changes one of them must change all.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import params
from pipeline.audit.findings import BROKEN, KINDS, NOTED, UNPROVEN, Finding
from pipeline.audit.hashing import Digests, Hasher
from pipeline.audit.history import History
from pipeline.audit.ledger import ABSENT
from pipeline.plane import COMMITTED, REFUSED
from pipeline.store import Found, MissingInStoreError, Store
from pipeline.tracking import flat

CUT_AT = 6000  # MLflow cuts longer params
AGAIN = "dvc repro --force --single-item {name}"


class Subject(NamedTuple):
    """An item as the disk has it."""

    name: str
    stage: str
    words: tuple[str, ...]
    names: Mapping[str, str]  # what its tags say of the item
    params: dict[str, Any]
    deps: Mapping[str, Digests | None]  # every file that it reads
    outs: Mapping[str, Digests | None]
    locked: Mapping[str, str | None]  # md5 of each out in dvc.lock


class Evidence(NamedTuple):
    """The run that vouches for an item, what it says of deps and outs by sha256, and what is wrong with it.

    `inputs` are deps and params that are not those of the run, by name. They count if dvc.lock has nothing to say of
    them; as a rule it has, and names who was changed.
    """

    run: Found | None
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    findings: list[Finding]
    inputs: Mapping[str, Finding]


def evidence(store: Store, every: list[Found], subject: Subject, hasher: Hasher, history: History) -> Evidence:
    """That of the run with which least is wrong, among those that have something to do with the item as it is."""
    digests = {f"sha256.{one.sha256}" for one in subject.outs.values() if one}
    own = {"stage": subject.stage, **subject.names}
    alike = [run for run in every if own.items() <= run.tags.items() or digests & run.tags.keys()]
    alike.sort(key=lambda run: (-len(digests & run.tags.keys()), run.status != "FINISHED"))  # stable: newest first
    best: Evidence | None = None
    for run in alike:
        found = _examine(store, run, subject, hasher, history)
        if found is not None and (best is None or _weight(found) < _weight(best)):
            best = found
        if best is not None and not any(one.kind != NOTED for one in best.findings):
            break
    if best is not None:
        return best
    remedy = f"restore the run from MLflow's bin, name its server in MLFLOW_TRACKING_URI, or {AGAIN}"
    why = f"none among the {len(every)} runs of {store.uri}" + (
        f", {len(alike)} of which are of this item" * bool(alike)
    )
    expected = "a run that left these bytes from these inputs"
    missing = Finding(UNPROVEN, f"MLflow run of {subject.name}", expected, why, remedy.format(name=subject.name))
    return Evidence(None, {}, {}, [missing._replace(items=(subject.name,))], {})


def _examine(store: Store, run: Found, subject: Subject, hasher: Hasher, history: History) -> Evidence | None:
    """What this run says of the item; None if it has nothing to do with the bytes or inputs that are there."""
    short = run.id[:8]
    try:
        manifest, sealed = _manifest(store, run, hasher)
    except (MissingInStoreError, ValueError) as error:
        if not any(f"sha256.{one.sha256}" in run.tags for one in subject.outs.values() if one):
            return None
        manifest, sealed = {}, str(error)
    deps, outs = manifest.get("deps", {}), manifest.get("outs", {})
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
        _out(name, one, outs.get(name), subject, run, say)
    _identity(subject, run, manifest, say)
    _code(deps, run, history, say)
    other = _other_params(subject, run) | (_other_deps(subject, deps) if manifest else {})
    return Evidence(run, deps, outs, findings, {name: one._replace(run=run.id) for name, one in other.items()})


def _out(name: str, artifact: Digests | None, listed: str | None, subject: Subject, run: Found, say: Any) -> None:
    """An out four times: in the manifest, among the tags, as an artifact, on the disk. Who stands alone is wrong."""
    local = subject.outs[name]
    known = {"manifest": listed, "artifact": artifact and artifact.sha256, "disk": local and local.sha256}
    tagged = next((digest for digest in known.values() if f"sha256.{digest}" in run.tags), None)  # outs may be alike
    if tagged is None:
        tagged = next(
            (key.removeprefix("sha256.") for key, at in run.tags.items() if at == f"{_place(run)}/{name}"), None
        )
    known["tag"] = tagged
    votes = [value for value in known.values() if value]
    truth = max(votes, key=votes.count)
    if known["manifest"] != truth:
        say(f"{name} in manifest.json", truth, listed)
    if known["artifact"] != truth:
        remedy = "upload the right file again, or " + AGAIN
        say(f"artifact {_place(run)}/{name}", truth, known["artifact"] or "no such artifact", remedy=remedy)
    if known["tag"] != truth:
        say(f"tag sha256.… for {name}", f"sha256.{truth}", tagged or "no such tag")
    if local is not None and local.sha256 != truth and local.md5 == subject.locked.get(name):
        # The disk and dvc.lock agree against MLflow; where they do not, the checks of dvc.lock say so.
        say(f"{name} on disk, in dvc.lock as well, against the outs", truth, local.sha256)


def _identity(subject: Subject, run: Found, manifest: dict[str, Any], say: Any) -> None:
    """Tags, params and manifest say whose run this is and what went in."""
    for key, value in {"stage": subject.stage, **subject.names}.items():
        if run.tags.get(key) != value:
            say(f"tag {key}", value, run.tags.get(key, "no such tag"))
    digest, logged = params.digest(subject.params), run.params.get("digest/params")
    if run.tags.get("params_digest") != logged:
        say("tag params_digest", logged or "no such param", run.tags.get("params_digest", "no such tag"))
    if not manifest:
        return
    if (manifest.get("stage"), tuple(manifest.get("item", ()))) != (subject.stage, subject.words):
        say(
            "stage and item in manifest.json",
            (subject.stage, *subject.words),
            (manifest.get("stage"), *manifest.get("item", ())),
        )
    made = {
        "tag fingerprint": run.tags.get("fingerprint"),
        "param digest/fingerprint": run.params.get("digest/fingerprint"),
        "fingerprint in manifest.json": manifest.get("fingerprint"),
    }
    votes = list(made.values())
    truth = max(votes, key=votes.count)
    for where, value in made.items():
        if value != truth:
            say(where, truth, value)
    again = _fingerprint(subject, run, manifest)
    if again != truth and digest == logged:
        say(
            "inputs (deps in manifest.json, tags version.…, device and image)",
            f"fingerprint {truth}",
            f"they give {again}",
        )


def _fingerprint(subject: Subject, run: Found, manifest: dict[str, Any]) -> str:
    """`provenance.job` makes it of the same facts."""
    deps = manifest.get("deps", {})
    head = [subject.stage, subject.words, subject.params, deps]
    if run.tags.get("executor") == "kubernetes":
        return params.digest([*head, {}, f"image {run.tags.get('image')}"])
    versions = {key.removeprefix("version."): value for key, value in run.tags.items() if key.startswith("version.")}
    return params.digest([*head, versions, run.tags.get("device")])


def _other_deps(subject: Subject, deps: Mapping[str, str]) -> dict[str, Finding]:
    """Deps on disk that are not those which the run read."""
    found = {}
    for name in sorted({*deps, *subject.deps}):
        local, read = subject.deps.get(name), deps.get(name)
        if (local and local.sha256) != read:
            words = (f"{read or 'not read'} (the run)", local.sha256 if local else "no such file")
            again = AGAIN.format(name=subject.name)
            found[name] = Finding(BROKEN, f"{name}, read by {subject.name}", *words, again, (subject.name,))
    return found


def _other_params(subject: Subject, run: Found) -> dict[str, Finding]:
    """Params that are not those which the run logged; MLflow lets nobody change them there."""
    now = {key: value[:CUT_AT] for key, value in flat(subject.params).items()}
    then = {key: value[:CUT_AT] for key, value in run.params.items() if key != COMMITTED and key[:7] != "digest/"}
    other = [key for key in sorted({*now, *then}) if now.get(key) != then.get(key)]
    if not other and params.digest(subject.params) != run.params.get("digest/params"):
        now, then = {"digest": params.digest(subject.params)}, {"digest": run.params.get("digest/params", ABSENT)}
        other = ["digest"]
    found = {}
    for key in other:
        words = (
            f"params of {subject.name}: {key}",
            f"{then.get(key, ABSENT)} (the run)",
            f"{now.get(key, ABSENT)} (now)",
        )
        found[f"params {key}"] = Finding(BROKEN, *words, AGAIN.format(name=subject.name), (subject.name,))
    return found


def _code(deps: Mapping[str, str], run: Found, history: History, say: Any) -> None:
    """The commit is in this repository and holds the very code that was read, if the tree was clean."""
    commit, tree = run.tags.get("commit", ""), run.tags.get("tree")
    commit_first = "commit and push, then " + AGAIN
    if run.tags.get("auditable") == "false":
        say("tag auditable", "an image with the committed code", "PIPELINE_ALLOW_DIRTY was set", NOTED, commit_first)
    if tree == "unversioned" or commit == "none":
        say("commit", "a commit", "it ran outside of git", NOTED, commit_first)
        return
    if not history.has(commit):
        say(
            "tag commit", "a commit of this repository", commit or "no such tag", BROKEN, "git fetch --all, or " + AGAIN
        )
        return
    if tree not in ("clean", "dirty"):
        say("tag tree", "clean or dirty", tree)
    if tree == "dirty":
        say("tag tree", "clean", "dirty: it ran with uncommitted changes", NOTED, commit_first)
        return
    code = {name: digest for name, digest in deps.items() if not name.startswith("artifacts/")}
    for name, digest in code.items():
        there = history.sha256(commit, name)
        if there != digest:
            say(f"{name} at commit {commit[:12]}, which is the tag commit", digest, there or "no such file")


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
            store.download(run.id, f"{_place(run)}/{name}", path)
        except MissingInStoreError:
            return None
        with path.open("rb") as file:
            return hasher.fresh(file)


def _place(run: Found) -> str:
    return f"{run.params[COMMITTED].split()[0]}/outs" if COMMITTED in run.params else "outs"


def _same_inputs(subject: Subject, deps: Mapping[str, str], run: Found) -> bool:
    read = {name: one.sha256 for name, one in subject.deps.items() if one}
    return bool(deps) and deps == read and run.params.get("digest/params") == params.digest(subject.params)


def _weight(found: Evidence) -> tuple[int, ...]:
    return tuple(sum(one.kind == kind for one in found.findings) for kind in KINDS)
