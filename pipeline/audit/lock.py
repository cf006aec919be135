"""dvc.lock against dvc.yaml, the plans and the bytes on disk; what DVC's own state database says is not asked.

Where two disagree, the run that vouches for the item is the third, which says which of them was changed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pipeline.audit.findings import BROKEN, UNPROVEN, Change, Finding, changes
from pipeline.audit.hashing import Digests, Hasher, dvc_md5, files
from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file
from pipeline.run.flow import ABSENT, Flow, Item, named
from pipeline.run.params import read_yaml
from pipeline.run.plan import Tree
from pipeline.track.store import Found
from pipeline.track.tracking import flat

REPRO = "dvc repro"
AGAIN = "dvc repro --force --single-item {name}"
WRITTEN = f"restore it (`git checkout dvc.lock`), or have it written again: {AGAIN}"


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
        lines = (self.lock or {}).get(kind) or []
        return {str(Path(line["path"])): line for line in lines}

    def locked(self, out: str) -> str | None:
        """The md5 of an out in dvc.lock."""
        return self.recorded("outs").get(out, {}).get("md5")


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
    """
    if not Path("dvc.lock").is_file():
        raise FileNotFoundError(f"{Path('dvc.lock').resolve()} is missing: name a profile in which `dvc repro` ran.")
    locked = (read_yaml(Path("dvc.lock")) or {}).get("stages") or {}
    flow, own, tree = Flow(), provenance.read(), Tree(paths.ROOT)
    items = flow.items()
    # What the stage `plan` reads is no matter: its plans are made again and compared.
    listed = {item.name: (*item.outs, *(item.deps if item.stage != "plan" else ())) for item in items}
    there = {path: files(Path(path)) for of in listed.values() for path in of}
    digests = hasher.each(file for inside in there.values() for file in inside.values())
    known = {path: {name: digests[at] for name, at in of.items() if at in digests} for path, of in there.items()}
    entries = {}
    for item in items:
        disk = {path: known[path] for path in listed[item.name]}
        entry = Entry(item, locked.get(item.name), flow.root, disk)
        if item.stage != "plan":
            plan, code = provenance.planned(item, own, tree)
            entry = entry._replace(plan=plan, code=code, held=_held(item.plan))
        entries[item.name] = entry
    return entries


