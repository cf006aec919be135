"""`python -m pipeline readme` brings a profile's last results into docs/ and into the pages; `--check` only compares.

The pages are README.md, docs/*.md and pipeline/studies/*/README.md. A block is what stands between two markers:

    <!-- KIND:begin -->              of the default profile, made from docs/results.json or the like (KINDS has all)
    <!-- KIND:PROFILE:begin -->      of another profile, made from docs/PROFILE/
    <!-- claims/STUDY:begin -->      the claims of one study, with the verdicts of all profiles that are evidence for it
    <!-- studies:begin -->           the overview of all studies

and the same with `end`. The default profile owns docs/results.json, docs/claims.json and docs/figures/, another one,
say mnist, docs/mnist/. `python -m pipeline readme bench` brings in what `make bench` measured instead: docs/bench.json
and docs/bench.png. Each of them writes every block of every page anew from docs/, and `--check` compares every block.
Of the figures, docs/ has those that a page shows or links to.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.run import paths
from pipeline.run.artifacts import write_text
from pipeline.show.display import Cell, Table
from pipeline.show.looks import called
from pipeline.show.measures import Entry, Key, Results, parsed
from pipeline.studies import blocks, params
from pipeline.studies.learning import ranking as comparison
from pipeline.studies.learning.measures import FEATURES
from pipeline.studies.learning.tables import PAPER, PAPER_RATES
from pipeline.studies.learning.words import verdicts

USAGE = "Usage: python -m pipeline readme [bench | --check]"
# Kinds of blocks, and the file each is made from; of these, those that the report stage makes.
KINDS = {"results": "results", "features": "results", "claims": "claims", "studies": "claims", "speeds": "bench"}
KINDS |= dict.fromkeys(blocks.OF_RESULTS, "results")
REPORTED = ("results", "claims")
NOT_MADE = "run `dvc repro` first, in the folder of the profile"


class Block(NamedTuple):
    kind: str
    study: str = ""
    profile: str = ""  # the default one


def markers(profile: str, kind: str = "results", study: str = "") -> tuple[str, str]:
    """What stands before and after a block of a profile; those of the default one, which is "", have no name."""
    name = kind + (f"/{study}" if study else "") + (f":{profile}" if profile else "")
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def pages(root: Path) -> list[Path]:
    """All pages that may have blocks."""
    _must_exist(root / "README.md", "it is the page that the results go into")
    return [root / "README.md", *sorted(root.glob("docs/*.md")), *sorted(root.glob("pipeline/studies/*/README.md"))]


def pictures(root: Path) -> set[Path]:
    """The PNGs that a page shows or links to, by paths from the root or from the page's folder."""
    names = {(page, name) for page in pages(root) for name in re.findall(r"[\w./-]+\.png", page.read_text())}
    return {(base / name).resolve() for page, name in names for base in (root, page.parent)}


def main(words: list[str], root: Path = paths.ROOT) -> None:
    """Refresh what the profile of this folder owns and all blocks, or with --check exit with 1 if a block is not so."""
    if words not in ([], ["bench"], ["--check"]):
        sys.exit(f"{USAGE}, got {words}.")
    if not words:
        _bring_results(root)
    if words == ["bench"]:
        _bring_speeds(root)
    found = {page: _blocks(page) for page in pages(root)}
    if not any(found.values()):
        sys.exit(f"No page of {root} has a block: put {' and '.join(markers(''))} where the results go.")
    for page, every in found.items():
        text = page.read_text()
        for one in every:
            new = _with_block(page, text, one, _made(root, one))
            if words == ["--check"] and text != new:
                stored = _docs(root, one.profile) / f"{KINDS[one.kind]}.json"
                sys.exit(
                    f"The block after {_marks(one)[0]} of {page} is not what {stored} says: "
                    "leave it as `python -m pipeline readme` wrote it, or run that again after `dvc repro` (of speeds: "
                    "`python -m pipeline readme bench`, after `make bench`)."
                )
            text = new
        if text != page.read_text():
            write_text(page, text)


def _bring_results(root: Path) -> None:
    settings = params.read()
    docs = _docs(root, "" if settings.root == "." else Path.cwd().name)
    for name in REPORTED:
        _copy(paths.report(f"{name}.json"), docs / f"{name}.json", NOT_MADE)
    shown = pictures(root)
    for name in settings.items.drawn:
        if (target := docs / "figures" / f"{name}.png").resolve() in shown:
            _copy(paths.figure(name), target, NOT_MADE)


