"""Checkpoints of runs that are under way or were killed: their names carry the sha256 of their bytes."""

from collections.abc import Iterator

from pipeline.audit.findings import BROKEN, Finding
from pipeline.audit.hashing import Hasher
from pipeline.run import paths
from pipeline.run.checkpoints import NAME


def check(hasher: Hasher) -> Iterator[Finding]:
    for path in sorted(paths.CHECKPOINTS.rglob("*.npz")):
        if not NAME.fullmatch(path.stem):
            continue
        expected, found = path.stem.split("-")[1], hasher.digests(path)
        if found is not None and found.sha256 != expected:
            name = path.relative_to(paths.STATE).as_posix()
            remedy = f"rm {path}; training goes on from the checkpoint before it"
            yield Finding(BROKEN, name, f"sha256 {expected} (its name)", f"sha256 {found.sha256}", remedy)
