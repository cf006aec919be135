"""dvc.lock against dvc.yaml, the plans and the bytes on disk; what DVC's own state database says is not asked.

Where two disagree, the run that vouches for the item is the third, which says which of them was changed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.audit.findings import BROKEN, UNPROVEN, Finding
from pipeline.audit.hashing import Hasher, folder_md5, inside
from pipeline.audit.runs import Evidence
from pipeline.run.flow import Flow, Item, named
from pipeline.run.params import read_yaml

REPRO = "dvc repro"
WRITTEN = "restore it (`git checkout dvc.lock`), or have it written again: dvc repro --force --single-item {name}"


class Entry(NamedTuple):
    """An item, and what dvc.lock recorded of it (None: it never ran)."""

    item: Item
    lock: dict[str, Any] | None

    @property
    def name(self) -> str:
        return self.item.name

    @property
    def stage(self) -> str:
        return self.item.stage


class Profile(NamedTuple):
    """What the checks of all items share."""

    root: str  # the way from the profile to the repository
    hasher: Hasher
    produced: Mapping[str, str | None]  # md5 in dvc.lock of every out


def read(flow: Flow) -> list[Entry]:
    """All items of the profile in this folder.

    Raises:
      FileNotFoundError: it has no dvc.lock.
    """
    if not Path("dvc.lock").is_file():
        raise FileNotFoundError(f"{Path('dvc.lock').resolve()} is missing: name a profile in which `dvc repro` ran.")
    locked = (read_yaml(Path("dvc.lock")) or {}).get("stages") or {}
    return [Entry(item, locked.get(item.name)) for item in flow.items()]


def check(entry: Entry, evidence: Evidence, profile: Profile) -> list[Finding]:
    """All findings of an item. What the stage `plan` reads is no matter: its plans are made again and compared."""
    if entry.lock is None:
        words = (f"dvc.lock: {entry.name}", "an entry", "none: it never ran, or the entry was removed", REPRO)
        return [Finding(UNPROVEN, *words, items=(entry.name,))]
    found = [*_command(entry), *_outs(entry, evidence, profile)]
    if entry.stage != "plan":
        found += _deps(entry, evidence, profile)
    return [one._replace(items=(entry.name,), run=evidence.run.id if evidence.run else None) for one in found]


def recorded(entry: Entry, kind: str) -> dict[str, dict[str, Any]]:
    """What dvc.lock has of the deps or the outs of an item, by path relative to the profile."""
    lines = (entry.lock or {}).get(kind) or []
    return {str(Path(line["path"])): line for line in lines}


def _in_lock(entry: Entry, what: str, expected: object, found: object) -> Finding:
    words = (f"dvc.lock: {entry.name} {what}", str(expected), str(found))
    return Finding(BROKEN, *words, WRITTEN.format(name=entry.name))


def _command(entry: Entry) -> Iterator[Finding]:
    cmd = (entry.lock or {}).get("cmd")
    if cmd != entry.item.cmd:
        yield _in_lock(entry, "cmd", f"{entry.item.cmd} (dvc.yaml)", cmd)
    for kind, declared in (("deps", entry.item.deps), ("outs", entry.item.outs)):
        for path in sorted({*declared} ^ recorded(entry, kind).keys()):
            asked = path in declared
            yield _in_lock(
                entry, f"{kind} {path}", "an entry" if asked else "none (dvc.yaml)", "none" if asked else "one"
            )


def _deps(entry: Entry, evidence: Evidence, profile: Profile) -> Iterator[Finding]:
    for path, line in recorded(entry, "deps").items():
        if path not in entry.item.deps:
            continue
        files = dep_files(path)
        md5s = {name: found.md5 for name, file in files.items() if (found := profile.hasher.digests(file))}
        if not md5s and not Path(path).is_dir():  # of a stage that this profile has no items of, the folder is empty
            yield _lost(path, line.get("md5"))
            continue
        md5 = folder_md5(md5s) if Path(path).is_dir() else md5s[""]
        if md5 == line.get("md5") and line.get("hash") == "md5":
            yield from _size(entry, "deps", path, line, files, profile)
            continue
        culprits = list(_culprits(path, files, evidence, profile))
        yield from culprits
        if not culprits and evidence.run is not None:
            yield _in_lock(
                entry, f"deps {path}", f"md5 {md5} (on disk, and in the run)", f"{line.get('hash')} {line.get('md5')}"
            )
        elif not culprits:
            yield Finding(BROKEN, path, f"md5 {line.get('md5')} (dvc.lock: {entry.name})", f"md5 {md5}", REPRO)


def dep_files(path: str) -> dict[str, Path]:
    """The files of a dep by their path in it; a file's own is empty."""
    return inside(Path(path)) if Path(path).is_dir() else {"": Path(path)}