def _bring_speeds(root: Path) -> None:
    for name in ("bench.json", "bench.png"):
        source = paths.ARTIFACTS / "bench" / name
        _copy(source, _docs(root, "") / name, "run `make bench` first, and this in the folder where it was run")


def block(results: Results) -> str:
    """The results as a markdown table, a row for each set and moment, and the verdicts in words."""
    learners = {key.learner for key in results if key.metric == "cumulative"}
    rates = [name + PAPER for name in PAPER_RATES if name + PAPER in learners]
    rows: list[list[Cell | str | None]] = []
    for task in comparison.tasks(results):
        head: str | None = f"{comparison.title(task)} ({comparison.kinship(results, task)})"
        for moment in comparison.moments(results):
            families = comparison.best(results, task, moment)
            if not families:  # episodes are shorter
                continue
            ahead = comparison.winners(families)
            cells = [_cell(families.get(family), family in ahead) for family in comparison.FAMILIES]
            cells += [_cell(comparison.accuracy(results, task, name, moment), False) for name in rates]
            rows.append([head, f"{moment or comparison.length(results, task):,}", *cells])
            head = None
    families = comparison.best(results, comparison.tasks(results)[0], None)
    counts = ", ".join(f"{entry['n']} for {family}" for family, entry in families.items())
    words = (
        f"Cumulative accuracy after so many examples, mean ± standard deviation over lives (n = {counts}; those of "
        "VSML are the lives of all seeds). Best SGD and best Adam: the better of a linear model and one with a hidden "
        "layer, at the best learning rate of a grid, chosen in hindsight for each set and moment, which flatters them. "
        "Bold: the highest of VSML and those two."
    )
    heads = ("Data set", "examples", "VSML", "best SGD", "best Adam", *map(called, rates))
    return "\n\n".join([Table(heads, rows).markdown(), words, *verdicts(results)])


def features(results: Results) -> str:
    """The shipped rules with and without random features, beside SGD and Adam: a row for each set and moment.

    In brackets, by how much a rule is ahead of SGD and Adam without random features, ± the standard error.
    """
    learners = {key.learner for key in results if key.metric == "cumulative"}
    widened = sorted(one for one in learners if one.startswith("zoo_") and one.endswith(FEATURES))
    members_of: dict[str, tuple[str, ...]] = {}
    for learner in widened:
        alone = learner.removesuffix(FEATURES)
        rule = f"rule `{alone.removeprefix('zoo_')}`"
        members_of |= {rule: (alone,), f"{rule}, random features": (learner,)}
    members_of["SGD or Adam"] = tuple(name for of in ("SGD", "Adam") for name in comparison.FAMILIES[of])
    members_of["SGD or Adam, random features"] = tuple(name + FEATURES for name in ("sgd", "adam"))
    rows: list[list[Cell | str | None]] = []
    for task in comparison.tasks(results):
        head: str | None = comparison.title(task)
        for moment in comparison.moments(results):
            families = comparison.best(results, task, moment, members_of)
            if not families:  # episodes are shorter
                continue
            ahead, cells = comparison.winners(families), []
            examples = moment or comparison.length(results, task)
            for family, (first, *_) in members_of.items():
                cell, lead = (
                    _cell(families.get(family), family in ahead, 3),
                    results.get(Key(task, first, "lead", examples)),
                )
                cells.append(cell._replace(after=_lead(lead)))
            rows.append([head, f"{examples:,}", *cells])
            head = None
    return Table(("Data set", "examples", *members_of), rows).markdown()


