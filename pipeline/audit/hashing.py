"""The bytes on disk: each file read once, whatever asks for it, and nothing believed of sizes and times."""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

BLOCK = 2**20
SAY_EVERY = 2**28  # bytes


class Digests(NamedTuple):
    md5: str
    sha256: str
    size: int


class Hasher:
    """Digests by file; hard links and symbolic links to one file are read once. It counts the bytes that it read."""

    def __init__(self) -> None:
        self.bytes, self._said = 0, 0
        self._known: dict[tuple[int, int], Digests] = {}
        self._lock = threading.Lock()

    def digests(self, path: Path) -> Digests | None:
        """None: there is no such file."""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                key = (status.st_dev, status.st_ino)
                with self._lock:
                    if key in self._known:
                        return self._known[key]
                found = self._read(file)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        with self._lock:
            self._known[key] = found
        return found

    def fresh(self, file: IO[bytes]) -> Digests:
        """Digests of what is read once only: a temporary file, or one that is not on this machine."""
        return self._read(file)

    def prefetch(self, paths: Iterable[Path]) -> None:
        """Read many files in parallel, so that they are known later."""
        with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
            list(pool.map(self.digests, dict.fromkeys(paths)))

    def _read(self, file: IO[bytes]) -> Digests:
        md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        while block := file.read(BLOCK):
            md5.update(block)
            sha256.update(block)
            size += len(block)
        with self._lock:
            self.bytes += size
            if self.bytes - self._said >= SAY_EVERY:
                self._said = self.bytes
                print(f"  {self.bytes / 1e6:,.0f} MB hashed", file=sys.stderr, flush=True)
        return Digests(md5.hexdigest(), sha256.hexdigest(), size)


def inside(folder: Path) -> dict[str, Path]:
    """The files of a folder that DVC hashes, by their path in it: all but what .dvcignore keeps out."""
    files: dict[str, Path] = {}
    artifacts = "artifacts" in folder.parts
    for top, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__" and not (artifacts and name.startswith("."))]
        own = (Path(top) / name for name in names if not (artifacts and name.startswith(".")))
        files |= {path.relative_to(folder).as_posix(): path for path in own}
    return files


def folder_md5(files: dict[str, str]) -> str:
    """DVC's digest of a folder, from the md5 of each file by its path in it."""
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