def _culprits(path: str, files: dict[str, Path], evidence: Evidence, profile: Profile) -> Iterator[Finding]:
    """The files of a dep that are not those that the run read."""
    if evidence.run is None:
        return
    own = named(path, profile.root)
    now = {f"{own}/{name}" if name else own: file for name, file in files.items()}
    read = {name: digest for name, digest in evidence.deps.items() if name == own or name.startswith(f"{own}/")}
    for name in sorted({*now, *read}):
        digests = profile.hasher.digests(now[name]) if name in now else None
        if (digests and digests.sha256) == read.get(name):
            continue
        if digests is None and name in profile.produced:  # an out of an earlier stage is said of as by that stage
            yield _lost(name, profile.produced[name])
        elif digests and digests.md5 != profile.produced.get(name, digests.md5):
            yield _other(name, profile.produced[name], digests.md5)
        else:
            expected = f"sha256 {read[name]} (the run's)" if name in read else "no such file when it ran"
            found = f"sha256 {digests.sha256}" if digests else "no such file"
            remedy = f"git checkout {name} (rm, if it is new), or have what depends on it run: {REPRO}"
            yield Finding(BROKEN, name, expected, found, remedy)


def _outs(entry: Entry, evidence: Evidence, profile: Profile) -> Iterator[Finding]:
    for path, line in recorded(entry, "outs").items():
        if path not in entry.item.outs:
            continue
        if Path(path).is_dir():
            yield from _folder(entry, path, line, profile)
            continue
        found = profile.hasher.digests(Path(path))
        if found is None:
            yield _lost(path, line.get("md5"))
        elif found.md5 == line.get("md5") and line.get("hash") == "md5":
            yield from _size(entry, "outs", path, line, {"": Path(path)}, profile)
        elif found.sha256 == evidence.outs.get(path):
            was = f"{line.get('hash')} {line.get('md5')}"
            yield _in_lock(entry, f"outs {path}", f"md5 {found.md5} (on disk, and in the run)", was)
        else:
            yield _other(path, line.get("md5"), found.md5)


def _folder(entry: Entry, path: str, line: dict[str, Any], profile: Profile) -> Iterator[Finding]:
    """An out that is a folder."""
    files = inside(Path(path))
    md5 = folder_md5({name: found.md5 for name, file in files.items() if (found := profile.hasher.digests(file))})
    if md5 == line.get("md5"):
        yield from _size(entry, "outs", path, line, files, profile)
    else:
        yield Finding(
            BROKEN, path, f"md5 {line.get('md5')} (dvc.lock)", f"md5 {md5}", f"dvc repro --force {entry.name}"
        )


def _lost(path: str, md5: str | None) -> Finding:
    return Finding(UNPROVEN, path, f"md5 {md5} (dvc.lock)", "no such file", f"dvc pull, dvc checkout, or {REPRO}")


def _other(path: str, expected: str | None, found: str) -> Finding:
    remedy = f"rm {path} && dvc checkout {path}"
    return Finding(BROKEN, path, f"md5 {expected} (dvc.lock)", f"md5 {found}", remedy)


def _size(
    entry: Entry, kind: str, path: str, line: dict[str, Any], files: dict[str, Path], profile: Profile
) -> Iterator[Finding]:
    sizes = [found.size for file in files.values() if (found := profile.hasher.digests(file))]
    facts = {"size": sum(sizes)} | ({"nfiles": len(sizes)} if "nfiles" in line else {})
    for name, value in facts.items():
        if line.get(name) != value:
            yield _in_lock(entry, f"{kind} {path} {name}", value, line.get(name))
