"""dvc.lock against dvc.yaml, the plans and the bytes on disk; what DVC's own state database says is not asked.

Where two disagree, the run that vouches for the item is the third, which says which of them was changed.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import BaseModel

from pipeline.audit.findings import AGAIN, REPRO, UNPROVEN, Change, Finding, changes
from pipeline.audit.hashing import Digests, Hasher, dvc_md5, files
from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file
from pipeline.run.flow import ABSENT, Flow, Item, locked, named
from pipeline.run.params import shaped
from pipeline.run.plan import Tree
from pipeline.track.store import Found
from pipeline.track.tracking import flat

WRITTEN = f"restore it (`git checkout dvc.lock`), or have it written again: {AGAIN}"


class _Plan(BaseModel):
    code: str
    params: dict[str, Any]
    versions: dict[str, str]


class Entry(NamedTuple):
    """An item as dvc.yaml, dvc.lock, its plan and the disk have it. The stage `plan` has no plan and no run."""

    item: Item
    lock: dict[str, Any] | None  # None: it never ran
    root: str  # the way from the profile to the repository
    disk: Mapping[str, dict[str, Digests]]  # the files of each dep and out by their path in it; a file's own is ""
    plan: Mapping[str, Any] = MappingProxyType({})  # made again by the code and the params of now
    code: tuple[str, ...] = ()  # the files of that code
    held: dict[str, Any] | None = None  # the plan on disk, if there is one that can be read

    @property
    def deps(self) -> dict[str, Digests]:
        """Every file that it reads, by its name in a manifest."""
        own = {dep: named(dep, self.root) for dep in self.item.deps if dep in self.disk}
        every = ((own[dep], inner, found) for dep in own for inner, found in self.disk[dep].items())
        return {f"{name}/{inner}" if inner else name: found for name, inner, found in every}

    @property
    def outs(self) -> dict[str, Digests]:
        return {out: self.disk[out][""] for out in self.item.outs if "" in self.disk[out]}

    def recorded(self, kind: str) -> dict[str, dict[str, Any]]:
        """What dvc.lock has of its deps or outs, by path relative to the profile."""
        return {str(Path(line["path"])): line for line in (self.lock or {}).get(kind, [])}

    @property
    def locked(self) -> dict[str, str | None]:
        """The md5 of each out in dvc.lock."""
        return {path: line.get("md5") for path, line in self.recorded("outs").items()}


class Evidence(NamedTuple):
    """The run that vouches for an item, what it says of code, deps and outs by sha256, and what is wrong with it.

    Then what is not as in the run: outs, deps, and params.
    """

    run: Found | None = None
    code: Mapping[str, str] = {}
    deps: Mapping[str, str] = {}
    outs: Mapping[str, str] = {}
    findings: Sequence[Finding] = ()
    other_outs: Sequence[Change] = ()
    other_deps: Sequence[Change] = ()
    other_params: Sequence[Change] = ()


def read(hasher: Hasher) -> dict[str, Entry]:
    """The items of the profile in this folder by name; all that they read and left is hashed.

    Raises:
      FileNotFoundError: it has no dvc.lock.
      ValueError: its dvc.lock, dvc.yaml or params.yaml is none.
    """
    if not Path("dvc.lock").is_file():
        raise FileNotFoundError(f"{Path('dvc.lock').resolve()} is missing: name a profile in which `dvc repro` ran.")
    entered = locked(Path("dvc.lock"))
    flow, own, tree = Flow(), provenance.read(), Tree(paths.ROOT)
    items = flow.items()
    # What the stage `plan` reads is no matter: its plans are made again and compared.
    listed = {item.name: (*item.outs, *(item.deps if item.stage != "plan" else ())) for item in items}
    there = {path: files(Path(path)) for of in listed.values() for path in of}
    digests = hasher.each(file for inside in there.values() for file in inside.values())
    known = {path: {name: digests[at] for name, at in of.items() if at in digests} for path, of in there.items()}
    entries = {}
    for item in items:
        entry = Entry(item, entered.get(item.name), flow.root, {path: known[path] for path in listed[item.name]})
        if item.stage != "plan":
            plan, code = provenance.planned(item, own, tree)
            entry = entry._replace(plan=plan, code=code, held=_held(item.plan))
        entries[item.name] = entry
    return entries


def _held(path: Path) -> dict[str, Any] | None:
    """The plan in a file. That it is lost, damaged or none, the checks of dvc.lock and of the run say."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        shaped(_Plan, held := json.loads(path.read_text(encoding="utf-8")), path, REPRO)
        return held
    return None


def check(entry: Entry, evidence: Evidence, produced: Mapping[str, str | None]) -> list[Finding]:
    """All that is wrong with an item here; `produced` has the md5 in dvc.lock of every out of the profile."""
    found = [*_recorded(entry, evidence, produced), *_planned(entry, evidence)]
    said = {one.object for one in found}
    # Deps and params that are not those of the run. As a rule dvc.lock and the plan have said so, and name who was
    # changed. MLflow lets nobody change the params there.
    for name, then, now in evidence.other_deps:
        if name not in said:
            words = (f"{then or 'not read'} (the run)", now or "no such file")
            found.append(Finding(f"{name}, read by {entry.item.name}", *words))
    if not any(one.startswith("params.yaml: ") for one in said):
        for name, then, now in evidence.other_params:
            words = (f"{then or ABSENT} (the run)", f"{now or ABSENT} (now)")
            found.append(Finding(f"params of {entry.item.name}: {name}", *words))
    return found


