"""The bytes of files, read and hashed: nothing is believed of sizes and times."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from pipeline.run.job import folder_files

BLOCK = 2**20


class Digests(NamedTuple):
    md5: str
    sha256: str
    size: int


class Hasher:
    """Hashes files, and counts the bytes that it read."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def each(self, paths: Iterable[Path]) -> dict[Path, Digests]:
        """Digests of those files that are there, read in parallel."""

        def digests(path: Path) -> Digests | None:
            lost = FileNotFoundError, IsADirectoryError, NotADirectoryError
            with contextlib.suppress(*lost), path.open("rb") as file:
                return self.read(file)

        every = list(dict.fromkeys(paths))
        with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
            said = tqdm(pool.map(digests, every), "Hashing", len(every), delay=5, leave=False, disable=None)
            return {path: found for path, found in zip(every, said, strict=True) if found}

    def read(self, file: IO[bytes]) -> Digests:
        md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        while block := file.read(BLOCK):
            md5.update(block)
            sha256.update(block)
            size += len(block)
        with self._lock:
            self.bytes += size
        return Digests(md5.hexdigest(), sha256.hexdigest(), size)


def files(path: Path) -> dict[str, Path]:
    """The files that DVC hashes of a folder, by their path in it; a file's own is ""."""
    return folder_files(path) if path.is_dir() else {"": path}


def dvc_md5(found: Mapping[str, Digests]) -> str:
    """DVC's digest of a file or a folder, from those of its files by their path in it."""
    if "" in found:
        return found[""].md5
    listed = [{"md5": found[name].md5, "relpath": name} for name in sorted(found)]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
