"""The MLflow run of each item: found by what it left, and held against the disk, the params, git and itself.

MLflow keeps no checksums. The manifest of a run does, its tags repeat them, and its fingerprint is a digest of all that
went in, which can be made again from what the run says of itself: who changes one of them must change all.
"""

import contextlib
import functools
import hashlib
import importlib
import io
import math
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.audit.findings import AGAIN, BROKEN, KINDS, NOTED, REPRO, UNPROVEN, Finding, changes
from pipeline.audit.hashing import Digests, Hasher
from pipeline.audit.lock import Entry, Evidence
from pipeline.cluster.exchange import COMMITTED, REFUSED
from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.params import digest as digest_of
from pipeline.run.params import shaped
from pipeline.track.store import Found, MissingInStoreError, Store
from pipeline.track.tracking import Manifest, flat

UNSAID = ("scipy", "matplotlib", "pillow")  # packages whose versions earlier runs do not say
ROUNDING = 1e-5  # of metrics, which have six digits
CUT_AT = 6000  # MLflow cuts longer params
COMMIT_FIRST = f"commit and push, then {AGAIN}"
WHOLE = "take .git from a clone that `git fsck` finds whole"
# Runs are looked at in threads. NumPy parses the header of an array as Python, and two threads of Python 3.11 that do
# so at once may fail (python/cpython#106905).
ONE_READS_ARRAYS = threading.Lock()


@functools.cache
def committed(commit: str) -> tuple[dict[str, str], str] | None:
    """The sha256 of every file of a commit, and the id of an object of it that is lost, or not what its id is a hash
    of, which git does not look at, "" for none; None if this repository has no such commit.
    """
    whole = re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit)
    if not whole or provenance.ask_git("cat-file", "-e", commit).returncode:
        return None
    files: dict[str, str] = {}
    waiting, size_of_id = [("", commit)], len(commit) // 2
    hashed, pipe = hashlib.sha1 if size_of_id == 20 else hashlib.sha256, subprocess.PIPE
    command, own = ["git", "-C", str(paths.ROOT), "cat-file", "--batch"], provenance.git_env()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=own) as git:
        assert git.stdin is not None and git.stdout is not None
        while waiting:
            name, known = waiting.pop()
            git.stdin.write(f"{known}\n".encode())
            git.stdin.flush()
            head = git.stdout.readline().split()
            if len(head) != 3:  # `ID missing`, with nothing after it; or git has ended
                return files, known
            _, kind, size = head
            content = git.stdout.read(int(size) + 1)[:-1]
            if hashed(b"%b %b\0%b" % (kind, size, content)).hexdigest() != known:
                return files, known
            if kind == b"commit":  # begins with `tree ID`
                waiting.append(("", content.split(None, 2)[1].decode()))
            elif kind == b"blob":
                files[name] = hashlib.sha256(content).hexdigest()
            while kind == b"tree" and content:  # of lines `MODE NAME\0ID`
                line, _, content = content.partition(b"\0")
                mode, _, inner = line.partition(b" ")
                if mode != b"160000":  # another repository's
                    end = "/" if mode == b"40000" else ""
                    waiting.append((f"{name}{os.fsdecode(inner)}{end}", content[:size_of_id].hex()))
                content = content[size_of_id:]
    return files, ""


def attempt(run: Found) -> str:
    """The folder of what counts in a run; of one on a cluster, that of the attempt that committed first."""
    return f"{run.params[COMMITTED].partition(' ')[0]}/" if COMMITTED in run.params else ""


def manifest(store: Store, run: Found) -> Manifest:
    """What a run read and left; raises as `read_manifest` does."""
    return read_manifest(store.content(run.id, f"{attempt(run)}manifest.json"), run.id)


def read_manifest(content: bytes, run: str) -> Manifest:
    """What the manifest of a run says.

    Raises:
      ValueError: it is none, or a name in it leads out of the folder of the profile.
    """
    return shaped(Manifest, content, f"manifest.json of MLflow run {run}", f"forget the run, and {REPRO} runs it again")


def evidence(store: Store, every: list[Found], entry: Entry, hasher: Hasher) -> Evidence:
    """That of the run with which least is wrong, among those that have something to do with the item as it is."""
    digests = {f"sha256.{one.sha256}" for one in entry.outs.values()}
    own = {"stage": entry.item.stage, **entry.item.names}

    def rank(run: Found) -> tuple[int, bool, bool]:
        return -len(digests & run.tags.keys()), not own.items() <= run.tags.items(), run.status != "FINISHED"

    def weight(found: Evidence) -> tuple[int, ...]:
        broken, *others = (sum(one.kind == kind for one in found.findings) for kind in KINDS)
        # Inputs count, since the same outs may have come from others as well, as before an edit that was undone.
        return (broken + len(found.other_deps) + len(found.other_params), *others)

    alike = [run for run in every if own.items() <= run.tags.items() or digests & run.tags.keys()]
    best: Evidence | None = None
    for run in sorted(alike, key=rank):  # of those alike in rank, the newest first
        if best is not None and (not any(weight(best)) or not (any(weight(best)[:2]) or digests & run.tags.keys())):
            break  # nothing is wrong with it, or there are notes only, which no run without these outs can better
        found = _examine(store, run, entry, hasher)
        if found is not None and (best is None or weight(found) < weight(best)):
            best = found
    if best is not None:
        return best._replace(findings=[*best.findings, *_twins(store, best, every, entry)])
    more = f", {len(alike)} of which are of this item" if alike else ""
    words = ("a run that left these bytes from these inputs", f"none among the {len(every)} runs of {store.uri}{more}")
    remedy = f"restore the run from MLflow's bin, name its server in MLFLOW_TRACKING_URI, or {AGAIN}"
    return Evidence(findings=[Finding(f"MLflow run of {entry.item.name}", *words, remedy, UNPROVEN)])


