"""Data sets up to their publishers: raw files of datasets.lock by sha256, and the tables parsed from them again."""

import importlib.metadata
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.audit.findings import NOTED, Finding
from pipeline.audit.lock import Entry
from pipeline.data import download, sources
from pipeline.run import artifacts, paths

STAGES = {"train_data": "train", "test_data": "test"}


class Raw(NamedTuple):
    """A publisher's file: as datasets.lock has it, and where it is here, if it is."""

    file: download.File
    source: str  # a URL, or the wheel
    here: Path | None


def raw_files(stage: str, name: str) -> list[Raw]:
    """The files that a stage parses a set from, none for a stage that parses none; where others may stand in for them
    and are here, those.

    Raises:
      ValueError: datasets.lock has no such set or split.
    """
    if (split := STAGES.get(stage)) is None:
        return []
    known = json.loads(paths.DATASETS_LOCK.read_text(encoding="utf-8")).get(name)
    if known is None or split not in known["splits"]:
        raise ValueError(f"{paths.DATASETS_LOCK.name} has no {split!r} split of {name!r}.")

    def raw(file_name: str) -> Raw:
        file = download.File(known.get("folder", name), file_name, **known["files"][file_name])
        source = file.urls[0] if file.urls else "no URL of its own"
        places = [paths.DOWNLOADS / str(file), *download.in_mirrors(file)]
        if file.wheel:
            wheel = importlib.metadata.distribution("scikit-learn")
            source, places = f"the wheel of scikit-learn {wheel.version}", [Path(str(wheel.locate_file(file.wheel)))]
        return Raw(file, source, next((path for path in places if path.is_file()), None))

    stand_ins = [raw(file) for file in known.get("instead", {}).get(split, [])]
    here = stand_ins and all(one.here for one in stand_ins)
    return stand_ins if here else [raw(file) for file in known["splits"][split]]


def check(entry: Entry) -> Iterator[Finding]:
    """The raw files of a data set, and what the parsers make of them now against the table on disk."""
    item = entry.item
    (name,), (out,) = item.words, item.outs
    try:
        raws = raw_files(item.stage, name)
    except (ValueError, KeyError, TypeError) as error:
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
    x, y = sources.read(name, STAGES[item.stage])
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.npz"
        artifacts.write_table(again, {"x": x, "y": y}, sources.AXES)
        expected, found = artifacts.sha256_file(again), entry.outs[out].sha256
    if expected != found:
        yield Finding(out, f"sha256 {expected} (parsed from {raws[0].source})", f"sha256 {found}")