def _held(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # it is lost or damaged, which the check of dvc.lock says
        return None


def check(entry: Entry, evidence: Evidence, produced: Mapping[str, str | None]) -> list[Finding]:
    """All that is wrong with an item here; `produced` has the md5 in dvc.lock of every out of the profile."""
    found = [*_recorded(entry, evidence, produced), *_planned(entry, evidence)]
    return [*found, *_inputs(entry, evidence, {one.object for one in found})]


def _recorded(entry: Entry, evidence: Evidence, produced: Mapping[str, str | None]) -> Iterator[Finding]:
    """dvc.lock against dvc.yaml and the disk."""
    if entry.lock is None:
        words = ("an entry", "none: it never ran, or the entry was removed", REPRO)
        yield Finding(UNPROVEN, f"dvc.lock: {entry.item.name}", *words)
        return

    def locked(what: str, expected: object, found: object) -> Finding:
        words = (f"dvc.lock: {entry.item.name} {what}", str(expected), str(found))
        return Finding(BROKEN, *words, WRITTEN.format(name=entry.item.name))

    standard = " ".join(("exec python -m pipeline", entry.item.stage, *entry.item.words))
    if entry.item.cmd != standard:
        remedy = f"copy the stage from the repository's own dvc.yaml, then {AGAIN.format(name=entry.item.name)}"
        yield Finding(BROKEN, f"dvc.yaml: {entry.item.name} cmd", standard, entry.item.cmd, remedy)
    cmd = entry.lock.get("cmd")
    if cmd != entry.item.cmd:
        yield locked("cmd", f"{entry.item.cmd} (dvc.yaml)", cmd)
    for kind, declared, other in (
        ("outs", entry.item.outs, evidence.other_outs),
        ("deps", entry.item.deps, evidence.other_deps),
    ):
        recorded = entry.recorded(kind)
        for path in sorted({*declared} ^ recorded.keys()):
            words = ("an entry", "none") if path in declared else ("none (dvc.yaml)", "one")
            yield locked(f"{kind} {path}", *words)
        for path in (path for path in declared if path in recorded and path in entry.disk):
            line, there, own = recorded[path], entry.disk[path], named(path, entry.root)
            md5, was = dvc_md5(there), f"{line.get('hash')} {line.get('md5')}"
            culprits = [one for one in other if one[0] == own or one[0].startswith(f"{own}/")]
            if not there and not Path(path).is_dir():  # of a stage that this profile has no items of, it is empty
                yield _lost(path, line.get("md5"))
            elif was == f"md5 {md5}":
                facts = {"size": sum(one.size for one in there.values()), "nfiles": len(there)}
                for name, value in facts.items():
                    if line.get(name) != value and (name == "size" or name in line):
                        yield locked(f"{kind} {path} {name}", value, line.get(name))
            elif culprits:
                yield from (_not_the_run_s(entry, one, produced) for one in culprits)
            elif evidence.deps:  # a run, whose files are those on disk
                yield locked(f"{kind} {path}", f"md5 {md5} (on disk, and in the run)", was)
            elif kind == "outs":
                yield _other(path, line.get("md5"), md5)
            else:
                yield Finding(BROKEN, path, f"md5 {line.get('md5')} (dvc.lock: {entry.item.name})", f"md5 {md5}", REPRO)


def _not_the_run_s(entry: Entry, change: Change, produced: Mapping[str, str | None]) -> Finding:
    """A file that is not the one of the run. Of an out of an earlier stage it is said as by that stage."""
    name, then, now = change
    found = (entry.deps | entry.outs).get(name)
    if found is None and name in produced:
        return _lost(name, produced[name])
    if found is not None and found.md5 != produced.get(name, found.md5):
        return _other(name, produced[name], found.md5)
    expected = f"sha256 {then} (the run's)" if then else "no such file when it ran"
    remedy = f"git checkout {name} (rm, if it is new), or have what depends on it run: {REPRO}"
    return Finding(BROKEN, name, expected, f"sha256 {now}" if now else "no such file", remedy)


def _lost(path: str, md5: str | None) -> Finding:
    return Finding(UNPROVEN, path, f"md5 {md5} (dvc.lock)", "no such file", f"dvc pull, dvc checkout, or {REPRO}")


def _other(path: str, expected: str | None, found: str) -> Finding:
    remedy = f"rm -r {path} && dvc checkout {path}"
    return Finding(BROKEN, path, f"md5 {expected} (dvc.lock)", f"md5 {found}", remedy)


def _planned(entry: Entry, evidence: Evidence) -> Iterator[Finding]:
    """The plan on disk against what it would be now: which files of the code differ, and which params.

    Versions and settings are those of the process that ran, and not compared with this one's: the run says them, too.
    """
    if entry.held is None:
        return
    if entry.held["code"] != entry.plan["code"]:
        now = {name: sha256_file(paths.ROOT / name) for name in entry.code}
        changed = changes(evidence.code, now) if evidence.code else []
        for name, then, found in changed:
            expected = f"sha256 {then} (the run's)" if then else "not run by it"
            remedy = f"git checkout {name} (rm, if it is new), or have what runs it run again: {REPRO}"
            yield Finding(BROKEN, name, expected, f"sha256 {found}" if found else "not run by it any more", remedy)
        if not changed:
            digests = (f"digest {entry.held['code']} ({entry.item.plan})", f"digest {entry.plan['code']}")
            yield Finding(BROKEN, f"code of {entry.item.name}", *digests, REPRO)
    for name, then, now in changes(flat(entry.held["params"]), flat(entry.plan["params"])):
        remedy = f"git checkout params.yaml, or with the new value: {REPRO}"
        yield Finding(BROKEN, f"params.yaml: {name}", f"{then or ABSENT} (as planned)", now or ABSENT, remedy)


def _inputs(entry: Entry, evidence: Evidence, said: set[str]) -> Iterator[Finding]:
    """Deps and params that are not those of the run, of which dvc.lock and plan have nothing `said`.

    As a rule these have, and name who was changed. MLflow lets nobody change the params there.
    """
    remedy = AGAIN.format(name=entry.item.name)
    for name, then, now in evidence.other_deps:
        if name not in said:
            words = (f"{then or 'not read'} (the run)", now or "no such file", remedy)
            yield Finding(BROKEN, f"{name}, read by {entry.item.name}", *words)
    if not any(one.startswith("params.yaml: ") for one in said):
        for name, then, now in evidence.other_params:
            words = (f"{then or ABSENT} (the run)", f"{now or ABSENT} (now)", remedy)
            yield Finding(BROKEN, f"params of {entry.item.name}: {name}", *words)