def _twins(store: Store, best: Evidence, every: list[Found], entry: Entry) -> Iterator[Finding]:
    """Runs of the same fingerprint that left something else: of all that decides the outs, nothing differs.

    Another maker's CPU, or a GPU, gives other last digits; that is noted. More than that, no machine does. Files that
    are no tables have such digits in them, and are noted.
    """
    from pipeline.audit.replay import DIFFERENT, IDENTICAL, compare  # which imports this module

    own = best.run
    assert own is not None
    twins = [run for run in every if run.tags.get("fingerprint") == own.tags.get("fingerprint")]
    for run in (run for run in twins if run.status == "FINISHED" and run.id != own.id and REFUSED not in run.tags):
        left: dict[str, str] = {}
        with contextlib.suppress(MissingInStoreError, ValueError):  # its tags are not asked: they may be copies
            left = manifest(store, run).outs
        for name in (name for name, digest in best.outs.items() if left.get(name) != digest):
            with contextlib.suppress(MissingInStoreError), tempfile.TemporaryDirectory() as folder:
                both = [Path(folder) / f"{one.id}{Path(name).suffix}" for one in (own, run)]
                for one, path in zip((own, run), both, strict=True):
                    store.download(one.id, f"{attempt(one)}outs/{name}", path)
                with ONE_READS_ARRAYS:
                    verdict, words = compare(*both)
                if verdict != IDENTICAL:
                    yield Finding(
                        f"{name} in MLflow run {run.id[:8]}",
                        f"that of run {own.id[:8]}, which had the same inputs",
                        f"{verdict} ({words})",
                        f"python -m pipeline replay {entry.item.cmd.rpartition(' pipeline ')[2]} says which is right",
                        BROKEN if verdict == DIFFERENT and name.endswith(".npz") else NOTED,
                    )


def _examine(store: Store, run: Found, entry: Entry, hasher: Hasher) -> Evidence | None:
    """What this run says of the item; None if it has nothing to do with the bytes or inputs that are there."""
    tagged = any(f"sha256.{one.sha256}" in run.tags for one in entry.outs.values())
    told, fault, artifacts = None, None, {}
    try:
        content = store.content(run.id, f"{attempt(run)}manifest.json")
        digest = hashlib.sha256(content).hexdigest()
        if COMMITTED in run.params and (promised := run.params[COMMITTED].partition(" ")[2]) != digest:
            fault = f"sha256 {digest}, where the run committed to {promised}"
        told = read_manifest(content, run.id)
    except (MissingInStoreError, ValueError) as error:
        if not tagged:
            return None
        fault = str(error)
    for name in entry.item.outs if told else ():
        with contextlib.suppress(MissingInStoreError):
            artifacts[name] = hasher.read(io.BytesIO(store.content(run.id, f"{attempt(run)}outs/{name}")))
    code, deps, outs = (told.code, told.deps, told.outs) if told else ({}, {}, {})
    other_deps = changes(deps, {name: one.sha256 for name, one in entry.deps.items()}) if told else []
    other_outs = changes(outs, {name: one.sha256 for name, one in entry.outs.items()}) if told else []
    params, logged = digest_of(entry.plan["params"]), run.params.get("digest/params")
    if not (
        tagged
        or any(one.sha256 == outs.get(name) for name, one in entry.outs.items())
        or any(one.md5 == entry.locked.get(name) for name, one in artifacts.items())
        or (deps and not other_deps and logged == params)
    ):
        return None
    now = {key: value[:CUT_AT] for key, value in flat(entry.plan["params"]).items()}
    then = {key: value[:CUT_AT] for key, value in run.params.items() if key != COMMITTED and key[:7] != "digest/"}
    other_params = changes(then, now) or ([("digest", logged, params)] if logged != params else [])

    facts = [Finding("manifest.json", "a manifest as it was committed", fault)] if fault else []
    for name in entry.item.outs if told else ():
        facts += _out(run, entry, name, outs.get(name), artifacts.get(name))
    facts += [*_itself(run, entry, told), *_commit(run, code)]
    if told and not other_outs:  # what is in the tables on disk, the metrics must say, too
        with ONE_READS_ARRAYS:
            headline = importlib.import_module("pipeline.studies.headline")
            measured = headline.of_item(entry.item.stage, entry.item.words)
        for name in measured.keys() & run.metrics.keys():
            if not math.isclose(run.metrics[name], measured[name], rel_tol=ROUNDING):
                facts.append(Finding(f"metric {name}", measured[name], run.metrics[name]))
    wrong = [one for one in facts if one.expected != one.found]
    wrong = [one._replace(object=f"{one.object} of MLflow run {run.id[:8]}") for one in wrong]
    return Evidence(run, code, deps, outs, wrong, other_outs, other_deps, other_params)


