"""`python -m pipeline audit` proves every figure of a profile, or says what is wrong with which file, entry or run.

It walks from each figure up to the checksums of the data's publishers and hashes every byte on the way: docs/audit.md
says what it compares. Exit status 0: all is proved; 1: something is broken or unproven; 2: the audit could not be made.
"""

import contextlib
import sys
from pathlib import Path

from pipeline.run.artifacts import write_json, write_text


def main(profile: Path, remote: bool, json: Path | None, html: Path | None) -> None:
    from pipeline.audit import show, walk  # here, since each module of this package imports this file

    with contextlib.chdir(profile):
        found = walk.audit(remote, lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    print("\n".join(show.tree(found)))
    if json:
        write_json(json, show.as_json(found))
    if html:
        write_text(html, show.page(found))
    if found.failed:
        sys.exit(1)
