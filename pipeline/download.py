"""A locked file: from the cache, from a folder that the user names, or from the publisher's mirrors, in this order.

Nothing is believed: a file is used once it has the sha256 of datasets.lock, wherever it comes from. Downloads go into
a partial file beside the final name, which is taken by one rename of a file that is verified and on the disk.
"""

import contextlib
import errno
import gzip
import hashlib
import os
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from pipeline import artifacts, transfer

MIRROR = "VSML_DATA_MIRROR"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNKNOWN = 2**30  # bytes that a file of unknown size may have at most


class File(NamedTuple):
    """A file of datasets.lock, and its place in the cache and in mirror folders: `folder`/`name`.

    `payload_sha256` is that of the content of a gzip file: a copy that was packed anew, as Debian's, is as good.
    """

    folder: str
    name: str
    sha256: str
    bytes: int | None = None
    payload_sha256: str | None = None
    urls: tuple[str, ...] = ()
    wheel: str | None = None  # its place inside the wheel of scikit-learn, if it is shipped there

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"

    def expectation(self) -> str:
        size = "" if self.bytes is None else f"{self.bytes} bytes with "
        packed = "" if self.payload_sha256 is None else f", or gzip around content with sha256 {self.payload_sha256}"
        return f"{size}sha256 {self.sha256}{packed}"


def fault(path: Path, file: File) -> str | None:
    """What `path` holds, if it is not `file`."""
    size, digest = path.stat().st_size, artifacts.sha256_file(path)
    if digest == file.sha256 and file.bytes in (None, size):
        return None
    if file.payload_sha256 is not None and _payload_sha256(path) == file.payload_sha256:
        return None
    return f"{size} bytes with sha256 {digest}"


def at_hand(file: File, cache: Path) -> Path | None:
    """`file` where it needs no network: in the cache, or in one of the folders that VSML_DATA_MIRROR names."""
    for path in (cache / file.folder / file.name, *in_mirrors(file)):
        if path.is_file():
            if (found := fault(path, file)) is None:
                return path
            _say(f"{path} is damaged and not used: it has {found}, expected are {file.expectation()}.")
    return None


def fetch(file: File, cache: Path, *, stall_s: float = 30.0, tries: int = 4, backoff_s: float = 1.0) -> Path:
    """`file`, verified; what is downloaded stays in `cache`. A download that broke off goes on where it ended.

    Each mirror is asked up to `tries` times, if its failure may pass, with pauses of `backoff_s` and twice the last.

    Raises:
      OSError: no source has it; the message has each one's answer, and what to do. Or the disk is full.
    """
    if path := at_hand(file, cache):
        return path
    target = cache / file.folder / file.name
    part = target.with_name(f"{file.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        if target.exists() and fault(target, file) is not None:
            target.unlink()
        if target.exists():  # another process was faster
            return target
        try:
            _download(file, part, stall_s, tries, backoff_s)
            _on_disk(part)
            part.replace(target)
        except OSError as error:
            if error.errno not in FULL:
                raise
            part.unlink(missing_ok=True)
            size = "its bytes" if file.bytes is None else f"its {file.bytes / 1e6:.1f} MB"
            reason = f"{file} does not fit: the disk or the quota of {target.parent} is full. Make room for {size}"
            raise OSError(error.errno, f"{reason} and run again; nothing of it was left there.") from None
    return target


def _download(file: File, part: Path, stall_s: float, tries: int, backoff_s: float) -> None:
    """Make `part` the whole and verified file, from the first mirror that can."""
    if part.exists() and fault(part, file) is None:
        return
    answers = []
    for url in file.urls:
        _say(f"Downloading {file} from {url}")
        answer = _from_mirror(url, file, part, stall_s, tries, backoff_s)
        if answer is None:
            return
        _say(f"{url} {answer}.")
        answers.append(f"{url} {answer}")
    looked = [f"{path} {'is damaged' if path.is_file() else 'is not there'}" for path in in_mirrors(file)]
    kept = f" The first {part.stat().st_size} bytes are kept, and resumed then." if part.exists() else ""
    origin = f"fetch {file.urls[0]}" if file.urls else "get it"
    raise OSError(
        f"{file} cannot be had. Expected are {file.expectation()}. The answers:\n"
        + "".join(f"  {answer}\n" for answer in (*looked, *answers) or ("there is no mirror to ask",))
        + f"Run again when the network is better (HTTPS_PROXY and NO_PROXY are heeded).{kept} Or {origin} by hand,"
        f" save it as FOLDER/{file}, and set {MIRROR}=FOLDER."
    )


def _from_mirror(url: str, file: File, part: Path, stall_s: float, tries: int, backoff_s: float) -> str | None:
    """None once `part` is the verified file, else the last answer of this mirror."""
    certain = file.bytes if file.payload_sha256 is None else None  # packed anew, a file may have another size
    most = UNKNOWN if file.bytes is None else file.bytes * (1 if file.payload_sha256 is None else 2)
    answer = None
    for attempt in range(tries):
        if attempt:
            time.sleep(backoff_s * 2 ** (attempt - 1))
        try:
            resumed = transfer.get(url, part, certain, most, stall_s)
        except transfer.TransferError as failure:
            answer = str(failure)
            if failure.again:
                continue
            return answer
        found = fault(part, file)
        if found is None:
            return None
        part.unlink()
        answer = f"gave {found}"
        if not resumed:  # else the fault may be in what was there before
            return answer
    return answer


def in_mirrors(file: File) -> Iterator[Path]:
    """Where `file` would be in the user's folders. Debian's packages (/usr/share/datasets) spell sets with hyphens."""
    for folder in filter(None, os.environ.get(MIRROR, "").split(os.pathsep)):
        for spelling in dict.fromkeys((file.folder, file.folder.replace("_", "-"))):
            yield Path(folder).absolute() / spelling / file.name


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its process, however that ends."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say(f"Another process is downloading {target.name}: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _on_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _payload_sha256(path: Path) -> str | None:
    try:
        with gzip.open(path) as content:
            return hashlib.file_digest(content, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