def _recorded(entry: Entry, evidence: Evidence, produced: Mapping[str, str | None]) -> Iterator[Finding]:
    """dvc.lock against dvc.yaml and the disk."""
    item, own = entry.item, f"dvc.lock: {entry.item.name}"
    if entry.lock is None:
        yield Finding(own, "an entry", "none: it never ran, or the entry was removed", REPRO, UNPROVEN)
        return
    if item.cmd != item.standard:
        remedy = f"copy the stage from the repository's own dvc.yaml, then {AGAIN}"
        yield Finding(f"dvc.yaml: {item.name} cmd", item.standard, item.cmd, remedy)
    if (cmd := entry.lock.get("cmd")) != item.cmd:
        yield Finding(f"{own} cmd", f"{item.cmd} (dvc.yaml)", str(cmd), WRITTEN)
    for kind, declared, other in (
        ("outs", item.outs, evidence.other_outs),
        ("deps", item.deps, evidence.other_deps),
    ):
        recorded = entry.recorded(kind)
        for path in sorted({*declared} ^ recorded.keys()):
            words = ("an entry", "none") if path in declared else ("none (dvc.yaml)", "one")
            yield Finding(f"{own} {kind} {path}", *words, WRITTEN)
        for path in (path for path in declared if path in recorded and path in entry.disk):
            line, there, known = recorded[path], entry.disk[path], named(path, entry.root)
            md5, was = dvc_md5(there), f"{line.get('hash')} {line.get('md5')}"
            if not there and not Path(path).is_dir():  # of a stage that this profile has no items of, it is empty
                yield _not_as_locked(path, line.get("md5"), None)
            elif was == f"md5 {md5}":
                facts = {"size": sum(one.size for one in there.values()), "nfiles": len(there)}
                for name, value in facts.items():
                    if line.get(name) != value and (name == "size" or name in line):
                        yield Finding(f"{own} {kind} {path} {name}", value, str(line.get(name)), WRITTEN)
            elif culprits := [one for one in other if one[0] == known or one[0].startswith(f"{known}/")]:
                for one in culprits:  # those of an earlier stage are said as by that stage
                    name, found = one[0], (entry.deps | entry.outs).get(one[0])
                    if name in produced and (found is None or found.md5 != produced[name]):
                        yield _not_as_locked(name, produced[name], found and found.md5)
                    else:
                        yield _not_as_run(one, "no such file when it ran", "no such file", "what depends on it run")
            elif evidence.deps:  # a run, whose files are those on disk
                yield Finding(f"{own} {kind} {path}", f"md5 {md5} (on disk, and in the run)", was, WRITTEN)
            elif kind == "outs":
                yield _not_as_locked(path, line.get("md5"), md5)
            else:
                yield Finding(path, f"md5 {line.get('md5')} ({own})", f"md5 {md5}", REPRO)


def _not_as_locked(path: str, md5: str | None, found: str | None) -> Finding:
    expected = f"md5 {md5} (dvc.lock)"
    if found is None:
        return Finding(path, expected, "no such file", f"dvc pull, dvc checkout, or {REPRO}", UNPROVEN)
    return Finding(path, expected, f"md5 {found}", f"rm -r {path} && dvc checkout {path}")


def _not_as_run(change: Change, not_then: str, not_now: str, what: str) -> Finding:
    name, then, now = change
    words = (f"sha256 {then} (the run's)" if then else not_then, f"sha256 {now}" if now else not_now)
    return Finding(name, *words, f"git checkout {name} (rm, if it is new), or have {what}: {REPRO}")


def _planned(entry: Entry, evidence: Evidence) -> Iterator[Finding]:
    """The plan on disk against what it would be now: which files of the code differ, and which params.

    Versions and settings are those of the process that ran, and not compared with this one's: the run says them, too.
    """
    if (held := entry.held) is None:
        return
    if held["code"] != entry.plan["code"]:
        now = {name: sha256_file(paths.ROOT / name) for name in entry.code}
        changed = changes(evidence.code, now) if evidence.code else []
        for one in changed:
            yield _not_as_run(one, "not run by it", "not run by it any more", "what runs it run again")
        if not changed:
            digests = (f"digest {held['code']} ({entry.item.plan})", f"digest {entry.plan['code']}")
            yield Finding(f"code of {entry.item.name}", *digests, REPRO)
    for name, then, now in changes(flat(held["params"]), flat(entry.plan["params"])):
        remedy = f"git checkout params.yaml, or with the new value: {REPRO}"
        yield Finding(f"params.yaml: {name}", f"{then or ABSENT} (as planned)", now or ABSENT, remedy)