# What follows says something of a run, what it should be and what it is: a finding if these two differ.


def _out(run: Found, entry: Entry, name: str, listed: str | None, artifact: Digests | None) -> Iterator[Finding]:
    """An out four times: in the manifest, as an artifact, on the disk, among the tags. Who stands alone is wrong."""
    local = entry.outs.get(name)
    known = [listed, artifact and artifact.sha256, local and local.sha256]
    place = f"{attempt(run)}outs/{name}"
    tags = {tag.removeprefix("sha256."): at for tag, at in run.tags.items() if tag.startswith("sha256.")}
    # Outs may be alike: then the tag names the place of another one.
    tag = next((one for one in known if one in tags), None) or next((one for one in tags if tags[one] == place), None)
    votes = [one for one in (*known, tag) if one]
    truth = max(votes, key=votes.count, default=None)
    yield Finding(f"{name} in manifest.json", truth, listed)
    yield Finding(f"artifact {place}", truth, known[1], f"upload the right file again, or {AGAIN}")
    yield Finding(f"tag sha256.… for {name}", truth, tag)
    if local is not None and local.md5 == entry.locked.get(name):
        # The disk and dvc.lock agree against MLflow; where they do not, the checks of dvc.lock say so.
        yield Finding(f"{name} on disk, in dvc.lock as well, against the outs", truth, local.sha256)


def _itself(run: Found, entry: Entry, told: Manifest | None) -> Iterator[Finding]:
    """Whose run it is and what went in, by its tags, its params and its manifest."""
    item, tags = entry.item, run.tags
    yield Finding("status", "FINISHED", run.status)
    yield Finding(f"tag {REFUSED}", None, tags.get(REFUSED))
    again = f"python -m pipeline replay {' '.join((item.stage, *item.words))} does it without"
    yield Finding("tag resumed: it went on from a checkpoint", None, tags.get("resumed"), again, NOTED)
    for tag, value in {"stage": item.stage, **item.names}.items():
        yield Finding(f"tag {tag}", value, tags.get(tag))
    for name, planned in (entry.held or entry.plan)["versions"].items():
        if (found := tags.get(f"version.{name}", planned if name in UNSAID else None)) != planned:
            yield Finding(f"tag version.{name}", f"{planned} (its plan)", found)
    yield Finding("tag params_digest", run.params.get("digest/params"), tags.get("params_digest"))
    if not told:
        return
    yield Finding("tag plan", told.deps.get(item.plan.as_posix()), tags.get("plan"))
    whose = " ".join((told.stage, *told.item))
    yield Finding("stage and item in manifest.json", " ".join((item.stage, *item.words)), whose)
    made = {
        "tag fingerprint": tags.get("fingerprint"),
        "param digest/fingerprint": run.params.get("digest/fingerprint"),
        "fingerprint in manifest.json": told.fingerprint,
    }
    truth = max(votes := list(made.values()), key=votes.count)
    yield from (Finding(what, truth, value) for what, value in made.items())
    where = f"image {tags.get('image')}" if tags.get("executor") == "kubernetes" else tags.get("device", "")
    again = provenance.fingerprint(item.stage, item.words, told.deps, where)
    inputs = "inputs (deps in manifest.json, tags device and image)"
    yield Finding(inputs, f"fingerprint {truth}", f"fingerprint {again}")


def _commit(run: Found, code: Mapping[str, str]) -> Iterator[Finding]:
    """The commit is in this repository and holds the very code that was read, if the tree was clean."""
    commit, tree = run.tags.get("commit", ""), run.tags.get("tree")
    if run.tags.get("auditable") == "false":
        words = ("an image with the committed code", "PIPELINE_ALLOW_DIRTY was set")
        yield Finding("tag auditable", *words, COMMIT_FIRST, NOTED)
    if tree == "unversioned" or commit == "none":
        yield Finding("commit", "a commit", "it ran outside of git", COMMIT_FIRST, NOTED)
    elif (held := committed(commit)) is None:
        shallow = provenance.ask_git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
        kind, more = (UNPROVEN, " --unshallow") if shallow else (BROKEN, "")
        remedy = f"git fetch --all{more}, or {AGAIN}"
        yield Finding("tag commit", "a commit of this repository", commit or None, remedy, kind)
    elif held[1]:
        words = ("what has this hash", "other content, or none", WHOLE)
        yield Finding(f"git object {held[1]} in commit {commit[:12]}, which is the tag commit", *words)
    elif tree == "dirty":
        yield Finding("tag tree", "clean", "dirty: it ran with uncommitted changes", COMMIT_FIRST, NOTED)
    else:
        yield Finding("tag tree", "clean", tree)
        for name, digest in code.items():
            yield Finding(f"{name} at commit {commit[:12]}, which is the tag commit", digest, held[0].get(name))
