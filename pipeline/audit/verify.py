"""`python -m pipeline verify FOLDER` checks a bundle of evidence, offline: its bytes, and that its chains are whole.

Every file has the sha256 of SHA256SUMS and none is unlisted; every figure and page is the subject of a statement; every
artifact that a statement reads is the subject of another, down to statements that read publishers' files only; and
all of it is as dvc.yaml has it. That SHA256SUMS itself is the one that was published, its sha256 says, which is
printed. Exit status 0 if all of it holds.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.audit.again import DRAWN, PARSED
from pipeline.audit.evidence import PREDICATE, STATEMENT, SUMS
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file
from pipeline.run.flow import Flow
from pipeline.track.lineage import left_by_a_run


def main(folder: Path, sums: str | None) -> None:
    try:
        faults = list(verify(folder, sums))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} is no bundle of evidence: {error}") from error
    if faults:
        sys.exit("\n".join(faults))
    print(f"{folder} is whole. The sha256 of its {SUMS}, to be compared with the one published:")
    print(sha256_file(folder / SUMS))


def verify(folder: Path, published: str | None = None) -> Iterator[str]:
    """All that is wrong with a bundle, a sentence each.

    Raises:
      ValueError: a statement is none that this version wrote.
    """
    found = sha256_file(folder / SUMS)
    if published is not None and found != published:
        yield f"{SUMS} has the sha256 {found}, expected {published}: it is not the bundle that was published."
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {SUMS}
    for name in sorted(there - listed.keys()):
        yield f"{name} is not in {SUMS}: it was added."
    for name, digest in listed.items():
        if name not in there:
            yield f"{name} of {SUMS} is missing."
        elif (found := sha256_file(folder / name)) != digest:
            yield f"{name} has the sha256 {found}, expected {digest}: it was changed."

    statements: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / "statements").glob("*.json")):
        one = statements[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        if (one.get("_type"), one.get("predicateType")) != (STATEMENT, PREDICATE):
            raise ValueError(f"{path} is no in-toto statement v1 with SLSA provenance v1.")
    left = {(one["name"], one["digest"]["sha256"]) for of in statements.values() for one in of["subject"]}
    drawn = sorted(name for name in there if name.startswith("artifacts/"))
    for name in drawn:
        if (name, digest := sha256_file(folder / name)) not in left:
            yield f"{name} with sha256 {digest} is the subject of no statement."
    if not drawn:
        yield f"{folder} has no figures: pack it again (python -m pipeline evidence)."
    # The flow: each statement has the command, the deps and the outs of its item, and none is left out.
    items = {item.name: item for item in Flow(folder).items() if item.stage != "plan"}
    outs = [out for item in items.values() for out in item.outs]
    for name in sorted({name for name, item in items.items() if item.stage in DRAWN} - statements.keys()):
        yield f"{name} has no statement: pack the bundle again."
    datasets = (folder / paths.DATASETS_LOCK.name).read_text(encoding="utf-8")
    for name, of in statements.items():
        build = of["predicate"]["buildDefinition"]
        resolved = build["resolvedDependencies"]
        read = {one.get("name", ""): one["digest"].get("sha256", "") for one in resolved}
        if not any("gitCommit" in one["digest"] for one in resolved):
            yield f"{name} names no commit."
        for one in (one for one in resolved if left_by_a_run(one.get("name", ""))):
            if (one["name"], digest := one["digest"]["sha256"]) not in left:
                yield f"{name} read {one['name']} with sha256 {digest}, which no statement here has left."
        if (item := items.get(name)) is None:
            yield f"{name} is no item of dvc.yaml."
            continue
        told = build["externalParameters"]["command"]
        if told != (standard := " ".join(("exec python -m pipeline", item.stage, *item.words))):
            yield f"{name} was made by {told!r}, expected {standard!r}."
        if (subject := sorted(one["name"] for one in of["subject"])) != sorted(item.outs):
            yield f"{name} left {subject}, expected {sorted(item.outs)}."
        needed = {out for out in outs if any(out == dep or out.startswith(f"{dep}/") for dep in item.deps)}
        if missing := sorted(needed - read.keys()):
            yield f"{name} names {', '.join(missing)} not among what it read."
        if item.stage in PARSED and not any(digest and digest in datasets for digest in read.values()):
            yield f"{name} read no file of a publisher of {paths.DATASETS_LOCK.name}."
