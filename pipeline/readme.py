"""`python -m pipeline readme` brings a profile's last results into docs/ and README.md; `--check` only compares.

The default profile owns docs/results.json, docs/claims.json, docs/figures/ and the blocks between the plain markers, of
which that of results must be there; another profile, say mnist, owns docs/mnist/ and, if README.md has its markers, the
blocks between those. `python -m pipeline readme bench` brings in what `make bench` measured instead: docs/bench.json,
docs/bench.png and the block of speeds. `--check` checks every block.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from pipeline import claims, comparison, generality, params, paths, shipped
from pipeline.artifacts import write_text
from pipeline.display import Cell, Table
from pipeline.looks import called
from pipeline.results import Entry, Key, Results, parsed
from pipeline.tables import PAPER, PAPER_RATES

USAGE = "Usage: python -m pipeline readme [bench | --check]"
# Kinds of blocks, and the file each is made from; of these, those that the report stage makes.
KINDS = {"results": "results", "features": "results", "claims": "claims", "speeds": "bench"}
REPORTED = ("results", "claims")
NOT_MADE = "run `dvc repro` first, in the folder of the profile"


def markers(profile: str, kind: str = "results") -> tuple[str, str]:
    """What stands before and after a block of a profile; those of the default one, which is "", have no name."""
    name = f"{kind}:{profile}" if profile else kind
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def main(words: list[str], root: Path = paths.ROOT) -> None:
    """Refresh what the profile of this folder owns, or with --check exit with 1 if a block is not what docs/ says."""
    if words not in ([], ["bench"], ["--check"]):
        sys.exit(f"{USAGE}, got {words}.")
    readme = root / "README.md"
    if words != ["--check"]:
        (_refresh_speeds if words else _refresh)(readme)
        return
    text = _read(readme)
    for kind, profile in _blocks(text):
        stored = _docs(root, profile) / f"{KINDS[kind]}.json"
        if text != _with_block(text, kind, profile, stored):
            sys.exit(
                f"The block after {markers(profile, kind)[0]} of {readme} is not what {stored} says: "
                "leave it as `python -m pipeline readme` wrote it, or run that again after `dvc repro` (of speeds: "
                "`python -m pipeline readme bench`, after `make bench`)."
            )


def _refresh(readme: Path) -> None:
    settings = params.read()
    profile = "" if settings.root == "." else Path.cwd().name
    docs = _docs(readme.parent, profile)
    for name in REPORTED:
        _copy(paths.report(f"{name}.json"), docs / f"{name}.json", NOT_MADE)
    for name in settings.items.figures:
        _copy(paths.figure(name), docs / "figures" / f"{name}.png", NOT_MADE)
    text = _read(readme)
    for kind, owner in _blocks(text):
        if owner == profile and KINDS[kind] in REPORTED:
            text = _with_block(text, kind, profile, docs / f"{KINDS[kind]}.json")
    if text != _read(readme):
        write_text(readme, text)


def _refresh_speeds(readme: Path) -> None:
    measured, docs = paths.ARTIFACTS / "bench", _docs(readme.parent, "")
    for name in ("bench.json", "bench.png"):
        _copy(measured / name, docs / name, "run `make bench` first, and this in the folder where it was run")
    write_text(readme, _with_block(_read(readme), "speeds", "", docs / "bench.json"))


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
    return "\n\n".join([Table(heads, rows).markdown(), words, *generality.verdicts(results)])


def features(results: Results) -> str:
    """The shipped rules with and without random features, beside SGD and Adam: a row for each set and moment.

    In brackets, by how much a rule is ahead of SGD and Adam without random features, ± the standard error.
    """
    learners = {key.learner for key in results if key.metric == "cumulative"}
    widened = sorted(one for one in learners if one.startswith("zoo_") and one.endswith(shipped.FEATURES))
    members_of: dict[str, tuple[str, ...]] = {}
    for learner in widened:
        alone = learner.removesuffix(shipped.FEATURES)
        rule = f"rule `{alone.removeprefix('zoo_')}`"
        members_of |= {rule: (alone,), f"{rule}, random features": (learner,)}
    members_of["SGD or Adam"] = tuple(name for of in ("SGD", "Adam") for name in comparison.FAMILIES[of])
    members_of["SGD or Adam, random features"] = tuple(name + shipped.FEATURES for name in ("sgd", "adam"))
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
    if entry is None or entry["sd"] is None:  # no rival had the task, or one life has no standard error
        return ""
    return f" ({entry['value']:+.3f} ± {entry['sd'] / entry['n'] ** 0.5:.3f})"


def _cell(entry: Entry | None, bold: bool, digits: int = 2) -> Cell:
    return Cell(comparison.plus_minus(entry, digits=digits) if entry else "-", mark="best" if bold else "")


def _blocks(text: str) -> list[tuple[str, str]]:
    """Kind and profile of each block: the results of the default profile, and all others that have a marker."""
    others = re.findall(rf"<!-- ({'|'.join(KINDS)})(?::(\w+))?:(?:begin|end) -->", text)
    return list(dict.fromkeys([("results", ""), *sorted(others)]))


def _docs(root: Path, profile: str) -> Path:
    return root / "docs" / profile


def _with_block(text: str, kind: str, profile: str, stored: Path) -> str:
    """`text` with a block of a profile as `stored` says."""
    _must_exist(stored, "run `python -m pipeline readme` without --check first, in the folder of its profile")
    begin, end = markers(profile, kind)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        sys.exit(f"README.md must have one line {begin} and after it one line {end}: put them where the results go.")
    made = json.loads(stored.read_text())
    writers = {
        "results": lambda found: block(parsed(found)),
        "features": lambda found: features(parsed(found)),
        "claims": lambda found: claims.block(found["claims"]),
        "speeds": speeds,
    }
    new = writers[kind](made)
    return text[: text.index(begin) + len(begin)] + f"\n{new}\n" + text[text.index(end) :]


def _read(readme: Path) -> str:
    _must_exist(readme, "it is the page that the results go into")
    return readme.read_text()


def _copy(source: Path, target: Path, remedy: str) -> None:
    _must_exist(source, remedy)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _must_exist(path: Path, remedy: str) -> None:
    if not path.exists():
        sys.exit(f"{path} is missing: {remedy}.")
