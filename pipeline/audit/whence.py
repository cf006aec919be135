"""`python -m pipeline whence FILE` says where a figure, a page or a table comes from, wherever the file was found.

It asks MLflow for a run that left these very bytes; a drawn file that was edited is still known by the stamp inside
it. Then it goes up from run to run by sha256, to the files of the data's publishers. Exit status 0: these are the
bytes that a run left, and the chain is whole; 1: they are not, it has gaps, or nothing is known.
"""

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pipeline.audit import publishers as data
from pipeline.audit import stamp
from pipeline.audit.stamp import Stamp
from pipeline.cluster.exchange import COMMITTED
from pipeline.run import artifacts
from pipeline.run import job as provenance
from pipeline.track import uploads
from pipeline.track.store import Found, MissingInStoreError, Store, TrackingError


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline whence", description=__doc__)
    parser.add_argument("file", type=Path, help="a PNG, PDF or HTML file, or any file that a stage left")
    given = parser.parse_args(words)
    try:
        digest, stamped = artifacts.sha256_file(given.file), stamp.read(given.file)
        uploads.flush()
        lines, whole = story(Store(), given.file, digest, stamped)
    except (OSError, TrackingError) as error:
        sys.exit(f"{given.file}: {error}")
    print("\n".join(lines))
    if not whole:
        sys.exit(1)


def story(store: Store, file: Path, digest: str, stamped: Stamp | None) -> tuple[list[str], bool]:
    """What is known of a file, and whether all of it is proved."""
    lines = [f"{file}", f"  sha256 {digest}"]
    lines.append(f"  stamp  {stamped.text}" if stamped else "  stamp  none")
    exact = store.having(digest)
    if exact is not None:
        run, known = store.get(exact[0]), "These are the very bytes that a run left."
    elif stamped is not None:
        found = _by_stamp(store, stamped, file.suffix)
        if found is None:
            return [
                *lines,
                f"No run in {store.uri} was drawn from what the stamp says; another store may know it.",
            ], False
        run = found
        known = "Edited after it was drawn (or drawn by other versions): its stamp is that of a run, its bytes are not."
    else:
        return [*lines, f"No run in {store.uri} left these bytes, and there is no stamp in them."], False
    chain, gaps = _chain(store, run)
    return [*lines, known, *chain], exact is not None and not gaps


def _by_stamp(store: Store, stamped: Stamp, ending: str) -> Found | None:
    """The newest run of which a drawn file would have this stamp."""
    for run in store.find({"stage": stamped.stage, "plan": stamped.plan}):
        if run.status == "FINISHED" and stamp_of(manifest(store, run)["deps"], run) == stamped.text:
            return run
    return None


def stamp_of(deps: Mapping[str, str], run: Found) -> str:
    """The stamp that the drawn files of a run have, from the deps in its manifest: see `provenance.stamp`."""
    stage, item = run.tags["stage"], tuple(filter(None, [run.tags.get("figure")]))
    return provenance.stamped(stage, item, run.tags["plan"], drawn(deps, stage, item))


def drawn(deps: Mapping[str, str], stage: str, item: tuple[str, ...]) -> dict[str, str]:
    """Of the deps of a drawing stage, the tables (and for the report the figures) that it shows."""
    if stage == "figure":
        needs = figures.module(item[0]).NEEDS
    else:
        needs = (*importlib.import_module(stages()["report"].module).TABLES, "figure/*.png")
    names = (name for name in deps if name.startswith("artifacts/"))
    return {name: deps[name] for name in names if any(fnmatchcase(name.removeprefix("artifacts/"), n) for n in needs)}


def manifest(store: Store, run: Found) -> dict[str, Any]:
    name = f"{run.params[COMMITTED].split()[0]}/manifest.json" if COMMITTED in run.params else "manifest.json"
    with tempfile.TemporaryDirectory() as folder:
        store.download(run.id, name, Path(folder) / "manifest.json")
        return json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))


def _chain(store: Store, run: Found) -> tuple[list[str], bool]:
    """The runs above a run, nearest first, each once, and whether something is missing."""
    lines, seen, waiting, gaps = [], set(), [run], False
    while waiting:
        one = waiting.pop(0)
        if one.id in seen:
            continue
        seen.add(one.id)
        lines += _of_run(one)
        try:
            deps = manifest(store, one)["deps"]
        except MissingInStoreError:
            lines.append("    GAP: this run has no manifest")
            gaps = True
            continue
        left = {name: digest for name, digest in deps.items() if name.startswith("artifacts/")}
        tables = {name: digest for name, digest in left.items() if not name.startswith("artifacts/plan/")}
        if one.tags["stage"] in ("figure", "report"):
            tables = drawn(deps, one.tags["stage"], tuple(filter(None, [one.tags.get("figure")])))
        for name, digest in tables.items():
            above = store.having(digest)
            if above is None:
                lines.append(f"    GAP: no run left {name} with sha256 {digest}")
                gaps = True
            else:
                waiting.append(store.get(above[0]))
    return lines, gaps


def _of_run(run: Found) -> Iterator[str]:
    tags = run.tags
    names = (tags[name] for name in ("figure", "experiment", "baseline", "rule", "set", "seed") if name in tags)
    yield f"  {' '.join((tags.get('stage', '?'), *names))}"
    yield f"    run {run.id}, commit {tags.get('commit')} ({tags.get('tree')})"
    yield f"    params {tags.get('params_digest')}, on {tags.get('device', 'an image')}"
    if tags.get("stage") in data.STAGES:
        try:
            raws = data.raw_files(tags["set"], data.STAGES[tags["stage"]])
        except ValueError as error:
            yield f"    {error}"
            return
        for raw in raws:
            yield f"    publisher: {raw.file} from {raw.source}, {raw.file.expectation()}"
