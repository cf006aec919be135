"""`python -m pipeline audit` proves every figure of a profile, or says what is wrong with which file, entry or run.

It walks from each figure up to the checksums of the data's publishers and hashes every byte on the way: docs/audit.md
says what it compares. Exit status 0: all is proved; 1: something is broken or unproven; 2: the audit could not be made.
"""

import argparse
import os
import sys
from pathlib import Path

from pipeline.run.artifacts import write_json, write_text


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline audit", description=__doc__)
    parser.add_argument("profile", nargs="?", default=".", help="its folder (default: this one)")
    parser.add_argument("--remote", action="store_true", help="read the objects in DVC's default remote as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as a page that needs no other file")
    given = parser.parse_args(words)
    pages = {"json": given.json and given.json.absolute(), "html": given.html and given.html.absolute()}
    os.chdir(given.profile)
    from pipeline.audit import show, walk  # here, since they take seconds, and usage should not
    from pipeline.track.store import TrackingError

    try:
        found = walk.audit(given.remote, lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    except (OSError, ValueError, TrackingError) as error:
        print(f"The audit could not be made: {error}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(show.tree(found)))
    if pages["json"]:
        write_json(pages["json"], show.as_json(found))
    if pages["html"]:
        write_text(pages["html"], show.page(found))
    if found.failed:
        sys.exit(1)
