"""`python -m pipeline evidence FOLDER` packs what proves the figures of a profile into a folder that stands alone.

It has the figures and the report; for them and for every item that they come from an in-toto statement (v1) with a
SLSA provenance (v1): what was left, by which command with which params, from which deps, all by sha256, and in which
commit and run; the publishers' files; the packages of this environment as a CycloneDX list, and requirements.lock with
the sha256 of what may be installed of each; all of it once more as an RO-Crate; SHA256SUMS over it; and, with `--key`,
a signature. `python -m pipeline verify FOLDER` checks it anywhere, without a network. It is packed only if the audit
proves all.
"""

import base64
import datetime
import json
import mimetypes
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.audit import again, show, walk
from pipeline.audit.findings import AGAIN, NOTED
from pipeline.audit.walk import Audit
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file, write_json, write_text
from pipeline.track.lineage import left_by_a_run

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUNDLE = "urn:vsml:bundle:v1"  # of all that SHA256SUMS lists
BUILD = "urn:vsml:stage:v1"  # an item of a stage: the command of dvc.yaml, in the folder of its profile
# Which items there are, and what each of them reads; of publishers, too. And what may be installed.
COPIED = (Path("dvc.yaml"), paths.PARAMS, paths.DATASETS_LOCK, paths.ROOT / "requirements.lock")
ENVELOPE, PAYLOAD, NAMESPACE = "evidence.dsse.json", "application/vnd.in-toto+json", "vsml.evidence"
SUMS, CRATE_FILE, AUDIT, PACKAGES = "SHA256SUMS", "ro-crate-metadata.json", "audit.json", "sbom.cdx.json"
FIXED = {path.name for path in COPIED} | {CRATE_FILE, AUDIT, PACKAGES}  # files of every bundle
CRATE, CRATE_PROFILE = "https://w3id.org/ro/crate/1.1", "https://w3id.org/ro/wfrun/process/0.5"
CRATE_CONTEXT = [f"{CRATE}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]  # it has none itself


def main(folder: Path, profile: Path, key: Path | None) -> None:
    folder, key = folder.absolute(), key and key.absolute()
    if folder.exists():
        raise ValueError(f"{folder} exists already: name a new folder, or remove it.")
    if key:
        must_have_keygen()
    os.chdir(profile)
    found = walk.audit()
    if found.failed:
        print("\n".join(line for one in found.findings if one.kind != NOTED for line in show.finding(one)))
        sys.exit("Nothing is packed, since the audit has findings: mend them first.")
    pack(found, folder)
    if key:
        sign(folder, key)
    print(f"{folder} proves {len(found.drawn())} figures and pages; what to publish or sign, the sha256 of its {SUMS}:")
    print(sha256_file(folder / SUMS))


def pack(found: Audit, folder: Path) -> None:
    """Write the bundle of a profile, all of whose findings are notes."""
    names = dict.fromkeys(inner for drawn in found.drawn() for inner in found.chain(drawn))
    statements = {name: _statement(found, name) for name in names}
    for name, one in statements.items():
        write_json(folder / "statements" / f"{name}.json", one)
    copies = {out: Path(out) for name in found.drawn() for out in found.entries[name].item.outs}
    for name, source in (copies | {path.name: path for path in COPIED}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    write_json(folder / AUDIT, show.as_json(found))
    write_json(folder / PACKAGES, _packages())
    write_json(folder / CRATE_FILE, _crate(folder, statements))
    lines = [f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    write_text(folder / SUMS, "".join(lines))


def sign(folder: Path, key: Path) -> None:
    """Sign a statement of SHA256SUMS, in a DSSE envelope whose `sig` is ssh-keygen's signature of the PAE bytes."""
    statement = {"_type": STATEMENT, "predicateType": BUNDLE, "subject": _named({SUMS: sha256_file(folder / SUMS)})}
    payload = json.dumps(statement).encode()
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE]  # asks for the passphrase itself
    done = subprocess.run(command, input=pae(payload), capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"{folder} is packed, but {key} did not sign it: {done.stderr.decode().strip()}")
    blob = "".join(done.stdout.decode().splitlines()[1:-1])  # between the lines that begin and end it
    envelope = {"payloadType": PAYLOAD, "payload": base64.b64encode(payload).decode(), "signatures": [{"sig": blob}]}
    write_json(folder / ENVELOPE, envelope)


def must_have_keygen() -> None:
    if shutil.which("ssh-keygen") is None:
        raise ValueError("ssh-keygen, which signs and checks signatures, is not installed: it comes with OpenSSH.")


def pae(payload: bytes) -> bytes:
    """What is signed of a payload, by DSSE v1 (github.com/secure-systems-lab/dsse)."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _statement(found: Audit, name: str) -> dict[str, Any]:
    """What an item left and from what, as an in-toto statement."""
    entry, evidence = found.entries[name], found.evidence[name]
    run, plan, item = evidence.run, entry.held, entry.item
    if run is None or plan is None:
        raise ValueError(f"{name} has no run that proves it: see python -m pipeline audit.")
    tags = run.tags
    if tags["commit"] == "none":
        raise ValueError(f"{name} ran outside of git: commit, then {AGAIN.format(name=name)}.")
    resolved = [{"uri": "git:.", "digest": {"gitCommit": tags["commit"]}}]
    resolved += _named({**evidence.code, **evidence.deps})
    for raw in again.raw_files(item.stage, " ".join(item.words)):
        uri = next(iter(raw.file.urls), f"wheel:{raw.file.wheel}")
        resolved.append({"name": str(raw.file), "uri": uri, "digest": {"sha256": raw.file.sha256}})
    machine = {key: value for key, value in tags.items() if key.startswith("version.") or key in ("device", "image")}
    internal = {"tree": tags.get("tree"), "fingerprint": tags.get("fingerprint"), "plan": plan}
    definition = {"buildType": BUILD, "externalParameters": {"command": item.cmd, "params": plan["params"]}}
    definition |= {"internalParameters": internal | machine, "resolvedDependencies": resolved}
    builder = {"id": f"urn:vsml:executor:{tags.get('executor', 'local')}"}
    details = {"builder": builder, "metadata": {"invocationId": run.id}}
    predicate = {"buildDefinition": definition, "runDetails": details}
    return {"_type": STATEMENT, "predicateType": PREDICATE, "predicate": predicate, "subject": _named(evidence.outs)}


def _named(digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()]


def _packages() -> dict[str, Any]:
    """All installed distributions with their licences and what each needs, as a CycloneDX 1.6 list of cyclonedx-bom.

    The list has no clock and no path of this machine, so the same packages give the same list. The sha256 of what may
    be installed of each version are in requirements.lock; of which file was installed, pip keeps no record.
    """
    command = [sys.executable, "-P", "-m", "cyclonedx_py", "environment"]  # -P: not what lies in this folder
    # To validate takes twenty times as long as to list; tests/pipeline/audit/test_bundle.py does it.
    command += ["--output-reproducible", "--no-validate", "--sv", "1.6"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"cyclonedx-py ended with exit code {done.returncode}: {done.stderr.strip()}")
    listed = json.loads(done.stdout)
    interpreter = {"type": "platform", "name": platform.python_implementation(), "version": platform.python_version()}
    listed["metadata"]["component"] = interpreter
    for component in listed["components"]:
        links = [link for link in component.pop("externalReferences", []) if not link["url"].startswith("file:")]
        if links:
            component["externalReferences"] = links
    return listed


def _crate(folder: Path, statements: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The metadata of an RO-Crate 1.1 (w3id.org/ro/crate/1.1), for those who read JSON-LD rather than in-toto.

    Of the profile Process Run Crate 0.5: every file with its sha256, every run as a CreateAction whose instrument is
    the commit, by its intrinsic identifier (swh:1:rev, ISO/IEC 18670, which is git's own). A table that is not in the
    bundle has an id made of its sha256. It says no more than the statements, which it names, and which alone are
    checked.
    """
    known: dict[str, dict[str, Any]] = {}

    def entity(own: str, kind: str, **facts: str) -> dict[str, str]:
        known.setdefault(own, {"@id": own, "@type": kind, **facts})
        return {"@id": own}

    def reference(one: dict[str, Any]) -> dict[str, str]:
        """A file that a run read or left: of the folder, a publisher's by its address, or a table by its sha256."""
        name, digest = one["name"], one["digest"]["sha256"]
        if known.get(name, {}).get("sha256") == digest:
            return {"@id": name}
        return entity(one.get("uri", f"urn:vsml:sha256:{digest}"), "CreativeWork", name=name, sha256=digest)

    parts, runs = [], []
    for path in _files(folder):
        facts = {"encodingFormat": mimetypes.guess_type(path.name)[0] or "application/octet-stream", "name": path.name}
        facts |= {"contentSize": str(path.stat().st_size), "sha256": sha256_file(path)}
        parts.append(entity(path.relative_to(folder).as_posix(), "File", **facts))
    for name, statement in statements.items():
        built, details = (statement["predicate"][part] for part in ("buildDefinition", "runDetails"))
        source, *read = built["resolvedDependencies"]
        commit = source["digest"]["gitCommit"]
        run = {"@id": f"#run-{details['metadata']['invocationId']}", "@type": "CreateAction", "name": name}
        run |= {"description": built["externalParameters"]["command"], "subjectOf": {"@id": f"statements/{name}.json"}}
        run |= {"instrument": entity(f"swh:1:rev:{commit}", "SoftwareSourceCode", name="vsml", version=commit)}
        # The rest is in the commit.
        run |= {"object": [reference(one) for one in read if left_by_a_run(one["name"]) or "uri" in one]}
        runs.append(run | {"result": [reference(one) for one in statement["subject"]]})
    descriptor = {"@id": CRATE_FILE, "@type": "CreativeWork", "conformsTo": {"@id": CRATE}, "about": {"@id": "./"}}
    root = {"@id": "./", "@type": "Dataset", "name": "Figures and report, with the evidence for them"}
    root |= {"description": "What was drawn, and for each item above it a statement of what was read and left."}
    root |= {"datePublished": datetime.datetime.now(datetime.UTC).date().isoformat(), "hasPart": parts}
    root |= {"mentions": [{"@id": run["@id"]} for run in runs]}
    root |= {"conformsTo": entity(CRATE_PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")}
    return {"@context": CRATE_CONTEXT, "@graph": [descriptor, root, *known.values(), *runs]}
