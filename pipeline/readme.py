"""`python -m pipeline readme` brings the last results into docs/ and README.md; `--check` only compares."""

import json
import shutil
import sys
from pathlib import Path

from pipeline import comparison, params, paths
from pipeline.artifacts import write_text
from pipeline.results import HORIZONS, Results

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
USAGE = "Usage: python -m pipeline readme [--check]"


def main(words: list[str], root: Path = paths.ROOT) -> None:
    """Refresh, or with --check exit with 1 if README.md is not what docs/results.json says."""
    readme, stored = root / "README.md", root / "docs" / "results.json"
    if words not in ([], ["--check"]):
        sys.exit(f"{USAGE}, got {words}.")
    if not words:
        _copy(paths.report("results.json"), stored)
        for name in params.read().items.figures:
            _copy(paths.figure(name), root / "docs" / "figures" / f"{name}.png")
    _must_exist(stored, "run `python -m pipeline readme` without --check first")
    _must_exist(readme, "it is the page that the results go into")
    text = readme.read_text()
    wanted = _with_block(text, block(json.loads(stored.read_text())))
    if not words:
        write_text(readme, wanted)
    elif text != wanted:
        sys.exit(
            f"The results block of {readme} is not what {stored} says: "
            "leave it as `python -m pipeline readme` wrote it, or run that again after `dvc repro`."
        )


def block(results: Results) -> str:
    """The results as a markdown table and the verdict in words."""
    moments = (HORIZONS[-1], None)
    heads = ["Data set"]
    for when in (f"@ {HORIZONS[-1]}", "@ end"):
        heads += [f"VSML {when}", f"best SGD {when}", f"best Adam {when}"]
    lines = [_line([*heads, "end"]), _line([":--", *["--:"] * len(heads)])]
    for name in comparison.datasets(results):
        cells = [f"{comparison.title(name)} ({comparison.kinship(name)})"]
        for moment in moments:
            families = comparison.best(results, name, moment)
            ahead = comparison.winners(families)
            for family in comparison.FAMILIES:
                words = comparison.plus_minus(families[family]) if family in families else "-"
                cells.append(f"**{words}**" if family in ahead else words)
        lines.append(_line([*cells, str(comparison.length(results, name))]))
    counts = {family: entry["n"] for family, entry in comparison.best(results, "digits", None).items()}
    words = (
        f"Cumulative accuracy after {HORIZONS[-1]} examples and at the end of the life, mean ± standard deviation over "
        f"lives (n = {counts['VSML']} for VSML, the lives of all seeds; n = {counts['SGD']} for SGD and Adam). SGD and "
        "Adam: the better of a linear model and one with a hidden layer, at the best learning rate of a grid, chosen "
        "in hindsight for each set and moment, which flatters them."
    )
    verdicts = (comparison.verdict(results), comparison.verdict_at_paper_rates(results))
    return "\n".join([*lines, "", words, *(line for verdict in verdicts if verdict for line in ("", verdict))])


def _with_block(text: str, new: str) -> str:
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"README.md must have one line {BEGIN} and after it one line {END}: put them where the results go.")
    return text[: text.index(BEGIN) + len(BEGIN)] + f"\n{new}\n" + text[text.index(END) :]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _copy(source: Path, target: Path) -> None:
    _must_exist(source, "run `dvc repro` first, in the folder of the profile")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _must_exist(path: Path, remedy: str) -> None:
    if not path.exists():
        sys.exit(f"{path} is missing: {remedy}.")
