"""Checkpoints of a running stage, outside of DVC's outs: files whose names carry their step and their sha256.

One rename makes a checkpoint complete, whenever the process is killed. The last two are kept: if the newest is
damaged, the one before it serves.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.run import artifacts

KEEP = 2
NAME = re.compile(r"\d{8,}-[0-9a-f]{64}")


class Checkpoint(NamedTuple):
    """Arrays and facts as they were saved after `step`."""

    step: int
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


class Folder(NamedTuple):
    """The checkpoints of one job; `folder` is named after its fingerprint."""

    folder: Path

    def save(self, step: int, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        temporary = self.folder / f"unfinished-{os.getpid()}"  # another process may train the same
        artifacts.write_arrays(temporary, {**arrays, "__facts__": np.array(json.dumps(facts))})
        temporary.rename(self.folder / f"{step:08d}-{artifacts.sha256_file(temporary)}.npz")
        for path in self._newest_first()[KEEP:]:
            path.unlink(missing_ok=True)

    def load(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None."""
        path = self.newest()
        if path is None:
            return None
        arrays = artifacts.read_arrays(path)
        return Checkpoint(step_of(path), arrays, json.loads(str(arrays.pop("__facts__"))))

    def newest(self) -> Path | None:
        """The file of the newest checkpoint that is whole; what is damaged is reported on the terminal and removed."""
        for path in self._newest_first():
            found = artifacts.sha256_file(path)
            if found == path.stem.split("-")[1]:
                return path
            print(f"Checkpoint {path} is damaged (sha256 is {found}): going back before it.", file=sys.stderr)
            path.unlink()
        return None

    def replace(self, name: str, held: bytes) -> None:
        """Have the checkpoint of this name and content as the only one; without a name, none."""
        self.remove()
        if name:
            with artifacts.atomic(self.folder / name) as temporary:
                temporary.write_bytes(held)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        found = [path for path in self.folder.glob("*.npz") if NAME.fullmatch(path.stem)]
        return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step after which the checkpoint in a file of such a name was saved."""
    return int(path.stem.split("-")[0])
