"""A locked file: from the cache, from a folder that the user names, or from the publisher's mirrors, in this order.

Nothing is believed: a file is used once it has the sha256 of datasets.lock, wherever it comes from. Downloads go into
a partial file beside the final name, after what is there if the server can go on; the final name is taken by one rename
of a file that is verified and on the disk.
"""

import contextlib
import errno
import gzip
import hashlib
import io
import os
import re
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import requests
from filelock import FileLock, Timeout
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ReadTimeoutError

from pipeline.run import artifacts

MIRROR = "VSML_DATA_MIRROR"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNKNOWN = 2**30  # bytes that a file of unknown size may have at most
CHUNK = 2**18  # bytes, at most, that are read at once
CONNECT_S = 10.0
REDIRECTS = 5
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that may be others in a moment


class TransferError(Exception):
    """Why a server did not give the file. `again` says whether the same request may fare better in a moment."""

    def __init__(self, answer: str, again: bool = False) -> None:
        super().__init__(answer)
        self.again = again


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
    if file.payload_sha256 is not None:
        with contextlib.suppress(gzip.BadGzipFile, EOFError, zlib.error), gzip.open(path) as content:
            payload = hashlib.file_digest(content, "sha256")  # pyright: ignore[reportArgumentType]
            if payload.hexdigest() == file.payload_sha256:
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
    lock = FileLock(target.with_name(f".{target.name}.lock"))  # it ends with its process, however that ends
    try:
        alone = lock.acquire(timeout=0)
    except Timeout:
        _say(f"Another process is downloading {target.name}: waiting for it.")
        alone = lock.acquire()
    with alone:
        if target.exists():
            if fault(target, file) is None:  # another process was faster
                return target
            target.unlink()
        try:
            if not part.exists() or fault(part, file) is not None:
                _download(file, part, stall_s, tries, backoff_s)
            with part.open("rb+") as written:
                os.fsync(written.fileno())
            part.replace(target)
        except OSError as error:
            if error.errno not in FULL:
                raise
            part.unlink(missing_ok=True)
            size = "bytes" if file.bytes is None else f"{file.bytes / 1e6:.1f} MB"
            reason = f"{file} does not fit: the disk or the quota of {target.parent} is full. Make room for its {size}"
            raise OSError(error.errno, f"{reason} and run again; nothing of it was left there.") from None
    return target


def _download(file: File, part: Path, stall_s: float, tries: int, backoff_s: float) -> None:
    """Make `part` the whole and verified file, from the first mirror that can."""
    answers = [f"{path} {'is damaged' if path.is_file() else 'is not there'}" for path in in_mirrors(file)]
    for url in file.urls:
        _say(f"Downloading {file} from {url}")
        answer = ""
        for attempt in range(tries):
            try:
                return _get(url, file, part, stall_s)
            except TransferError as failure:
                answer = f"{url} {failure}"
                if not failure.again:
                    break
            if attempt + 1 < tries:
                time.sleep(backoff_s * 2**attempt)
        _say(f"{answer}.")
        answers.append(answer)
    kept = f" The first {part.stat().st_size} bytes are kept, and resumed then." if part.exists() else ""
    origin = f"fetch {file.urls[0]}" if file.urls else "get it"
    raise OSError(
        f"{file} cannot be had. Expected are {file.expectation()}. The answers:\n"
        + "".join(f"  {answer}\n" for answer in answers or ["there is no mirror to ask"])
        + f"Run again when the network is better (HTTPS_PROXY and NO_PROXY are heeded).{kept} Or {origin} by hand,"
        f" save it as FOLDER/{file}, and set {MIRROR}=FOLDER."
    )


