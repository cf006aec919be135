"""What an audit found: as a tree on the terminal, as JSON, and as one HTML page that needs no other file."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from pipeline.audit.findings import KINDS, NOTED, PROVED, Finding
from pipeline.audit.publishers import Raw, raw_files
from pipeline.audit.walk import Audit

MARKS = {PROVED: "\u2713", "broken": "\u2717", "unproven": "?", NOTED: "\u00b7"}
LISTED = 4


def tree(audit: Audit) -> Iterator[str]:
    """A branch for each figure: its tables by stage, the rules and data behind them; then findings and publishers."""
    for name in audit.drawn():
        run, *branch = _branch(audit, name)
        yield f"{MARKS[audit.verdict(name)]} {name}  {audit.verdict(name)}  {run}".rstrip()
        yield from branch
    for kind in KINDS:
        if found := [one for one in audit.findings if one.kind == kind]:
            yield from ("", f"{kind}: {len(found)}")
            for one in found:
                yield from finding(one)
    yield from ("", "The publishers' files:")
    yield from (f"  {raw.file}  sha256 {raw.file.sha256}  {raw.source}" for raw in _publishers(audit))
    yield from ("", _summary(audit))


def finding(one: Finding) -> Iterator[str]:
    if one.kind == NOTED:
        yield f"  {MARKS[one.kind]} {one.object}: {one.found} ({', '.join(one.items)})"
        return
    more = f" and {len(one.items) - LISTED} more" if len(one.items) > LISTED else ""
    lines = {"expected": one.expected, "found": one.found}
    lines |= {"touches": ", ".join(one.items[:LISTED]) + more, "run": one.run, "remedy": one.remedy}
    yield f"  {MARKS[one.kind]} {one.object}"
    yield from (f"      {name:<9} {line}" for name, line in lines.items() if line)


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


def page(audit: Audit) -> str:
    loader, strict = jinja2.FileSystemLoader(Path(__file__).parent), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=strict, trim_blocks=True)
    return environment.get_template("page.html").render(
        summary=_summary(audit),
        failures=[one for one in audit.findings if one.kind != NOTED],
        notes=[one for one in audit.findings if one.kind == NOTED],
        drawn=[(name, audit.verdict(name), list(_branch(audit, name))) for name in audit.drawn()],
        publishers=_publishers(audit),
    )


def _summary(audit: Audit) -> str:
    counts = Counter(audit.verdict(name) for name in audit.drawn())
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    amount = f"{audit.bytes_hashed / 1e6:,.1f} MB hashed in {audit.wall_s:.1f} s"
    return f"{counts.total()} figures and pages: {words}. {len(audit.entries)} items, {amount}."


def _branch(audit: Audit, name: str) -> Iterator[str]:
    """The run of a figure; then its chain, nearest first, a line for each stage."""
    run = audit.evidence[name].run
    commit, tree = (run.tags.get("commit", "none"), run.tags.get("tree")) if run else ("", "")
    yield f"(run {run.id[:8]}, commit {commit[:8]}, tree {tree})" if run else ""
    stages: dict[str, Counter[str]] = {}
    for one in audit.chain(name)[1:]:
        stages.setdefault(audit.entries[one].item.stage, Counter())[audit.kind(one)] += 1
    for stage, kinds in stages.items():
        stem = "\u2514" if stage == list(stages)[-1] else "\u251c"
        yield f"  {stem} {stage}: {', '.join(f'{count} {MARKS[kind]} {kind}' for kind, count in kinds.items())}"


def _publishers(audit: Audit) -> list[Raw]:
    """The files that the data sets were parsed from; none for a set that datasets.lock does not have."""
    found: dict[str, Raw] = {}
    for item in (entry.item for entry in audit.entries.values()):
        with contextlib.suppress(ValueError):  # which is a finding
            found |= {str(raw.file): raw for raw in raw_files(item.stage, " ".join(item.words))}
    return list(found.values())
