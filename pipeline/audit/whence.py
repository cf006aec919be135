"""`python -m pipeline whence FILE` says where a figure, a page or a table comes from, wherever the file was found.

It asks MLflow for a run that left these very bytes; a drawn file that was edited is still known by the stamp inside
it. Then it goes up from run to run by sha256, to the files of the data's publishers. Exit status 0: these are the
bytes that a run left, and the chain is whole; 1: they are not, it has gaps, or nothing is known.
"""

import html
import importlib
import io
import re
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from PIL import Image

from pipeline.audit.again import raw_files
from pipeline.audit.runs import manifest
from pipeline.cluster.execute import DRAWN
from pipeline.run import artifacts
from pipeline.run.job import stages
from pipeline.run.params import digest as digest_of
from pipeline.show import figures
from pipeline.track import uploads
from pipeline.track.lineage import left_by_a_run
from pipeline.track.store import Found, MissingInStoreError, Store

PNG = b"\x89PNG\r\n\x1a\n"
STAMP = re.compile(
    r"vsml (?P<stage>\w+)(?:@(?P<item>[\w@.-]+))? plan=(?P<plan>[0-9a-f]{64}) tables=(?P<tables>[0-9a-f]{64})"
)
META = re.compile(r'<meta name="provenance" content="([^"]*)">')
KEYWORDS = re.compile(r"/Keywords \(([^)]*)\)")


def main(file: Path) -> None:
    uploads.flush()
    lines, whole = story(Store(), file)
    print("\n".join(lines))
    if not whole:
        sys.exit(1)


def story(store: Store, file: Path) -> tuple[list[str], bool]:
    """What is known of a file, and whether all of it is proved.

    Raises:
      OSError: the file cannot be read.
    """
    digest, stamp = artifacts.sha256_file(file), read_stamp(file)
    lines = [f"{file}", f"  sha256 {digest}", f"  stamp  {stamp[0] if stamp else 'none'}"]
    waiting, exact = [], store.having(digest)
    if exact is not None:
        waiting.append(store.get(exact[0]))
        lines.append("These are the very bytes that a run left.")
    elif stamp is not None:
        figure = {"figure": stamp["item"]} if stamp["item"] else {}
        for run in store.find({"stage": stamp["stage"], "plan": stamp["plan"], **figure}):  # the newest first
            if run.status == "FINISHED" and digest_of(_inputs(manifest(store, run).deps, run)) == stamp["tables"]:
                waiting.append(run)
                words = "Edited after it was drawn (or drawn by other versions)"
                lines.append(f"{words}: its stamp is that of a run, its bytes are not.")
                break
        else:
            lines.append(f"No run in {store.uri} was drawn from what the stamp says; another store may know it.")
    else:
        lines.append(f"No run in {store.uri} left these bytes, and there is no stamp in them.")

    # The runs above, nearest first, each once.
    seen, whole = set(), exact is not None
    while waiting:
        run = waiting.pop(0)
        if run.id in seen:
            continue
        seen.add(run.id)
        lines += _of_run(run)
        try:
            deps = manifest(store, run).deps
        except MissingInStoreError:
            deps, whole = {}, False
            lines.append("    GAP: this run has no manifest")
        for name, digest in _inputs(deps, run).items():
            if above := store.having(digest):
                waiting.append(store.get(above[0]))
            else:
                whole = False
                lines.append(f"    GAP: no run left {name} with sha256 {digest}")
    return lines, whole


def read_stamp(path: Path) -> re.Match[str] | None:
    """The stamp of a file by its parts, None if it has none that is whole: an item of a stage, and digests of its plan
    and of its tables.

    Raises:
      OSError: the file cannot be read.
    """
    content = path.read_bytes()
    if content.startswith(PNG):
        try:  # the text before the pixels, which need not be whole
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                return STAMP.fullmatch(image.info.get("Provenance", ""))
        except (OSError, ValueError, Image.DecompressionBombError):  # no picture, or one too large
            return None
    pattern, encoding = (KEYWORDS, "latin-1") if content.startswith(b"%PDF") else (META, "utf-8")
    found = pattern.search(content.decode(encoding, errors="replace"))
    return STAMP.fullmatch(html.unescape(found[1])) if found else None


def shown(names: Iterable[str], figure: str | None) -> list[str]:
    """Of what a drawing stage reads, the tables that a figure shows; without one, all that the report does."""
    if figure is not None:
        needs = figures.module(figure).NEEDS
    else:
        needs = (*importlib.import_module(stages()["report"].module).TABLES, "figure/*.png")
    return [name for name in names if any(fnmatchcase(name, f"artifacts/{need}") for need in needs)]


def _inputs(deps: dict[str, str], run: Found) -> dict[str, str]:
    """Of the deps of a run, by sha256, those that another run left; of a drawing stage those that it shows."""
    left = list(filter(left_by_a_run, deps))
    if run.tags["stage"] in DRAWN:
        left = shown(left, run.tags.get("figure"))
    return {name: deps[name] for name in left}


def _of_run(run: Found) -> Iterator[str]:
    tags = run.tags
    names = (tags[name] for name in ("figure", "experiment", "baseline", "rule", "set", "seed") if name in tags)
    yield f"  {' '.join((tags.get('stage', '?'), *names))}"
    yield f"    run {run.id}, commit {tags.get('commit')} ({tags.get('tree')})"
    yield f"    params {tags.get('params_digest')}, on {tags.get('device', 'an image')}"
    try:
        for raw in raw_files(tags.get("stage", ""), tags.get("set", "")):
            yield f"    publisher: {raw.file} from {raw.source}, {raw.file.expectation()}"
    except ValueError as error:
        yield f"    {error}"
