"""`python -m pipeline readme` brings a profile's last results into docs/ and into the pages; --check only compares.

The pages are README.md, docs/*.md and pipeline/studies/*/README.md. A block is what stands between two markers:

    <!-- NAME:begin -->              of the default profile, made from docs/results.json or the like (BLOCKS has all)
    <!-- NAME:PROFILE:begin -->      of another profile, made from docs/PROFILE/
    <!-- claims:begin -->            all claims, with the verdicts of all profiles that are evidence for them
    <!-- claims/STUDY:begin -->      those of one study
    <!-- studies:begin -->           the overview of all studies

and the same with `end`. The default profile owns docs/results.json, docs/claims.json and docs/figures/, another one,
say mnist, docs/mnist/. `python -m pipeline readme bench` brings in what `make bench` measured instead: docs/bench.json
and docs/bench.png. Each of them writes every block of every page anew from docs/. `--check` compares every block, and
holds docs/ and every dvc.lock against the code and params of now. Of the figures, docs/ has those that a page shows or
links to. Below each that a page shows stands its caption, in italics, as in the report.
"""

import functools
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline.run import paths
from pipeline.run.artifacts import write_json, write_text
from pipeline.show import figures
from pipeline.show.measures import parsed
from pipeline.studies import blocks, params, published
from pipeline.studies.blocks import BLOCKS, STUDIES, Block
from pipeline.studies.learning import ranking
from pipeline.studies.learning.number_of_tasks import number_of_tasks
from pipeline.studies.learning.tables import RULE, Profile
from pipeline.studies.learning.variants import variants
from pipeline.studies.report import _words as words_of
from pipeline.studies.speeds import users

# Here, since the report imports blocks.py: blocks of tables that it does not have, and profiles that are evidence too.
BLOCKS.update(variants=Block("results", (), variants), tasks=Block("results", (), number_of_tasks))
BLOCKS["users"] = Block("bench", (), users)
for study, profile in (("learning", "full"), ("cloning", "clones")):
    STUDIES[study] = (STUDIES[study][0], (*STUDIES[study][1], profile))
    blocks.PROFILES += (profile,)
BLOCKS.update({name: one._replace(profiles=blocks.PROFILES) for name, one in BLOCKS.items() if one.source == "claims"})
MARKER = r"<!-- ([\w/:]+):(?:begin|end) -->"
# A figure in docs/, with its profile and name; then its caption, if it has one already.
SHOWN = re.compile(r"(!\[[^]]*\]\(\S*docs/(?:(\w+)/)?figures/(\w+)\.png\)\n\n)(?:\*[^*\n]+\*\n\n)?")
NOT_MADE = "run `dvc repro` first, in the folder of the profile"


def markers(name: str) -> tuple[str, str]:
    """What stands before and after a block."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def pages(root: Path) -> list[Path]:
    """All pages that may have blocks."""
    _must_exist(root / "README.md", "it is the page that the results go into")
    return [root / "README.md", *sorted(root.glob("docs/*.md")), *sorted(root.glob("pipeline/studies/*/README.md"))]


def pictures(root: Path) -> set[Path]:
    """The PNGs that a page shows or links to, by paths from the root or from the page's folder."""
    names = {(page, name) for page in pages(root) for name in re.findall(r"[\w./-]+\.png", page.read_text())}
    return {(base / name).resolve() for page, name in names for base in (root, page.parent)}


def main(what: str | None = None, check: bool = False) -> None:
    """Refresh what the profile of this folder owns and all blocks; `check`: exit with 1 if anything is not so.

    what: "bench" for what `make bench` measured, instead of the profile's.
    """
    refresh(paths.ROOT, what, check)
    if check and (found := published.problems(paths.ROOT)):
        sys.exit("\n".join(found))


