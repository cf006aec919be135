"""Figures and report drawn again from their tables, in a folder of their own, and compared byte for byte."""

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.audit.findings import REPRO, UNPROVEN, Finding
from pipeline.audit.lock import Entry
from pipeline.run import paths
from pipeline.run.job import stages
from pipeline.show.style import pixels

DRAWN = ("figure", "report")


def check(entry: Entry) -> Iterator[Finding]:
    """Run the stage itself on the tables that are there, and hold what it leaves against what is there."""
    with tempfile.TemporaryDirectory() as temporary:
        # A profile with everything of this one but what the stage leaves.
        folder = Path(temporary)
        (folder / paths.ARTIFACTS).mkdir()
        left = (path for path in paths.ARTIFACTS.iterdir() if path.is_dir() and path.name != entry.item.stage)
        for path in (paths.PARAMS, Path("dvc.yaml"), *left):
            (folder / path).symlink_to(path.absolute())
        try:
            with contextlib.chdir(folder):
                importlib.import_module(stages()[entry.item.stage].module).main(list(entry.item.words))
        except (OSError, ValueError, KeyError, IndexError) as error:
            words = ("outs from its tables", f"{type(error).__name__}: {error}", REPRO, UNPROVEN)
            yield Finding(f"{entry.item.name}: drawn again", *words)
            return
        for name in entry.outs:  # that one of them is lost, the check of dvc.lock says
            if (folder / name).read_bytes() != Path(name).read_bytes():
                remedy = f"{REPRO}; if it says that nothing has changed, dvc repro --force --single-item"
                yield Finding(name, "what is drawn from its tables", _difference(folder / name, Path(name)), remedy)


def _difference(again: Path, there: Path) -> str:
    if there.suffix != ".png":
        return "other bytes than that"
    try:
        first, second = pixels(again), pixels(there)
    except (OSError, ValueError, SyntaxError) as error:
        return f"no PNG that can be read ({error})"
    if first.shape != second.shape:
        return f"another size: {second.shape[1]} x {second.shape[0]}, not {first.shape[1]} x {first.shape[0]}"
    other, total = int((first != second).any(-1).sum()), first.shape[0] * first.shape[1]
    return f"{other:,} of {total:,} pixels differ" if other else "the same pixels, but other bytes around them"
