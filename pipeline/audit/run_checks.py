"""What the run of an item says, held against the disk, the params, git and itself."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.audit.findings import BROKEN, NOTED, Finding
from pipeline.audit.hashing import Digests
from pipeline.audit.history import History
from pipeline.cluster.exchange import COMMITTED
from pipeline.run import job as provenance
from pipeline.run.flow import ABSENT, PLAN
from pipeline.run.params import digest as digest_of
from pipeline.track.store import Found
from pipeline.track.tracking import flat

CUT_AT = 6000  # MLflow cuts longer params
AGAIN = "dvc repro --force --single-item {name}"


class Subject(NamedTuple):
    """An item as the disk has it."""

    name: str
    stage: str
    words: tuple[str, ...]
    names: Mapping[str, str]  # what its tags say of the item
    params: dict[str, Any]
    versions: Mapping[str, str]  # of numeric packages, by its plan
    deps: Mapping[str, Digests | None]  # every file that it reads
    outs: Mapping[str, Digests | None]
    locked: Mapping[str, str | None]  # md5 of each out in dvc.lock


def outs(name: str, artifact: Digests | None, listed: str | None, subject: Subject, run: Found, say: Any) -> None:
    """An out four times: in the manifest, among the tags, as an artifact, on the disk. Who stands alone is wrong."""
    local = subject.outs[name]
    known = {"manifest": listed, "artifact": artifact and artifact.sha256, "disk": local and local.sha256}
    tagged = next((digest for digest in known.values() if f"sha256.{digest}" in run.tags), None)  # outs may be alike
    if tagged is None:
        tagged = next(
            (key.removeprefix("sha256.") for key, at in run.tags.items() if at == f"{place(run)}/{name}"), None
        )
    known["tag"] = tagged
    votes = [value for value in known.values() if value]
    truth = max(votes, key=votes.count)
    if known["manifest"] != truth:
        say(f"{name} in manifest.json", truth, listed)
    if known["artifact"] != truth:
        remedy = "upload the right file again, or " + AGAIN
        say(f"artifact {place(run)}/{name}", truth, known["artifact"] or "no such artifact", remedy=remedy)
    if known["tag"] != truth:
        say(f"tag sha256.… for {name}", f"sha256.{truth}", tagged or "no such tag")
    if local is not None and local.sha256 != truth and local.md5 == subject.locked.get(name):
        # The disk and dvc.lock agree against MLflow; where they do not, the checks of dvc.lock say so.
        say(f"{name} on disk, in dvc.lock as well, against the outs", truth, local.sha256)


def identity(subject: Subject, run: Found, manifest: dict[str, Any], say: Any) -> None:
    """Tags, params and manifest say whose run this is and what went in."""
    for key, value in {"stage": subject.stage, **subject.names}.items():
        if run.tags.get(key) != value:
            say(f"tag {key}", value, run.tags.get(key, "no such tag"))
    digest, logged = digest_of(subject.params), run.params.get("digest/params")
    if run.tags.get("params_digest") != logged:
        say("tag params_digest", logged or "no such param", run.tags.get("params_digest", "no such tag"))
    if not manifest:
        return
    plan = manifest.get("deps", {}).get(f"{PLAN}/{subject.name}.json")
    if run.tags.get("plan") != plan:
        say("tag plan", plan or "no plan among the deps", run.tags.get("plan", "no such tag"))
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
            "inputs (deps in manifest.json, tags device and image)",
            f"fingerprint {truth}",
            f"they give {again}",
        )


def _fingerprint(subject: Subject, run: Found, manifest: dict[str, Any]) -> str:
    where = f"image {run.tags.get('image')}" if run.tags.get("executor") == "kubernetes" else run.tags.get("device", "")
    return provenance.fingerprint(subject.stage, subject.words, manifest.get("deps", {}), where)


def versions(subject: Subject, run: Found, say: Any) -> None:
    """The run had the numeric packages that were planned."""
    for name, planned in subject.versions.items():
        if run.tags.get(f"version.{name}", planned) != planned:
            say(f"tag version.{name}", f"{planned} (its plan)", run.tags[f"version.{name}"])


def other_deps(subject: Subject, deps: Mapping[str, str]) -> dict[str, Finding]:
    """Deps on disk that are not those which the run read."""
    found = {}
    for name in sorted({*deps, *subject.deps}):
        local, read = subject.deps.get(name), deps.get(name)
        if (local and local.sha256) != read:
            words = (f"{read or 'not read'} (the run)", local.sha256 if local else "no such file")
            again = AGAIN.format(name=subject.name)
            found[name] = Finding(BROKEN, f"{name}, read by {subject.name}", *words, again, (subject.name,))
    return found


def other_params(subject: Subject, run: Found) -> dict[str, Finding]:
    """Params that are not those which the run logged; MLflow lets nobody change them there."""
    now = {key: value[:CUT_AT] for key, value in flat(subject.params).items()}
    then = {key: value[:CUT_AT] for key, value in run.params.items() if key != COMMITTED and key[:7] != "digest/"}
    other = [key for key in sorted({*now, *then}) if now.get(key) != then.get(key)]
    if not other and digest_of(subject.params) != run.params.get("digest/params"):
        now, then = {"digest": digest_of(subject.params)}, {"digest": run.params.get("digest/params", ABSENT)}
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


def code(code: Mapping[str, str], run: Found, history: History, say: Any) -> None:
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
    for name, digest in code.items():
        there = history.sha256(commit, name)
        if there != digest:
            say(f"{name} at commit {commit[:12]}, which is the tag commit", digest, there or "no such file")


def place(run: Found) -> str:
    return f"{run.params[COMMITTED].split()[0]}/outs" if COMMITTED in run.params else "outs"
