"""A bundle of evidence as an RO-Crate 1.1 (w3id.org/ro/crate/1.1), for those who read JSON-LD rather than in-toto.

Of the profile Process Run Crate 0.5: every file with its sha256, every run as a CreateAction whose instrument is the
commit, by its intrinsic identifier (swh:1:rev, ISO/IEC 18670, which is git's own). A table that is not in the bundle
has an id made of its sha256. It says no more than the statements, which it names, and which alone are checked.
"""

import datetime
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.run.artifacts import sha256_file

NAME = "ro-crate-metadata.json"
CRATE, PROFILE = "https://w3id.org/ro/crate/1.1", "https://w3id.org/ro/wfrun/process/0.5"
CONTEXT = [f"{CRATE}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]  # it has none itself


def crate(folder: Path, statements: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The metadata of all that is in the folder, and of the runs of the statements by the names of their files."""
    known: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, kind = path.relative_to(folder).as_posix(), mimetypes.guess_type(path.name)[0]
        known[name] = {
            "@id": name,
            "@type": "File",
            "encodingFormat": kind or "application/octet-stream",
            "name": path.name,
            "contentSize": str(path.stat().st_size),
            "sha256": sha256_file(path),
        }
    files = list(known)
    runs = [_run(name, statement, known) for name, statement in statements.items()]
    descriptor = {"@id": NAME, "@type": "CreativeWork", "conformsTo": {"@id": CRATE}, "about": {"@id": "./"}}
    root = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": PROFILE},
        "name": "Figures and report, with the evidence for them",
        "description": "What was drawn, and for each item that it comes from a statement of what was read and left.",
        "datePublished": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hasPart": [{"@id": name} for name in files],
        "mentions": [{"@id": run["@id"]} for run in runs],
    }
    profile = {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    return {"@context": CONTEXT, "@graph": [descriptor, root, profile, *known.values(), *runs]}


def _run(name: str, statement: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The run of a statement; what it read and left outside of the folder, and its commit, become `known`."""

    def reference(one: dict[str, Any]) -> dict[str, str]:
        """A file that a run read or left: of the folder, a publisher's by its address, or a table by its sha256."""
        name, digest = one["name"], one["digest"]["sha256"]
        if known.get(name, {}).get("sha256") != digest:
            name = one.get("uri", f"urn:vsml:sha256:{digest}")
            known.setdefault(name, {"@id": name, "@type": "CreativeWork", "name": one["name"], "sha256": digest})
        return {"@id": name}

    built, details = (statement["predicate"][part] for part in ("buildDefinition", "runDetails"))
    source, *read = built["resolvedDependencies"]
    commit = source["digest"]["gitCommit"]
    code = f"swh:1:rev:{commit}"
    known.setdefault(code, {"@id": code, "@type": "SoftwareSourceCode", "name": "vsml", "version": commit})
    tables = [one for one in read if one["name"].startswith("artifacts/") or "uri" in one]  # the rest is in the commit
    return {
        "@id": f"#run-{details['metadata']['invocationId']}",
        "@type": "CreateAction",
        "name": name,
        "description": built["externalParameters"]["command"],
        "instrument": {"@id": code},
        "object": [reference(one) for one in tables if not one["name"].startswith("artifacts/plan/")],
        "result": [reference(one) for one in statement["subject"]],
        "subjectOf": {"@id": f"statements/{name}.json"},
    }
