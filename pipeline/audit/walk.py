"""The audit of a profile: every item of every stage, and for each figure the chain up to the publishers' data."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipeline.audit import again, cache, lock, runs, whence
from pipeline.audit.findings import BROKEN, NOTED, PROVED, UNPROVEN, Finding, merged
from pipeline.audit.hashing import Hasher
from pipeline.audit.lock import Entry, Evidence
from pipeline.cluster.execute import DRAWN
from pipeline.run import job as provenance
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

    def kind(self, *names: str) -> str:
        """The gravest finding of these items, PROVED for none, and where there are notes only."""
        known = {one.kind for one in self.findings if not {*names}.isdisjoint(one.items)}
        return next((kind for kind in (BROKEN, UNPROVEN) if kind in known), PROVED)

    def verdict(self, name: str) -> str:
        """Whether all of its chain is proved."""
        return self.kind(*self.chain(name))

    @property
    def failed(self) -> bool:
        return any(one.kind != NOTED for one in self.findings)

    def drawn(self) -> list[str]:
        """The figures, and the report."""
        return [name for name, entry in self.entries.items() if entry.item.stage in DRAWN]

    def chain(self, name: str) -> list[str]:
        """An item and all that it comes from, in the order of the walk."""
        above = (one for need in self.needs[name] for one in self.chain(need))
        return list(dict.fromkeys((name, *above)))


def audit(remote: bool = False, say: Any = lambda line: None) -> Audit:
    """Audit the profile of this folder.

    Raises:
      FileNotFoundError: this is no profile, or nothing has run.
      ValueError: it is another checkout's code that runs, git refuses, params.yaml or dvc.lock is wrong, or there is
        no remote to look into.
      TrackingError: MLflow cannot be reached.
    """
    provenance.own_code()
    provenance.git()
    began, hasher = time.monotonic(), Hasher()
    say("hashing what was read and left")
    entries = lock.read(hasher)
    say(f"{len(entries)} items, {hasher.bytes / 1e6:,.1f} MB hashed; looking at their runs")
    uploads.flush()
    store = Store()
    every = store.find({})
    say(f"{len(every)} runs in {store.uri}")

    def evidence(entry: Entry) -> Evidence:
        return runs.evidence(store, every, entry, hasher) if entry.item.stage != "plan" else Evidence()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        held = dict(zip(entries, pool.map(evidence, entries.values()), strict=True))
    produced = {path: md5 for entry in entries.values() for path, md5 in entry.locked.items()}
    makers = {out: name for name, entry in entries.items() for out in entry.item.outs}
    findings: list[Finding] = []
    objects: dict[str, tuple[str, ...]] = defaultdict(tuple)
    needs: dict[str, tuple[str, ...]] = {}
    for name, entry in entries.items():
        item, own = entry.item, held[name]
        against = lock.check(entry, own, produced)
        # From inputs that are not those of their run, figures would be others.
        as_it_ran = all(one.object in item.outs or one.object.startswith("dvc.lock: ") for one in against)
        if item.stage in again.PARSED:
            against += again.check_parsed(entry)
        if item.stage in DRAWN and as_it_ran:
            say(f"drawing {name} again")
            against += again.check_drawn(entry)
        findings += [one.of(name, own.run.id if own.run else None) for one in (*own.findings, *against)]
        for md5 in filter(None, entry.locked.values()):
            objects[md5] += (name,)
        read = [out for out in makers if any(out == dep or out.startswith(f"{dep}/") for dep in item.deps)]
        if item.stage == "figure":
            read = whence.shown(read, item.words[0])
        needs[name] = tuple(dict.fromkeys(makers[out] for out in read))
    findings += cache.check(objects, hasher)
    if remote:
        say("reading the remote")
        findings += cache.check_remote(objects, hasher)
    findings += cache.check_checkpoints(hasher)
    findings += cache.check_compiled({name: entry.code for name, entry in entries.items()})
    return Audit(merged(findings), entries, held, needs, hasher.bytes, time.monotonic() - began)