def refresh(root: Path, what: str | None = None, check: bool = False) -> None:
    """Of the pages of a repository; `check`: exit with 1 if a block is not that of docs/."""
    if what is None and not check:
        _bring_results(root)
    for name in ("bench.json", "bench.png") if what == "bench" else ():
        remedy = "run `make bench` first, and this in the folder where it was run"
        _copy(paths.ARTIFACTS / "bench" / name, root / "docs" / name, remedy)
    every = {page: page.read_text() for page in pages(root)}
    fresh = {page: _filled(page, text, root, check) for page, text in every.items()}
    if not any(re.search(MARKER, text) for text in every.values()):
        sys.exit(f"No page of {root} has a block: put {' and '.join(markers('results'))} where the results go.")
    for page, text in fresh.items():
        if text != every[page]:
            write_text(page, text)


def _filled(page: Path, text: str, root: Path, check: bool) -> str:
    """The text of a page with all of its blocks anew; `check`: exit if one is not so already."""
    for name in dict.fromkeys(re.findall(MARKER, text)):
        begin, end = markers(name)
        kind, _, profile = name.partition(":")
        if kind not in BLOCKS or (profile and BLOCKS[kind].profiles):
            sys.exit(
                f"{page}: {begin} begins no block that is known: kinds are {sorted(BLOCKS)}, and those of claims "
                f"(studies, claims/STUDY of {sorted(STUDIES)}) are of no profile."
            )
        stored = [root / "docs" / one / f"{BLOCKS[kind].source}.json" for one in BLOCKS[kind].profiles or (profile,)]
        for path in stored:
            _must_exist(path, "run `python -m pipeline readme` without --check first, in the folder of its profile")
        made = blocks.text(kind, *(json.loads(path.read_text()) for path in stored))
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            sys.exit(f"{page} must have one line {begin} and after it one line {end}: put them where the results go.")
        new = f"{text[: text.index(begin)]}{begin}\n{made}\n{text[text.index(end) :]}"
        if check and text != new:
            sys.exit(
                f"The block after {begin} of {page} is not that of {' and '.join(map(str, stored))}: leave it as "
                "`python -m pipeline readme` wrote it, or run that again after `dvc repro` (of speeds: "
                "`python -m pipeline readme bench`, after `make bench`)."
            )
        text = new
    new = SHOWN.sub(lambda shown: f"{shown[1]}*{_caption(root, *shown.groups()[1:])}*\n\n", text)
    if check and text != new:
        sys.exit(f"A caption of {page} is not that of its figure: leave it as `python -m pipeline readme` wrote it.")
    return new


def _caption(root: Path, profile: str | None, figure: str) -> str:
    """That of a figure in docs/, with what the profile's params and published results say."""
    return " ".join(figures.module(figure).CAPTION.format(**_words(root, profile)).split())


@functools.cache
def _words(root: Path, profile: str | None) -> dict[str, Any]:
    """What captions say of a profile."""
    own = params.read(paths.ROOT / (f"profiles/{profile}" if profile else "") / "params.yaml")
    found = parsed(json.loads((root / "docs" / (profile or "") / "results.json").read_text()))
    trained_on = " and ".join(map(ranking.title, Profile.of(own).trained_on.get(RULE, ())))
    shipped = [key.learner.removeprefix("zoo_") for key in found if key.learner.startswith("zoo_")]
    return words_of(own, found, {}) | {"trained_on": trained_on, "shipped": next(iter(shipped), "")}


def _bring_results(root: Path) -> None:
    settings = params.read()
    docs = root / "docs" / ("" if settings.root == "." else Path.cwd().name)
    for name in ("results.json", "claims.json"):
        _copy(paths.report(name), docs / name, NOT_MADE)
    if taken := json.loads(paths.SECONDS.read_text()).get(paths.profile()) if paths.SECONDS.exists() else None:
        write_json(docs / "seconds.json", taken)  # how long each item took, for whoever makes it the first time
    shown = pictures(root)
    for name in settings.items.drawn:
        if (target := docs / "figures" / f"{name}.png").resolve() in shown:
            _copy(paths.figure(name), target, NOT_MADE)


def _copy(source: Path, target: Path, remedy: str) -> None:
    _must_exist(source, remedy)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _must_exist(path: Path, remedy: str) -> None:
    if not path.exists():
        sys.exit(f"{path} is missing: {remedy}.")