def speeds(bench: dict) -> str:
    """What `make bench` measured: a row for each case, and what it was measured on."""
    heads = ["network, episodes", "forward", "gradient", "ns a tick: forward, gradient", "gradient to forward", "plain"]
    rows = []
    for race in bench["races"]:
        faster, ns, ratio = race["speed_up"], race["ns_per_tick"], race["gradient_to_forward"]
        taken = ", ".join(f"{ns[f'ours {what}'][1]:.0f}" for what in ("forward", "gradient"))
        cells = [_quartiles(faster["forward"]), _quartiles(faster["gradient"]), taken]
        rows.append([race["case"], *cells, *(_quartiles(ratio[form]) for form in ("ours", "plain"))])
    machine = bench["machine"]
    memory = (
        f"{row['working_bytes'] / 2**20:.1f} MiB for a population of {row['population']:,} "
        f"({row['meta_steps_per_s']:.2g} meta-steps a second)"
        for row in bench["evolution"]
    )
    words = (
        f"Times as fast as the plain form, median [quartiles], on {machine['cores']} cores of {machine['cpu']} with "
        f"JAX {machine['jax']}; the load of the machine was {machine['load_at_start'][0]:.1f} when it began. At once: "
        "episodes that live at the same time on each core. The last two columns: how long a gradient takes beside "
        "forward alone, ours and in the plain form. Working memory of a meta-step of evolution strategies: "
        f"{', '.join(memory)}."
    )
    return "\n\n".join([Table(heads, rows).markdown(), words])


def _quartiles(values: list[float]) -> str:
    low, median, high = values
    return f"{median:.1f} [{low:.1f}, {high:.1f}]"


def _lead(entry: Entry | None) -> str:
    if entry is None or entry["sd"] is None:  # no rival had the task, or one episode has no standard error
        return ""
    return f" ({entry['value']:+.3f} ± {entry['sd'] / entry['n'] ** 0.5:.3f})"


def _cell(entry: Entry | None, bold: bool, digits: int = 2) -> Cell:
    return Cell(comparison.plus_minus(entry, digits=digits) if entry else "-", mark="best" if bold else "")


def _blocks(page: Path) -> list[Block]:
    """The blocks of a page, in its order. One of an unknown kind or study is refused, as nothing would refresh it."""
    found = re.findall(r"<!-- (\w+)(?:/(\w+))?(?::(\w+))?:(?:begin|end) -->", page.read_text())
    every = [Block(*one) for one in dict.fromkeys(found)]
    for one in every:
        studies = blocks.STUDIES if one.kind == "claims" else ("",)
        of_all = KINDS.get(one.kind) == "claims"  # made from the claims of several profiles, so of none
        if one.kind not in KINDS or one.study not in studies or (of_all and one.profile):
            known = f"kinds are {sorted(KINDS)}, and claims are of a study, claims/STUDY, of {sorted(blocks.STUDIES)}"
            sys.exit(f"{page}: {_marks(one)[0]} begins no block that is known: {known}.")
    return every


def _marks(one: Block) -> tuple[str, str]:
    return markers(one.profile, one.kind, one.study)


def _docs(root: Path, profile: str) -> Path:
    return root / "docs" / profile


def _with_block(page: Path, text: str, one: Block, made: str) -> str:
    """`text`, which is that of a page, with `made` as a block."""
    begin, end = _marks(one)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        sys.exit(f"{page} must have one line {begin} and after it one line {end}: put them where the results go.")
    return text[: text.index(begin) + len(begin)] + f"\n{made}\n" + text[text.index(end) :]


def _made(root: Path, one: Block) -> str:
    """What a block must say."""
    if one.kind == "studies":
        return blocks.studies(_judgements(root, blocks.STUDIES))
    if one.study:
        return blocks.claims(_judgements(root, [one.study]), one.study)
    made = _stored(root, KINDS[one.kind], one.profile)
    writers = {
        "results": block,
        "features": features,
        **blocks.OF_RESULTS,
    }
    return speeds(made) if one.kind == "speeds" else writers[one.kind](parsed(made))


def _judgements(root: Path, studies: Iterable[str]) -> dict[str, list]:
    """By profile, the claims as judged in each that is evidence for one of the studies."""
    profiles = dict.fromkeys(profile for study in studies for profile in blocks.STUDIES[study].profiles)
    return {profile: _stored(root, "claims", profile)["claims"] for profile in profiles}


def _stored(root: Path, name: str, profile: str) -> dict:
    stored = _docs(root, profile) / f"{name}.json"
    _must_exist(stored, "run `python -m pipeline readme` without --check first, in the folder of its profile")
    return json.loads(stored.read_text())


def _copy(source: Path, target: Path, remedy: str) -> None:
    _must_exist(source, remedy)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _must_exist(path: Path, remedy: str) -> None:
    if not path.exists():
        sys.exit(f"{path} is missing: {remedy}.")
