"""`python -m pipeline audit` proves every figure of a profile, or says what is wrong with which file, entry or run.

It walks from each figure up to the checksums of the data's publishers and hashes every byte on the way: docs/audit.md
says what it compares. Exit status 0: all is proved; 1: something is broken or unproven; 2: the audit could not be made.
"""

import contextlib
import random
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from pipeline.audit.again import Raw, raw_files
from pipeline.audit.findings import KINDS, NOTED, PROVED, Finding
from pipeline.audit.walk import Audit, audit
from pipeline.run.artifacts import write_json, write_text

MARKS = {PROVED: "\u2713", "broken": "\u2717", "unproven": "?", NOTED: "\u00b7"}
LISTED = 4
DIFFERENT, NOT_MADE = "different", "could not be made again"


def main(
    profile: Path, remote: bool, replay: int | None, seed: int | None, json: Path | None, html: Path | None
) -> None:
    if seed is not None and replay is None:
        raise ValueError("--seed chooses what is made again: say of how many items, too (--replay N).")
    with contextlib.chdir(profile):
        found = audit(remote, lambda line: print(f"  {line}", file=sys.stderr, flush=True))
        print("\n".join(tree(found)), flush=True)
        ends = made_again(found, replay, seed) if replay else {}
    if json:
        write_json(json, as_json(found) | {"made_again": ends})
    if html:
        write_text(html, page(found, ends))
    if found.failed or DIFFERENT in ends.values():
        sys.exit(1)
    if NOT_MADE in ends.values():
        sys.exit(2)


def made_again(found: Audit, count: int, seed: int | None) -> dict[str, str]:
    """Replay items that chance chooses, each in a process of its own; how each ended."""
    seed = secrets.randbits(32) if seed is None else seed
    known = sorted(name for name, entry in found.entries.items() if entry.item.stage != "plan")
    ends = dict.fromkeys(random.Random(seed).sample(known, min(count, len(known))), NOT_MADE)
    print(f"\n{len(ends)} of {len(known)} items are made again (--replay {count} --seed {seed}).", flush=True)
    for item in (found.entries[name].item for name in ends):
        done = subprocess.run([sys.executable, "-m", "pipeline", "replay", item.stage, *item.words], check=False)
        ends[item.name] = {0: "alike", 1: DIFFERENT}.get(done.returncode, NOT_MADE)
    print("\nMade again:", *(f"  {name}: {end}" for name, end in ends.items()), sep="\n")
    return ends


def tree(found: Audit) -> Iterator[str]:
    """A branch for each figure: its tables by stage, the rules and data behind them; then findings and publishers."""
    for name in found.drawn():
        run, *branch = _branch(found, name)
        yield f"{MARKS[found.verdict(name)]} {name}  {found.verdict(name)}  {run}".rstrip()
        yield from branch
    for kind in KINDS:
        if alike := [one for one in found.findings if one.kind == kind]:
            yield from ("", f"{kind}: {len(alike)}")
            yield from (line for one in alike for line in finding(one))
    yield from ("", "The publishers' files:")
    yield from (f"  {raw.file}  sha256 {raw.file.sha256}  {raw.source}" for raw in _publishers(found))
    yield from ("", _summary(found))


def finding(one: Finding) -> Iterator[str]:
    if one.kind == NOTED:
        yield f"  {MARKS[one.kind]} {one.object}: {one.found} ({', '.join(one.items)})"
        return
    more = f" and {len(one.items) - LISTED} more" if len(one.items) > LISTED else ""
    lines = {"expected": one.expected, "found": one.found}
    lines |= {"touches": ", ".join(one.items[:LISTED]) + more, "run": one.run, "remedy": one.remedy}
    yield f"  {MARKS[one.kind]} {one.object}"
    yield from (f"      {name:<9} {line}" for name, line in lines.items() if line)


def as_json(found: Audit) -> dict[str, Any]:
    def item(name: str) -> dict[str, Any]:
        run = found.evidence[name].run
        facts = {"kind": found.kind(name), "verdict": found.verdict(name), "needs": list(found.needs[name])}
        return facts | {"run": run.id if run else None, "commit": run.tags.get("commit") if run else None}

    return {
        "verdict": {name: found.verdict(name) for name in found.drawn()},
        "findings": [one._asdict() for one in found.findings],
        "items": {name: item(name) for name in found.entries},
        "bytes_hashed": found.bytes_hashed,
        "wall_s": round(found.wall_s, 3),
    }


def page(found: Audit, ends: Mapping[str, str]) -> str:
    loader, strict = jinja2.FileSystemLoader(Path(__file__).parent), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=strict, trim_blocks=True)
    return environment.get_template("page.html").render(
        summary=_summary(found),
        failures=[one for one in found.findings if one.kind != NOTED],
        notes=[one for one in found.findings if one.kind == NOTED],
        drawn=[(name, found.verdict(name), list(_branch(found, name))) for name in found.drawn()],
        publishers=_publishers(found),
        ends=ends,
    )


def _summary(found: Audit) -> str:
    counts = Counter(found.verdict(name) for name in found.drawn())
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    amount = f"{found.bytes_hashed / 1e6:,.1f} MB hashed in {found.wall_s:.1f} s"
    return f"{counts.total()} figures and pages: {words}. {len(found.entries)} items, {amount}."


def _branch(found: Audit, name: str) -> Iterator[str]:
    """The run of a figure; then its chain, nearest first, a line for each stage."""
    run = found.evidence[name].run
    commit, tree = (run.tags.get("commit", "none"), run.tags.get("tree")) if run else ("", "")
    yield f"(run {run.id[:8]}, commit {commit[:8]}, tree {tree})" if run else ""
    stages: dict[str, Counter[str]] = {}
    for one in found.chain(name)[1:]:
        stages.setdefault(found.entries[one].item.stage, Counter())[found.kind(one)] += 1
    for stage, kinds in stages.items():
        stem = "\u2514" if stage == list(stages)[-1] else "\u251c"
        yield f"  {stem} {stage}: {', '.join(f'{count} {MARKS[kind]} {kind}' for kind, count in kinds.items())}"


def _publishers(found: Audit) -> list[Raw]:
    """The files that the data sets were parsed from; none for a set that datasets.lock does not have."""
    raws: dict[str, Raw] = {}
    for item in (entry.item for entry in found.entries.values()):
        with contextlib.suppress(ValueError):  # which is a finding
            raws |= {str(raw.file): raw for raw in raw_files(item.stage, " ".join(item.words))}
    return list(raws.values())
