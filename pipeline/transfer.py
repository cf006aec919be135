"""One request for one file. What a server sends goes into a partial file, after what is there if the server can."""

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

CHUNK = 2**18  # bytes, at most, that are read at once
CONNECT_S = 10.0
REDIRECTS = 5
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that may be others in a moment


class TransferError(Exception):
    """Why a server did not give the file. `again` says whether the same request may fare better in a moment."""

    def __init__(self, answer: str, again: bool = False) -> None:
        super().__init__(answer)
        self.again = again


class Progress:
    """How far a transfer is: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, name: str, total: int | None) -> None:
        self._name, self._total, self._terminal = name, total, sys.stderr.isatty()
        self._next_s, self._drawn = time.monotonic(), False
        self._every_s = 0.1 if self._terminal else 10.0
        if not self._terminal:
            self._next_s += self._every_s  # what is quick needs no line

    def show(self, done: int) -> None:
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._every_s
        line = f"{self._name}: {done / 1e6:.1f} MB"
        if self._total:
            line += f" of {self._total / 1e6:.1f} MB"
            if self._terminal:
                line += f" [{'#' * (30 * done // self._total):30}]"
        print(f"\r{line}" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr, flush=True)
        self._drawn = True

    def end(self) -> None:
        if self._terminal and self._drawn:
            print(file=sys.stderr)


def get(url: str, part: Path, expected: int | None, most: int, stall_s: float) -> bool:
    """Bring `part` to its end. Return whether it was begun by an earlier request, perhaps to another server.

    Args:
      expected: bytes that the file has, where that is certain; a server that announces others is refused.
      most: bytes that are taken at most, whatever is announced.
      stall_s: how long a server may be silent.

    Raises:
      TransferError: the file did not come, or not to its end. What is left of `part`, if anything, can be resumed.
      OSError: `part` cannot be written.
    """
    have = part.stat().st_size if part.exists() else 0
    # identity: the bytes of the file are wanted, not what a server makes of them for the way
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with _in_words(stall_s), requests.Session() as session:
        session.max_redirects = REDIRECTS
        with session.get(url, headers=headers, stream=True, timeout=(CONNECT_S, stall_s)) as response:
            start, total = _judge(response, part, have)
            if total is not None and (total > most or expected not in (None, total)):
                raise TransferError(f"announces {total} bytes")
            found = _write(response, part, start, total, most)
    if total is not None and found < total:
        raise TransferError(f"broke off after {found} of {total} bytes", again=True)
    return start > 0


def _judge(response: requests.Response, part: Path, have: int) -> tuple[int, int | None]:
    """Where in the file the body of `response` starts, and how many bytes the file has, if that is announced."""
    status = response.status_code
    if status == 200:
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise TransferError("answers with a web page")
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    if have and status in (206, 416):
        place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
        if status == 206 and place:
            first, last, total = map(int, place.groups())
            if first == have and last + 1 == total:
                return have, total
        part.unlink()
        raise TransferError("does not go on where the partial file ends", again=True)
    raise TransferError(f"HTTP {status} {response.reason}", again=status in PASSING)


def _write(response: requests.Response, part: Path, start: int, total: int | None, most: int) -> int:
    """Append to what `part` has up to `start`, and return its size then."""
    found, progress = start, Progress(part.stem, total)
    with part.open("ab" if start else "wb") as file:
        try:
            while found <= most and (block := response.raw.read1(CHUNK, decode_content=False)):
                file.write(block)
                found += len(block)
                progress.show(found)
        finally:
            progress.end()
    if found > most:
        part.unlink()
        raise TransferError(f"sends more than {most} bytes")
    return found


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
        raise TransferError(f"failed: {getattr(cause, 'reason', cause)}", again=True) from None
    except requests.RequestException as error:
        raise TransferError(str(error)) from None
