"""The plan of each item, made again from the code and the params of now, against the one that was recorded.

Versions and settings are those of the process that ran and are not compared with this one's: the run says them, too.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.audit.findings import BROKEN, Finding
from pipeline.audit.runs import Evidence
from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.flow import ABSENT, Item
from pipeline.run.plan import Tree, differences


class Planned(NamedTuple):
    """The plan of an item by the code of now, the files of that code, and the plan on disk if there is one."""

    made: dict[str, Any]
    files: tuple[str, ...]
    held: dict[str, Any] | None


def planned(item: Item, own: Any, tree: Tree) -> Planned:
    made, files = provenance.planned(item, own, tree)
    if not item.plan.is_file():
        return Planned(made, files, None)
    try:
        return Planned(made, files, json.loads(item.plan.read_text(encoding="utf-8")))
    except ValueError:  # its md5 is not that of dvc.lock, which is a finding
        return Planned(made, files, None)


def check(item: Item, planned: Planned, evidence: Evidence) -> list[Finding]:
    """What differs: which files of the code, and which params. Of a plan that is lost or damaged, dvc.lock says it."""
    found = [] if planned.held is None else [*_code(item, planned, evidence), *_params(item, planned)]
    return [one._replace(items=(item.name,), run=evidence.run.id if evidence.run else None) for one in found]


def _code(item: Item, planned: Planned, evidence: Evidence) -> Iterator[Finding]:
    held, made = (each["code"] for each in (planned.held or {}, planned.made))
    if held == made:
        return
    remedy = "git checkout {name} (rm, if it is new), or have what runs it run again: dvc repro"
    now = {name: artifacts.sha256_file(paths.ROOT / name) for name in planned.files}
    then = evidence.code
    changed = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)] if then else []
    for name in changed:
        expected = f"sha256 {then[name]} (the run's)" if name in then else "not run by it"
        found = f"sha256 {now[name]}" if name in now else "not run by it any more"
        yield Finding(BROKEN, name, expected, found, remedy.format(name=name))
    if not changed:
        yield Finding(BROKEN, f"code of {item.name}", f"digest {held} ({item.plan})", f"digest {made}", "dvc repro")


def _params(item: Item, planned: Planned) -> Iterator[Finding]:
    held, made = ({"params": each["params"]} for each in (planned.held or {}, planned.made))
    for name in differences(held, made):
        was, now = (_at(tree, name) for tree in (held, made))
        remedy = "git checkout params.yaml, or with the new value: dvc repro"
        yield Finding(BROKEN, f"params.yaml: {name.removeprefix('params.')}", f"{was} (as planned)", now, remedy)


def _at(tree: Any, name: str) -> str:
    for part in name.split("."):
        tree = tree.get(part, ABSENT) if isinstance(tree, dict) else ABSENT
    return str(tree)
