"""`python -m pipeline evidence FOLDER` packs what proves the figures of a profile into a folder that stands alone.

It has the figures and the report; for them and for every item that they come from an in-toto statement (v1) with a
SLSA provenance (v1): what was left, by which command with which params, from which deps, all by sha256, and in which
commit and run; the publishers' files; the packages of this environment as a CycloneDX list, and requirements.lock with
the sha256 of what may be installed of each; all of it once more as an RO-Crate; and SHA256SUMS over it. `python -m
pipeline verify FOLDER` checks it anywhere, without a network. It is packed only if the audit proves all.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.audit import publishers as data
from pipeline.audit import ro_crate as crate
from pipeline.audit import sbom, show, walk
from pipeline.audit.findings import NOTED
from pipeline.audit.walk import Audit
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file, write_json, write_text
from pipeline.track.store import TrackingError

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD = "urn:vsml:stage:v1"  # an item of a stage: the command of dvc.yaml, in the folder of its profile
SUMS, LOCK = "SHA256SUMS", "requirements.lock"


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline evidence", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--profile", default=".", help="its folder (default: this one)")
    given = parser.parse_args(words)
    folder = given.folder.absolute()
    if folder.exists():
        sys.exit(f"{folder} exists already: name a new folder, or remove it.")
    os.chdir(given.profile)
    try:
        found = walk.audit()
    except (OSError, ValueError, TrackingError) as error:
        sys.exit(f"The audit could not be made: {error}")
    if found.failed:
        print("\n".join(line for one in found.findings if one.kind != NOTED for line in show.finding(one)))
        sys.exit("Nothing is packed, since the audit has findings: mend them first.")
    pack(found, folder)
    print(f"{folder} proves {len(found.drawn())} figures and pages; what to publish or sign, the sha256 of its {SUMS}:")
    print(sha256_file(folder / SUMS))


def pack(found: Audit, folder: Path) -> None:
    """Write the bundle of a profile, all of whose findings are notes."""
    names = dict.fromkeys(inner for drawn in found.drawn() for inner in found.chain(drawn))
    statements = {name: statement(found, name) for name in names}
    for name, one in statements.items():
        write_json(folder / "statements" / f"{name}.json", one)
    for name in found.drawn():
        for out in found.entries[name].item.outs:
            (folder / out).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out, folder / out)
    write_json(folder / "audit.json", show.as_json(found))
    write_json(folder / "sbom.cdx.json", sbom.sbom())
    shutil.copyfile(paths.ROOT / LOCK, folder / LOCK)
    write_json(folder / crate.NAME, crate.crate(folder, statements))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text(folder / SUMS, "".join(lines))


def statement(found: Audit, name: str) -> dict[str, Any]:
    """What an item left and from what, as an in-toto statement."""
    entry, evidence = found.entries[name], found.evidence[name]
    run = evidence.run
    if run is None:
        raise ValueError(f"{name} has no run that proves it: see python -m pipeline audit.")
    resolved = [
        {"uri": "git:.", "digest": {"gitCommit": run.tags["commit"]}},
        *_named({**evidence.code, **evidence.deps}),
    ]
    if entry.stage in data.STAGES:
        raws = data.raw_files(entry.item.words[0], data.STAGES[entry.stage])
        resolved += [
            {
                "name": str(raw.file),
                "uri": next(iter(raw.file.urls), f"wheel:{raw.file.wheel}"),
                "digest": {"sha256": raw.file.sha256},
            }
            for raw in raws
        ]
    plan = json.loads(entry.item.plan.read_text(encoding="utf-8"))
    asked = {"command": entry.item.cmd, "params": plan["params"]}
    machine = {
        key: value for key, value in run.tags.items() if key.startswith("version.") or key in ("device", "image")
    }
    definition = {
        "buildType": BUILD,
        "externalParameters": asked,
        "internalParameters": {"tree": run.tags.get("tree"), "fingerprint": run.tags.get("fingerprint"), "plan": plan}
        | machine,
        "resolvedDependencies": resolved,
    }
    executor = run.tags.get("executor", "local")
    details = {"builder": {"id": f"urn:vsml:executor:{executor}"}, "metadata": {"invocationId": run.id}}
    predicate = {"buildDefinition": definition, "runDetails": details}
    return {"_type": STATEMENT, "subject": _named(evidence.outs), "predicateType": PREDICATE, "predicate": predicate}


def _named(digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()]


def read_statement(path: Path) -> dict[str, Any]:
    """A statement of a bundle.

    Raises:
      ValueError: it is none that this version wrote.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if (found.get("_type"), found.get("predicateType")) != (STATEMENT, PREDICATE):
        raise ValueError(f"{path} is no in-toto statement v1 with SLSA provenance v1.")
    return found
