"""The audit of a profile: every item of every stage, and for each figure the chain up to the publishers' data."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.audit import cache, checkpoints, lock, plans, redraw, runs
from pipeline.audit import publishers as data
from pipeline.audit.findings import NOTED, Finding, merged, worst
from pipeline.audit.hashing import Hasher
from pipeline.audit.history import History
from pipeline.audit.lock import Entry
from pipeline.audit.plans import Planned
from pipeline.audit.run_checks import Subject
from pipeline.audit.runs import Evidence
from pipeline.run import job as provenance
from pipeline.run.flow import Flow, named
from pipeline.run.paths import ROOT
from pipeline.run.plan import Tree
from pipeline.show import figures
from pipeline.track import uploads
from pipeline.track.store import Store

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
    flow, own, tree = Flow(), provenance.read(), Tree(ROOT)
    entries = {entry.name: entry for entry in lock.read(flow)}
    planned = {name: plans.planned(one.item, own, tree) for name, one in entries.items() if one.stage != "plan"}
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
        evidence, findings = _evidence(entries, planned, own.root, hasher, history, say)
        for name, entry in entries.items():
            against = lock.check(entry, evidence[name], lock.Profile(own.root, hasher, produced))
            if name in planned:
                against += plans.check(entry.item, planned[name], evidence[name])
            against += _unsaid(evidence[name], against)
            findings += against
            if any(one.object not in entry.item.outs and not one.object.startswith("dvc.lock: ") for one in against):
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
    entries: Mapping[str, Entry], planned: Mapping[str, Planned], root: str, hasher: Hasher, history: History, say: Any
) -> tuple[dict[str, Evidence], list[Finding]]:
    uploads.flush()
    store = Store()
    every = store.find({})
    say(f"{len(every)} runs in {store.uri}")

    def of(entry: Entry) -> Evidence:
        if entry.name not in planned:  # the stage `plan`, which is no run
            return Evidence(None, {}, {}, {}, [], {})
        return runs.evidence(store, every, subject(entry, planned[entry.name], root, hasher), hasher, history)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(entries, pool.map(of, entries.values()), strict=True))
    return found, [one for evidence in found.values() for one in evidence.findings]


def subject(entry: Entry, planned: Planned, root: str, hasher: Hasher) -> Subject:
    """An item as its plan and the disk have it."""
    item, deps = entry.item, {}
    for path in item.deps:
        name = named(path, root)
        deps |= {
            f"{name}/{inner}" if inner else name: hasher.digests(file) for inner, file in lock.dep_files(path).items()
        }
    locked = {path: line.get("md5") for path, line in lock.recorded(entry, "outs").items()}
    outs = {path: hasher.digests(Path(path)) for path in item.outs}
    versions = (planned.held or planned.made)["versions"]
    return Subject(item.name, item.stage, item.words, item.names, planned.made["params"], versions, deps, outs, locked)


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


def _needs(entries: Mapping[str, Entry], own: Any) -> dict[str, tuple[str, ...]]:
    makers = {out: entry.name for entry in entries.values() for out in entry.item.outs}
    needs = {}
    for entry in entries.values():
        folders = tuple(f"{dep}/" for dep in entry.item.deps)
        read = [out for out in makers if out in entry.item.deps or out.startswith(folders)]
        if entry.stage == "figure":
            drawn = figures.module(entry.item.words[0]).NEEDS
            read = [out for out in read if any(fnmatchcase(out.removeprefix("artifacts/"), need) for need in drawn)]
        needs[entry.name] = tuple(dict.fromkeys(makers[out] for out in read))
    return needs


def _files(entries: Iterable[Entry]) -> list[Path]:
    every = [one for entry in entries for one in (*entry.item.deps * (entry.stage != "plan"), *entry.item.outs)]
    return [file for one in every for file in lock.dep_files(one).values()]


def _md5s(entry: Entry) -> list[str]:
    return [line["md5"] for line in lock.recorded(entry, "outs").values() if "md5" in line]
