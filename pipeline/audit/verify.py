"""`python -m pipeline verify FOLDER` checks a bundle of evidence, offline: its bytes, and that its chains are whole.

Every file has the sha256 of SHA256SUMS and none is unlisted; every figure and page is the subject of a statement; every
artifact that a statement reads is the subject of another, down to statements that read publishers' files only; and
all of it is as dvc.yaml has it. That SHA256SUMS itself is the one that was published, its sha256 says, which is
printed; or a signature. Exit status 0 if all of it holds.
"""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic.alias_generators import to_camel

from pipeline.audit.again import PARSED
from pipeline.audit.evidence import ENVELOPE, FIXED, NAMESPACE, PREDICATE, STATEMENT, SUMS, must_have_keygen, pae
from pipeline.audit.whence import read_stamp
from pipeline.cluster.execute import DRAWN
from pipeline.data import locked
from pipeline.data.sources import LockedSet
from pipeline.run import paths
from pipeline.run.artifacts import sha256_file
from pipeline.run.flow import Flow
from pipeline.run.params import shaped
from pipeline.track.lineage import left_by_a_run

ARMOUR = "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n"


class _File(BaseModel):
    """A file or a commit, as a statement names it."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str]

    @property
    def sha256(self) -> str:
        return self.digest.get("sha256", "")


class _Outer(BaseModel):
    command: str
    params: dict[str, Any]


class _Inner(BaseModel):
    plan: dict[str, Any]


class _Definition(BaseModel, alias_generator=to_camel):
    external_parameters: _Outer
    internal_parameters: _Inner
    resolved_dependencies: list[_File]


class _Predicate(BaseModel, alias_generator=to_camel):
    build_definition: _Definition


class Statement(BaseModel, alias_generator=to_camel):
    """An in-toto statement v1 with SLSA provenance v1, as far as it is read here."""

    kind: Annotated[str, Field(alias="_type", pattern=f"^{STATEMENT}$")]
    predicate_type: Annotated[str, Field(pattern=f"^{PREDICATE}$")]
    subject: list[_File]
    predicate: _Predicate


def main(folder: Path, sums: str | None, signers: Path | None) -> None:
    if signers is not None:
        must_have_keygen()
    try:
        faults = list(verify(folder, sums))
        sentence, good = signed(folder, signers)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no bundle of evidence that can be verified: {error}") from error
    if faults := faults + [sentence] * (not good):
        sys.exit("\n".join(faults))
    if not paths.DATASETS_LOCK.exists():
        sentence += f" No repository is here whose {paths.DATASETS_LOCK.name} its own could be held against."
    print(f"{folder} is whole. {sentence} The sha256 of its {SUMS}, to be compared with the one published:")
    print(sha256_file(folder / SUMS))


def signed(folder: Path, signers: Path | None) -> tuple[str, bool]:
    """Who signed a bundle, as a sentence, and whether that is as it must be: by one of `signers`, if they are given."""
    if not (folder / ENVELOPE).exists():
        return "It is unsigned: nothing in it shows who packed it.", signers is None
    envelope = json.loads((folder / ENVELOPE).read_text(encoding="utf-8"))
    payload, (signature,) = base64.b64decode(envelope["payload"]), envelope["signatures"]
    if json.loads(payload)["subject"] != [{"name": SUMS, "digest": {"sha256": sha256_file(folder / SUMS)}}]:
        return f"{ENVELOPE} signs another {SUMS} than this one.", False
    if signers is None:
        return "It is signed; by whom was not checked (--signers).", True
    with tempfile.TemporaryDirectory() as place:
        (blob := Path(place) / "blob").write_text(ARMOUR.format(signature["sig"]))

        def ask(act: str, *words: str) -> subprocess.CompletedProcess[bytes]:
            command = ["ssh-keygen", "-Y", act, "-s", str(blob), "-f", str(signers), *words]
            return subprocess.run(command, input=pae(payload), capture_output=True, check=False)

        who = ask("find-principals").stdout.decode().split("\n")[0].split(",")[0]
        found = ask("verify", "-I", who or "nobody", "-n", NAMESPACE)
    if found.returncode:
        return f"{ENVELOPE} is signed by none of {signers}: {found.stderr.decode().strip()}", False
    return f"It is signed by {who}.", True


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
    if twice := _twice(line.split("  ", 1)[1] for line in lines):
        yield f"{SUMS} names {twice} twice."
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {SUMS, ENVELOPE}
    for name in sorted(there - listed.keys()):
        yield f"{name} is not in {SUMS}: it was added."
    for name, digest in listed.items():
        if name not in there:
            yield f"{name} of {SUMS} is missing."
        elif (found := sha256_file(folder / name)) != digest:
            yield f"{name} has the sha256 {found}, expected {digest}: it was changed."

    packed = sorted((folder / "statements").glob("*.json"))
    statements = {path.stem: shaped(Statement, path.read_bytes(), path, "pack the bundle again") for path in packed}
    left = {(one.name, one.sha256) for of in statements.values() for one in of.subject}
    drawn = sorted(name for name in there if name.startswith("artifacts/"))
    for name in drawn:
        if (name, digest := sha256_file(folder / name)) not in left:
            yield f"{name} with sha256 {digest} is the subject of no statement."
    if not drawn:
        yield f"{folder} has no figures: pack it again (python -m pipeline evidence)."
    # The flow: each statement has the command, the deps and the outs of its item, and none is left out.
    items = {item.name: item for item in Flow(folder).items() if item.stage != "plan"}
    outs = [out for item in items.values() for out in item.outs]
    shown = {name: item for name, item in items.items() if item.stage in DRAWN}
    for name in sorted(shown.keys() - statements.keys()):
        yield f"{name} has no statement: pack the bundle again."
    for out in sorted(({out for item in shown.values() for out in item.outs} | FIXED) - there):
        yield f"{out} is missing: pack the bundle again."
    sets = locked.sets(folder / paths.DATASETS_LOCK.name)
    own_sets = locked.sets() if paths.DATASETS_LOCK.exists() else sets
    for name, of in statements.items():
        build = of.predicate.build_definition
        resolved = build.resolved_dependencies
        read = {one.name: one.sha256 for one in resolved}
        if twice := _twice(one.name for one in resolved):
            yield f"{name} names {twice} twice among what it read."
        if not any("gitCommit" in one.digest for one in resolved):
            yield f"{name} names no commit."
        if not any(one.endswith(".py") for one in read):
            yield f"{name} names no code."
        for one in (one for one in resolved if left_by_a_run(one.name)):
            if (one.name, one.sha256) not in left:
                yield f"{name} read {one.name} with sha256 {one.sha256}, which no statement here has left."
        if (item := items.get(name)) is None:
            yield f"{name} is no item of dvc.yaml."
            continue
        told = build.external_parameters.command
        if told != item.standard:
            yield f"{name} was made by {told!r}, expected {item.standard!r}."
        if (subject := sorted(one.name for one in of.subject)) != sorted(item.outs):
            yield f"{name} left {subject}, expected {sorted(item.outs)}."
        needed = {out for out in outs if any(out == dep or out.startswith(f"{dep}/") for dep in item.deps)}
        if missing := sorted(needed - read.keys()):
            yield f"{name} names {', '.join(missing)} not among what it read."
        if split := PARSED.get(item.stage):
            packed_in, own = (_published(of_all, " ".join(item.words), split) for of_all in (sets, own_sets))
            if {one.name: one.sha256 for one in resolved if one.uri and one.sha256} not in packed_in:
                yield f"{name} did not read what its {paths.DATASETS_LOCK.name} has of publishers for that set."
            if packed_in != own:
                yield f"{name} is of other files of publishers than {paths.DATASETS_LOCK} has for that set."
        # Its plan is what it read as such, has the params, and stands in what was drawn.
        plan, told = build.internal_parameters.plan, read.get(item.plan.as_posix())
        written = json.dumps(plan, indent=2, sort_keys=True, ensure_ascii=False) + "\n"  # as artifacts.write_json does
        digest, params = hashlib.sha256(written.encode()).hexdigest(), build.external_parameters.params
        if (digest, params) != (told, plan.get("params")):
            yield f"{name} has another plan, or other params, than those that it read."
        for out in (out for out in item.outs if name in shown and out in there and not out.endswith(".json")):
            stamp = read_stamp(folder / out)
            if not stamp or stamp.group("stage", "item", "plan") != (item.stage, *(item.words or (None,)), told):
                yield f"{out} has the stamp {stamp and stamp[0]}, which is not that of {name}."


def _twice(names: Iterable[str]) -> str:
    """Those that are there more than once; of two digests, only one would be looked at."""
    return ", ".join(sorted(name for name, times in Counter(names).items() if name and times > 1))


def _published(sets: Mapping[str, LockedSet], name: str, split: str) -> list[dict[str, str]]:
    """The sha256 of the publishers' files of a split by name, and of those that may stand in for them."""
    if (known := sets.get(name)) is None:
        return []
    either = [one for one in (known.splits.get(split), known.instead.get(split)) if one]
    return [{f"{known.folder or name}/{file}": known.files[file].sha256 for file in one} for one in either]
