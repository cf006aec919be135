"""`python -m pipeline compare [REV]` says whether this profile's results here are those that were published.

It holds numbers, verdicts and the bytes of all outs in this folder against results.json, claims.json (in docs/) and
dvc.lock of a commit. A number agrees if it is within the tolerance, relative to what was published where that is above
1. Other processors sum in another order, so that last bits differ; the verdicts must not. Exit status 0: reproduced; 1:
a verdict differs, or a number does not agree or is missing.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.run import job, paths
from pipeline.run.flow import PLAN, Flow, locked
from pipeline.studies import headline
from pipeline.track import lineage, tracking

TOLERANCE = 1e-3  # no table shows a difference that is smaller
LISTED = 4


def main(rev: str = "HEAD", tolerance: float = TOLERANCE) -> None:
    lines, same = story(rev, tolerance)
    print(*lines, sep="\n", flush=True)
    if not same:
        sys.exit(1)


def after_repro(states: Mapping[str, str], began_ms: int) -> list[str]:
    """How a repro ended, by items, and the same as `main` says, if all are done and there is a report.

    If an item ran, that is also written down as a run, of which those of the items are made the children.
    """
    counts = {f"items/{state}": list(states.values()).count(state) for state in ("done", "FAILED", "skipped")}
    whole = counts["items/done"] == len(states)
    done = f"{counts['items/done']} of {len(states)} items are done."
    lines = [done if states else "Data and pipelines are up to date."]
    reported = whole and paths.report("results.json").exists()
    if reported:
        try:
            lines += story("HEAD")[0]
        except (FileNotFoundError, ValueError) as error:
            lines.append(f"There is nothing to compare the results with: {error}")
    if states:
        name = os.environ[tracking.REPRO]
        tags = {"stage": "repro", **job.git(), lineage.NOTE: "\n".join(f"- {line.strip()}" for line in lines)}
        tags |= lineage.verdicts(Path()) if reported else {}
        metrics = counts | (headline.of_item("report", ()) if reported else {})
        manifest = {"stage": "repro", "item": [], "fingerprint": name, "deps": {}, "outs": {}, "metrics": metrics}
        title = "repro" if Path.cwd() == paths.ROOT else f"repro of {Path.cwd().name}"
        end = {"status": "FINISHED" if whole else "FAILED", "manifest": manifest}
        tracking.whole(name, {"name": title, "tags": tags, "began_ms": began_ms}, end)
    return lines


def story(rev: str, tolerance: float = TOLERANCE) -> tuple[list[str], bool]:
    """How the results of the profile in this folder compare with those of a commit, and whether they are reproduced.

    Raises:
      FileNotFoundError: the report was not made here.
      ValueError: the commit has no results of this profile.
    """
    root = Flow().root
    # Where results of this profile are published, relative to its folder: docs/, or docs/PROFILE/.
    docs = os.path.normpath(f"{root}/docs/{'' if root == '.' else Path.cwd().name}")
    reports = [paths.report("results.json"), paths.report("claims.json")]
    both = {f"{docs}/{path.name}": path for path in reports} | {"dvc.lock": Path("dvc.lock")}
    pairs = []
    for name, path in both.items():
        if not path.is_file():
            raise FileNotFoundError(f"{path.resolve()} is missing: `make repro` makes it.")
        if (content := _committed(rev, name)) is None:
            raise ValueError(f"{rev} has no {name} to compare with: name a commit that has results of this profile.")
        pairs.append((content, path.read_bytes()))
    results, claims, locks = pairs
    lines = [f"Compared with {rev}, {', '.join(os.path.relpath(name, root) for name in both)}:"]

    then, now = ({name: entry["value"] for name, entry in json.loads(one).items()} for one in results)
    lost = [name for name in then if name not in now]
    off = {name: abs(now[name] - then[name]) / max(1.0, abs(then[name])) for name in then if name in now}
    worst = max(off, key=off.__getitem__)
    far = [name for name in off if not off[name] <= tolerance]
    which = f", of {worst}: {then[worst]:.6g} then, {now[worst]:.6g} now" if off[worst] else ""
    lines.append(f"  {len(then):,} numbers: the largest difference is {_short(off[worst])}{which}.")
    lines += [f"    {len(lost)} are not there any more: {_listed(lost)}."] if lost else []
    numbers = f"{len(off):,} numbers {f'agree to {_short(off[worst])}' if off[worst] else 'are equal'}"

    then, now = ({claim["id"]: claim["verdict"] for claim in json.loads(one)["claims"]} for one in claims)
    turned = [name for name in then if now.get(name) != then[name]]
    lines.append(f"  {len(then)} verdicts: {len(turned) or 'none'} of them changed.")
    lines += [f"    {name}: {then[name]!r} then, {now.get(name, 'no claim')!r} now" for name in turned]
    verdicts, turns = f"all {len(then)} verdicts are equal", f"{len(turned)} of {len(then)} verdicts changed"

    then, now = ({name: _left(entry) for name, entry in locked(one).items()} for one in locks)
    others = [name for name in then if name not in now or now[name][1] != then[name][1]]
    rounded = [name for name in others if name in now and now[name][0] == then[name][0]]
    changed = [name for name in others if name not in rounded]
    equal = len(then) - len(others)
    lines.append(f"  {len(then)} items: {equal} left the same bytes.")
    why = "left other bytes by the same plan (processors round, or data differ)"
    lines += [f"    {len(rounded)} {why}: {_listed(rounded)}."] if rounded else []
    why = "have another plan (code, params, packages) or did not run"
    lines += [f"    {len(changed)} {why}: {_listed(changed)}."] if changed else []
    if Path("dvc.lock").read_bytes() != pairs[-1][0]:
        whose = "dvc.lock has the entries of this run now, and so `git status` names it"
        lines.append(f"  {whose}: `git checkout dvc.lock` takes back those of {rev}.")
    lines.append(f"The page: {paths.report().resolve().as_uri()}")

    faults = [f"{len(far)} numbers are off by more than {tolerance:g}"] if far else []
    faults += [f"{len(lost)} numbers are missing"] if lost else []
    faults += [turns] if turned else []
    good = f"Reproduced: {numbers}, {verdicts}, {equal} of {len(then)} items to the byte."
    return [*lines, f"Not reproduced: {', '.join(faults)}." if faults else good], not faults


def _left(entry: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Of an item in dvc.lock: the md5 of its plan (none of `plan` itself), and of each of its outs by path."""
    plan = [dep["md5"] for dep in entry.get("deps", []) if Path(dep["path"]).is_relative_to(PLAN)]
    return plan, {out["path"]: out["md5"] for out in entry.get("outs", [])}


def _committed(rev: str, name: str) -> bytes | None:
    """A file of a commit, named from this folder; None if it has none of that name.

    Raises:
      ValueError: there is no such commit.
    """
    known = job.ask_git("rev-parse", "--verify", f"{rev}^{{commit}}", at=Path())
    if known.returncode:
        job.git()  # which says so if git refuses altogether
        raise ValueError(f"{rev!r} is no commit of this repository: git log --oneline names them.")
    found = job.ask_git("show", f"{rev}:./{name}", at=Path())
    return None if found.returncode else found.stdout


def _short(number: float) -> str:
    return f"{number:.1e}".replace("e-0", "e-") if number else "0"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
