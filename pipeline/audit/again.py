"""What can be made again is, and held against what is there: data sets from the publishers' files, and what is drawn.

Raw files are those of datasets.lock by sha256. Figures and report are drawn in a folder of their own.
"""

import contextlib
import importlib.metadata
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.audit.findings import NOTED, REPRO, UNPROVEN, Finding
from pipeline.audit.lock import Entry
from pipeline.data import download, locked, sources
from pipeline.run import artifacts, paths
from pipeline.run.job import stages
from pipeline.show.style import pixels

PARSED = {"train_data": "train", "test_data": "test"}  # stages, and the split that each parses


class Raw(NamedTuple):
    """A publisher's file: as datasets.lock has it, and where it is here, if it is."""

    file: download.File
    source: str  # a URL, or the wheel
    here: Path | None


def raw_files(stage: str, name: str) -> list[Raw]:
    """The files that a stage parses a set from, none for a stage that parses none; where others may stand in for them
    and are here, those.

    Raises:
      ValueError: datasets.lock has no such set or split, or is not as it must be.
    """
    if (split := PARSED.get(stage)) is None:
        return []
    known = locked.sets().get(name)
    if known is None or split not in known.splits:
        raise ValueError(f"{paths.DATASETS_LOCK.name} has no {split!r} split of {name!r}.")

    def raw(file_name: str) -> Raw:
        file = download.File(known.folder or name, file_name, **known.files[file_name].model_dump())
        source = file.urls[0] if file.urls else "no URL of its own"
        places = [paths.DOWNLOADS / str(file), *download.in_mirrors(file)]
        if file.wheel:
            wheel = importlib.metadata.distribution("scikit-learn")
            source, places = f"the wheel of scikit-learn {wheel.version}", [Path(str(wheel.locate_file(file.wheel)))]
        return Raw(file, source, next((path for path in places if path.is_file()), None))

    stand_ins = [raw(file) for file in known.instead.get(split, ())]
    here = stand_ins and all(one.here for one in stand_ins)
    return stand_ins if here else [raw(file) for file in known.splits[split]]


def check_parsed(entry: Entry) -> Iterator[Finding]:
    """The raw files of a data set, and what the parsers make of them now against the table on disk."""
    item = entry.item
    (name,), (out,) = item.words, item.outs
    try:
        raws = raw_files(item.stage, name)
    except ValueError as error:
        yield Finding(f"datasets.lock: {name}", "an entry", str(error), "git checkout datasets.lock")
        return
    damaged = [(raw, fault) for raw in raws if raw.here and (fault := download.fault(raw.here, raw.file)) is not None]
    for raw, fault in damaged:
        remedy = f"rm {raw.here} && dvc repro --force --single-item {item.name}"
        if raw.file.wheel:
            remedy = "pip install --require-hashes --force-reinstall -r requirements.lock"
        yield Finding(str(raw.here), f"{raw.file.expectation()} (datasets.lock)", fault, remedy)
    if gone := [str(raw.file) for raw in raws if raw.here is None]:
        words = ("the publisher's file", "not kept here: its checksum was checked when it came, and not again")
        yield Finding(", ".join(gone), *words, f"set {download.MIRROR} to a folder that has it", NOTED)
    if gone or damaged or out not in entry.outs:
        return
    x, y = sources.read(name, PARSED[item.stage])
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.npz"
        artifacts.write_table(again, {"x": x, "y": y}, sources.AXES)
        expected, found = artifacts.sha256_file(again), entry.outs[out].sha256
    if expected != found:
        yield Finding(out, f"sha256 {expected} (parsed from {raws[0].source})", f"sha256 {found}")


def check_drawn(entry: Entry) -> Iterator[Finding]:
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
