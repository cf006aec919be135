"""Figures and report drawn again from their tables, in a folder of their own, and compared byte for byte."""

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.audit.findings import BROKEN, UNPROVEN, Finding
from pipeline.audit.lock import Entry
from pipeline.run import paths
from pipeline.show.style import pixels

DRAWN = ("figure", "report")


def check(entry: Entry) -> list[Finding]:
    """Run the stage itself on the tables that are there, and hold what it leaves against what is there."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _lay_out(here, folder, entry)
        try:
            with contextlib.chdir(folder):
                importlib.import_module(stages()[entry.stage].module).main(list(entry.item.words))
        except (OSError, ValueError, KeyError, IndexError) as error:
            words = (
                f"{entry.name}: drawn again",
                "outs from its tables",
                f"{type(error).__name__}: {error}",
                "dvc repro",
            )
            return [Finding(UNPROVEN, *words, items=(entry.name,))]
        return [one._replace(items=(entry.name,)) for path in entry.item.outs for one in _compared(here, folder, path)]


def _compared(here: Path, folder: Path, path: str) -> Iterator[Finding]:
    if not (here / path).is_file():
        return  # which the check of dvc.lock says
    again, there = (folder / path).read_bytes(), (here / path).read_bytes()
    if again != there:
        remedy = "dvc repro; if it says that nothing has changed, dvc repro --force --single-item"
        yield Finding(BROKEN, path, "what is drawn from its tables", _difference(folder / path, here / path), remedy)


def _difference(again: Path, there: Path) -> str:
    if there.suffix != ".png":
        return "other bytes than that"
    try:
        first, second = pixels(again), pixels(there)
    except (OSError, ValueError, SyntaxError) as error:
        return f"no PNG that can be read ({error})"
    if first.shape != second.shape:
        return f"another size: {second.shape[1]} x {second.shape[0]}, not {first.shape[1]} x {first.shape[0]}"
    other = int((first != second).any(-1).sum())
    total = first.shape[0] * first.shape[1]
    return f"{other:,} of {total:,} pixels differ" if other else "the same pixels, but other bytes around them"


def _lay_out(here: Path, folder: Path, entry: Entry) -> None:
    """A profile with everything of this one but what the entry leaves."""
    for name in ("params.yaml", "dvc.yaml"):
        (folder / name).symlink_to(here / name)
    (folder / paths.ARTIFACTS).mkdir()
    for stage in (here / paths.ARTIFACTS).iterdir():
        if stage.name != entry.stage and stage.is_dir():
            (folder / paths.ARTIFACTS / stage.name).symlink_to(stage)