def _get(url: str, file: File, part: Path, stall_s: float) -> None:
    """Bring `part` to its end, which may have been begun by an earlier request, perhaps to another server.

    Raises:
      TransferError: the file did not come, or not to its end. What is left of `part`, if anything, can be resumed.
      OSError: `part` cannot be written.
    """
    # A file that was packed anew may have another size. Whatever is announced, no more than `most` is taken.
    anew = file.payload_sha256 is not None
    most = UNKNOWN if file.bytes is None else file.bytes * (2 if anew else 1)
    have = part.stat().st_size if part.exists() else 0
    # identity: the bytes of the file are wanted, not what a server makes of them for the way
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with _in_words(stall_s), requests.Session() as session:
        session.max_redirects = REDIRECTS
        with session.get(url, headers=headers, stream=True, timeout=(CONNECT_S, stall_s)) as response:
            status, told = response.status_code, response.headers
            if status == 200:
                if told.get("Content-Type", "").startswith("text/html"):
                    raise TransferError("answers with a web page")
                length = told.get("Content-Length", "")
                found, total = 0, int(length) if length.isdecimal() else None
            elif have and status in (206, 416):
                place = re.fullmatch(rf"bytes {have}-(\d+)/(\d+)", told.get("Content-Range", ""))
                if status == 416 or place is None or int(place[1]) + 1 != int(place[2]):
                    part.unlink()
                    raise TransferError("does not go on where the partial file ends", again=True)
                found, total = have, int(place[2])
            else:
                raise TransferError(f"HTTP {status} {response.reason}", again=status in PASSING)
            if total is not None and (total > most or (file.bytes not in (None, total) and not anew)):
                raise TransferError(f"announces {total} bytes")
            resumed = found > 0
            with part.open("ab" if resumed else "wb") as written, progress(part.stem, found, total) as bar:
                while found <= most and (block := response.raw.read1(CHUNK, decode_content=False)):
                    written.write(block)
                    found += len(block)
                    bar.update(len(block))
    if found > most:
        part.unlink()
        raise TransferError(f"sends more than {most} bytes")
    if total is not None and found < total:
        raise TransferError(f"broke off after {found} of {total} bytes", again=True)
    if (wrong := fault(part, file)) is not None:
        part.unlink()
        raise TransferError(f"gave {wrong}", again=resumed)  # the fault may be in what was there before


class _Lines(io.TextIOBase):
    """Standard error, for a bar that is to be lines of plain text there."""

    def write(self, text: str) -> int:
        if line := text.strip():
            _say(line)
        return len(text)


def progress(name: str, start: int, total: int | None, every_s: float = 10.0) -> tqdm:
    """How far a file is, in bytes: a bar on a terminal, elsewhere a line every `every_s`, so none if it takes less."""
    how: dict[str, Any] = {"desc": name, "initial": start, "total": total}
    if not sys.stderr.isatty():
        plain = "{desc}: {n_fmt}B of {total_fmt}B"
        how |= {"file": _Lines(), "mininterval": every_s, "delay": every_s, "leave": False, "bar_format": plain}
    return tqdm(unit="B", unit_scale=True, miniters=1, **how)


@contextlib.contextmanager
def _in_words(stall_s: float) -> Iterator[None]:
    """The network's many errors as one."""
    try:
        yield
    except requests.ConnectTimeout:
        raise TransferError(f"did not answer within {CONNECT_S:g} s", again=True) from None
    except (requests.Timeout, ReadTimeoutError):
        raise TransferError(f"was silent for {stall_s:g} s", again=True) from None
    except requests.TooManyRedirects:
        raise TransferError(f"redirects more than {REDIRECTS} times") from None
    except (requests.ConnectionError, HTTPError) as error:
        cause = error.args[0] if error.args else error
        raise TransferError(f"failed: {_told(getattr(cause, 'reason', cause))}", again=True) from None
    except requests.RequestException as error:
        raise TransferError(_told(error)) from None


def _told(error: Any) -> str:
    """What the network says, unless it may quote the password of a proxy."""
    secret = any("@" in value for name, value in os.environ.items() if name.lower().endswith("_proxy"))
    return f"{type(error).__name__}, perhaps of the proxy, whose address has a password" if secret else str(error)


def in_mirrors(file: File) -> Iterator[Path]:
    """Where `file` would be in the user's folders. Debian's packages (/usr/share/datasets) spell sets with hyphens."""
    for folder in filter(None, os.environ.get(MIRROR, "").split(os.pathsep)):
        for spelling in dict.fromkeys((file.folder, file.folder.replace("_", "-"))):
            yield Path(folder).absolute() / spelling / file.name


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
