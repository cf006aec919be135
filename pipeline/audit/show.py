"""What an audit found, as a tree on the terminal and as JSON."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.audit import publishers as data
from pipeline.audit.findings import KINDS, NOTED, PROVED, Finding
from pipeline.audit.walk import Audit

MARKS = {PROVED: "\u2713", "broken": "\u2717", "unproven": "?", NOTED: "\u00b7"}
LISTED = 4


def tree(audit: Audit) -> Iterator[str]:
    """A branch for each figure: its tables by stage, the rules and data behind them; then findings and publishers."""
    for name in audit.drawn():
        yield f"{MARKS[audit.verdict(name)]} {name}  {audit.verdict(name)}{run(audit, name)}"
        yield from branch(audit, name)
    for kind in KINDS:
        found = [one for one in audit.findings if one.kind == kind]
        if found:
            yield ""
            yield f"{kind}: {len(found)}"
        for one in found:
            yield from finding(one)
    sets = [name for name, entry in audit.entries.items() if entry.stage in data.STAGES]
    yield from ("", "The publishers' files:")
    yield from (f"  {raw.file}  sha256 {raw.file.sha256}  {raw.source}" for raw in publishers(audit, sets))
    yield ""
    yield summary(audit)


def finding(one: Finding) -> Iterator[str]:
    if one.kind == NOTED:
        yield f"  {MARKS[one.kind]} {one.object}: {one.found} ({', '.join(one.items)})"
        return
    yield f"  {MARKS[one.kind]} {one.object}"
    yield f"      expected  {one.expected}"
    yield f"      found     {one.found}"
    if one.items:
        more = f" and {len(one.items) - LISTED} more" if len(one.items) > LISTED else ""
        yield f"      touches   {', '.join(one.items[:LISTED])}{more}"
    if one.run:
        yield f"      run       {one.run}"
    yield f"      remedy    {one.remedy}"


def summary(audit: Audit) -> str:
    drawn = audit.drawn()
    counts = Counter(audit.verdict(name) for name in drawn)
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    amount = f"{audit.bytes_hashed / 1e6:,.1f} MB hashed in {audit.wall_s:.1f} s"
    return f"{len(drawn)} figures and pages: {words}. {len(audit.entries)} items, {amount}."


def as_json(audit: Audit) -> dict[str, Any]:
    def item(name: str) -> dict[str, Any]:
        run = audit.evidence[name].run
        facts = {"kind": audit.kind(name), "verdict": audit.verdict(name), "needs": list(audit.needs[name])}
        return facts | {"run": run.id if run else None, "commit": run.tags.get("commit") if run else None}

    return {
        "verdict": {name: audit.verdict(name) for name in audit.drawn()},
        "findings": [one._asdict() for one in audit.findings],
        "items": {name: item(name) for name in audit.entries},
        "bytes_hashed": audit.bytes_hashed,
        "wall_s": round(audit.wall_s, 3),
    }


def branch(audit: Audit, name: str) -> Iterator[str]:
    """The chain of a figure, nearest first, a line for each stage."""
    stages: dict[str, list[str]] = {}
    for one in audit.chain(name)[1:]:
        stages.setdefault(audit.entries[one].stage, []).append(one)
    for number, (stage, names) in enumerate(stages.items()):
        stem = "\u2514" if number == len(stages) - 1 else "\u251c"
        kinds = Counter(audit.kind(one) for one in names)
        yield f"  {stem} {stage}: {', '.join(f'{count} {MARKS[kind]} {kind}' for kind, count in kinds.items())}"


def publishers(audit: Audit, names: Iterable[str]) -> list[data.Raw]:
    """The files that data sets were parsed from; none for a set that datasets.lock does not have."""
    found: dict[str, data.Raw] = {}
    for name in names:
        entry = audit.entries[name]
        with contextlib.suppress(ValueError):  # which is a finding
            found |= {str(raw.file): raw for raw in data.raw_files(entry.item.words[0], data.STAGES[entry.stage])}
    return list(found.values())


def run(audit: Audit, name: str) -> str:
    run = audit.evidence[name].run
    if run is None:
        return ""
    return f"  (run {run.id[:8]}, commit {run.tags.get('commit', 'none')[:8]}, tree {run.tags.get('tree')})"
