"""The audit of a profile: every item of every stage, and for each figure the chain up to the publishers' data."""

import functools
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import figures, params, uploads
from pipeline.audit import cache, checkpoints, data, ledger, lock, redraw, runs
from pipeline.audit.findings import NOTED, Finding, merged, worst
from pipeline.audit.hashing import Hasher
from pipeline.audit.history import History
from pipeline.audit.ledger import Entry, named
from pipeline.audit.runs import Evidence
from pipeline.audit.testimony import Subject
from pipeline.flow import STAGES
from pipeline.paths import ROOT
from pipeline.store import Store

AT_ONCE = 8  # runs looked at; most of it is waiting for MLflow


class Audit(NamedTuple):
    """What was found, and what was looked at."""

    findings: list[Finding]
    entries: dict[str, Entry]
    evidence: dict[str, Evidence]
    needs: dict[str, tuple[str, ...]]  # the items whose outs an item reads; of a figure, those that it draws
    bytes_hashed: int
    wall_s: float

    def kind(self, name: str) -> str:
        """The gravest finding of an item, or PROVED."""
        return worst(one.kind for one in self.findings if name in one.items)

    @property
    def failed(self) -> bool:
        return any(one.kind != NOTED for one in self.findings)

    def drawn(self) -> list[str]:
        """The figures, and the report."""
        return [name for name, entry in self.entries.items() if entry.stage in redraw.DRAWN]

    def chain(self, name: str) -> list[str]:
        """An item and all that it comes from, in the order of the walk."""
        seen: dict[str, None] = {name: None}
        for one in seen.copy():
            seen |= dict.fromkeys(inner for need in self.needs[one] for inner in self.chain(need))
        return list(seen)

    def verdict(self, name: str) -> str:
        """Whether all of its chain is proved."""
        return worst(self.kind(one) for one in self.chain(name))


def audit(remote: bool = False, say: Any = lambda line: None) -> Audit:
    """Audit the profile of this folder.

    Raises:
      FileNotFoundError: this is no profile, or nothing has run.
      ValueError: params.yaml is wrong, or a remote is asked for and there is none.
      TrackingError: MLflow cannot be reached.
    """
    began, hasher = time.monotonic(), Hasher()
    own = params.read()
    entries = {entry.name: entry for entry in ledger.read(Path())}
    produced = {
        path: line.get("md5") for entry in entries.values() for path, line in lock.recorded(entry, "outs").items()
    }
    say(f"{len(entries)} items in dvc.yaml; hashing what they read and left")
    objects = cache.wanted((md5, entry.name) for entry in entries.values() for md5 in _md5s(entry))
    folder = cache.folder()
    hasher.prefetch([*_files(entries.values()), *(cache.place(folder, md5) for md5 in objects)])
    say(f"{hasher.bytes / 1e6:,.1f} MB hashed; looking at their runs")
    moved = set()  # items with inputs that are not those of their run: drawn again, they would be others
    with History(ROOT) as history:
        evidence, findings = _evidence(entries, own, hasher, history, say)
        then = _params_then(evidence, history)
        for name, entry in entries.items():
            against = lock.check(entry, evidence[name], lock.Profile(own.root, hasher, produced), then.get(name))
            against += _unsaid(evidence[name], against)
            findings += against
            if any(one.object not in entry.outs and not one.object.startswith("dvc.lock: ") for one in against):
                moved.add(name)
    findings += cache.check(folder, objects, hasher)
    if remote:
        say("reading the remote")
        findings += cache.check_remote(objects, hasher)
    findings += checkpoints.check(hasher)
    for entry in entries.values():
        if entry.stage in data.STAGES:
            findings += data.check(entry)
        if entry.stage in redraw.DRAWN and entry.name not in moved:
            say(f"drawing {entry.name} again")
            findings += redraw.check(entry)
    needs = _needs(entries, own)
    return Audit(merged(findings), entries, evidence, needs, hasher.bytes, time.monotonic() - began)


def _evidence(
    entries: Mapping[str, Entry], own: params.Params, hasher: Hasher, history: History, say: Any
) -> tuple[dict[str, Evidence], list[Finding]]:
    uploads.flush()
    store = Store()
    every = store.every()
    say(f"{len(every)} runs in {store.uri}")

    def of(entry: Entry) -> Evidence:
        return runs.evidence(store, every, subject(entry, own, hasher), hasher, history)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(entries, pool.map(of, entries.values()), strict=True))
    return found, [one for evidence in found.values() for one in evidence.findings]


def subject(entry: Entry, own: params.Params, hasher: Hasher) -> Subject:
    """An item as flow.py and the disk have it."""
    flow = STAGES[entry.stage](own, *entry.words)
    deps: dict[str, Any] = {}
    for path in entry.deps:
        name = named(path, own.root)
        deps |= {
            f"{name}/{inner}" if inner else name: hasher.digests(file) for inner, file in lock.dep_files(path).items()
        }
    locked = {path: line.get("md5") for path, line in lock.recorded(entry, "outs").items()}
    outs = {path.as_posix(): hasher.digests(path) for path in flow.outs}
    return Subject(entry.name, entry.stage, entry.words, flow.names, flow.params, deps, outs, locked)


def _unsaid(evidence: Evidence, said: list[Finding]) -> list[Finding]:
    """Inputs that are not the run's, and that dvc.lock did not object to."""
    objects = {one.object for one in said}
    of_params = any(one.startswith("params.yaml: ") for one in objects)
    unsaid = (
        one
        for name, one in evidence.inputs.items()
        if name not in objects and not (of_params and name.startswith("params "))
    )
    return list(unsaid)


def _params_then(evidence: Mapping[str, Evidence], history: History) -> dict[str, Any]:
    """By item the params.yaml of its run's commit, if the run's tree was clean; each is parsed once, as it is slow."""
    path = Path("params.yaml").resolve().relative_to(ROOT.resolve()).as_posix()

    @functools.cache
    def at(commit: str) -> Any:
        content = history.content(commit, path)
        return None if content is None else params.read_yaml(content)

    clean = {name: one.run for name, one in evidence.items() if one.run and one.run.tags.get("tree") == "clean"}
    return {name: at(run.tags.get("commit", "")) for name, run in clean.items()}


def _needs(entries: Mapping[str, Entry], own: params.Params) -> dict[str, tuple[str, ...]]:
    makers = {out: entry.name for entry in entries.values() for out in entry.outs}
    needs = {}
    for entry in entries.values():
        folders = tuple(f"{dep}/" for dep in entry.deps)
        read = [out for out in makers if out in entry.deps or out.startswith(folders)]
        if entry.stage == "figure":
            drawn = figures.module(entry.words[0], own.items).NEEDS
            read = [out for out in read if any(fnmatchcase(out.removeprefix("artifacts/"), need) for need in drawn)]
        needs[entry.name] = tuple(dict.fromkeys(makers[out] for out in read))
    return needs


def _files(entries: Iterable[Entry]) -> list[Path]:
    deps = [file for entry in entries for dep in entry.deps for file in lock.dep_files(dep).values()]
    return deps + [Path(out) for entry in entries for out in entry.outs]


def _md5s(entry: Entry) -> list[str]:
    return [line["md5"] for line in lock.recorded(entry, "outs").values() if "md5" in line]
